"""Ways to adapt a pre-trained model to a task: few labels, few trained numbers, little time."""
