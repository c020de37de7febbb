"""Blocks that systems are made of, one idea a file. Nothing here imports a system."""
