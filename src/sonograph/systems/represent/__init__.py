"""Encoders that turn sound into vectors, and the objectives they were trained with."""
