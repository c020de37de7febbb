"""The pronunciations of English words: the CMU dictionary and a few words that it lacks.

Both are data of the package (`text/data`, with the licence of the dictionary beside it) and are
read when the first word is asked for: some 125,000 words in well under 0.15 s, because they stay
two sorted lists that are searched, not a table that is built.

>>> lexicon().phones("hello")
('HH', 'AH0', 'L', 'OW1')
>>> lexicon().phones("zzyzx") is None
True
"""

from __future__ import annotations

import gzip
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sonograph.text.arpabet import PHONES, from_arpabet

DATA = Path(__file__).parent / "data"
_FIRST = 48  # the code of the first phone is "0", the others follow
_CODES = {phone: chr(_FIRST + index) for index, phone in enumerate(PHONES)}


def code_of(phone: str) -> str:
    """The one letter that stands for a phone in the packed file."""
    return _CODES[phone]


class Lexicon:
    """Sorted words beside their packed pronunciations, and words of our own that come first."""

    def __init__(self, words: list[str], packed: list[str], own: dict[str, tuple[str, ...]]):
        self.words, self.packed, self.own = words, packed, own

    def phones(self, word: str) -> tuple[str, ...] | None:
        """The phones of a word in small letters, or None."""
        if word in self.own:
            return self.own[word]
        at = bisect_left(self.words, word)
        if at == len(self.words) or self.words[at] != word:
            return None
        return tuple(PHONES[ord(code) - _FIRST] for code in self.packed[at])

    def __contains__(self, word: str) -> bool:
        at = bisect_left(self.words, word)
        return word in self.own or (at < len(self.words) and self.words[at] == word)

    def __len__(self) -> int:
        return len(self.words)

    def items(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The words of the CMU dictionary with their phones."""
        for word, packed in zip(self.words, self.packed):
            yield word, tuple(PHONES[ord(code) - _FIRST] for code in packed)


@cache
def lexicon() -> Lexicon:
    """The one that comes with the package."""
    text = gzip.decompress((DATA / "cmudict.txt.gz").read_bytes()).decode("ascii")
    words, _, packed = text.partition("\n\n")
    return Lexicon(words.split("\n"), packed.split("\n"), _own())


def _own() -> dict[str, tuple[str, ...]]:
    lines = (DATA / "words-en.txt").read_text(encoding="ascii").splitlines()
    pairs = (line.split(None, 1) for line in lines if line and not line.startswith("#"))
    return {word: from_arpabet(phones) for word, phones in pairs}
