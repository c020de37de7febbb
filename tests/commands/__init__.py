"""What a user types for a system whose job is not to represent sound."""
