"""Recipes of the text front-end: its dictionary and its letter-to-sound model."""
