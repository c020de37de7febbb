"""Recipes of taggers."""
