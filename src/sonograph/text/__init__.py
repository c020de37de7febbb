"""Written text in: what is said, word by word, as phones or letters, and as numbers of tokens."""
