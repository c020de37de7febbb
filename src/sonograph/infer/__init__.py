"""What trained models do with files of any length: vectors, labels, neighbours."""
