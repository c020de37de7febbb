"""Ways to bring a pre-trained model to a task of few labels."""
