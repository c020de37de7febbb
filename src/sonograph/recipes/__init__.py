"""How each system is trained and its claim measured, in the same tree as `systems`."""
