"""Recipes of separators."""
