"""Errors of recognised words: rate, and words that were skipped or said twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sonograph.errors import InputError

ONE = 1_000_000  # more than words of a sentence


class Edits(NamedTuple):
    """How one sequence becomes another; `pairs`: (index or None, index or None) in order."""

    substituted: int
    deleted: int
    inserted: int
    pairs: list[tuple[int | None, int | None]]

    @property
    def total(self) -> int:
        return self.substituted + self.deleted + self.inserted


def edits(wanted: Sequence[str], got: Sequence[str]) -> Edits:
    """The fewest substitutions, deletions and insertions (Levenshtein 1966).

    Of equally few, those with the most words in their place: a word that was skipped is a deletion.

    >>> edits("a b c".split(), "a x c c".split())[:3]
    (1, 0, 1)
    """
    n, m = len(wanted), len(got)
    table = np.zeros((n + 1, m + 1), np.int64)
    one, other = ONE, ONE + 1  # what a deletion or insertion costs, and a substitution
    table[:, 0], table[0] = one * np.arange(n + 1), one * np.arange(m + 1)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            same = table[i - 1, j - 1] + other * (wanted[i - 1] != got[j - 1])
            table[i, j] = min(same, table[i - 1, j] + one, table[i, j - 1] + one)
    counts = [0, 0, 0]
    pairs: list[tuple[int | None, int | None]] = []
    i, j = n, m
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + other * (wanted[i - 1] != got[j - 1]):
            counts[0] += int(wanted[i - 1] != got[j - 1])
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and table[i, j] == table[i - 1, j] + one:
            counts[1] += 1
            i -= 1
            pairs.append((i, None))
        else:
            counts[2] += 1
            j -= 1
            pairs.append((None, j))
    return Edits(counts[0], counts[1], counts[2], pairs[::-1])


def plain_words(text: str) -> list[str]:
    """Lower-case words of letters and apostrophes.

    >>> plain_words("It's 5 o'clock -- Now!")
    ["it's", '5', "o'clock", 'now']
    """
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def word_error_rate(wanted: Sequence[str], got: Sequence[str]) -> float:
    """Edits of all sentences together, divided by the words that were wanted."""
    if len(wanted) != len(got):
        raise InputError(f"{len(wanted)} sentences and {len(got)} answers: give one for each")
    total = sum(len(plain_words(text)) for text in wanted)
    if not total:
        raise InputError("there are no words to compare with")
    return sum(edits(plain_words(a), plain_words(b)).total for a, b in zip(wanted, got)) / total


class Slips(NamedTuple):
    """skipped: words that were not said; repeated: insertions that say a neighbour again."""

    skipped: int
    repeated: int


def slips(wanted: Sequence[str], got: Sequence[str]) -> Slips:
    """Skipped and repeated words (or phones) of one sentence.

    >>> slips("the cat sat down".split(), "the the cat down".split())
    Slips(skipped=1, repeated=1)
    """
    found = edits(wanted, got)
    repeated = 0
    for place, (i, j) in enumerate(found.pairs):
        if i is None and j is not None:
            around = [
                wanted[k] for k, _ in found.pairs[max(0, place - 2) : place + 3] if k is not None
            ]
            repeated += got[j] in around
    return Slips(found.deleted, repeated)
