"""Training losses, one idea a file. Nothing here imports a system."""
