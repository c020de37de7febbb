"""Recipes of voices."""
