"""Written text in: what is said, word by word, as phones or letters, and as numbers of tokens."""

from __future__ import annotations


def listed(words: str) -> list[str]:
    """Words that stand in one string: how the tables of this package are written."""
    return words.split()
