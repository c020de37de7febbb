"""Models that name what is heard, with classes of their own or bags of words."""
