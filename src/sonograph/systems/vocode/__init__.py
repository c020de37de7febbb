"""Models that turn features into sound."""
