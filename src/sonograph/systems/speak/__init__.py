"""Models that speak a text."""
