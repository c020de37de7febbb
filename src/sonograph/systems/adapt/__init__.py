"""Ways to get the best from a pre-trained model and a few labels."""
