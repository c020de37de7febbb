"""Recipes of `systems/study`."""
