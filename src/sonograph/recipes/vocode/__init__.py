"""Recipes of vocoders."""
