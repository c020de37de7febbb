"""Taggers: sound to labels."""
