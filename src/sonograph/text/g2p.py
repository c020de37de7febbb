"""The phones of an English word: by a table of homographs, the dictionary, its parts, its letters.

The first that knows the word wins:

1. names of letters (single capitals) and words whose sound hangs on their neighbours ("the");
2. homographs (`homographs.py`);
3. the dictionary (`lexicon.py`);
4. its endings: 's, s, es, ed, ing behind a word of the dictionary, with their rules of voicing;
5. its parts: re-, un-, de-, non-, pre- and others in front of one, or two of them side by side;
6. letter to sound (`letters.py`).

>>> [" ".join(phones) for phones in sounds(["the", "apple", "unmuted", "B"])]
['DH IY0', 'AE1 P AH0 L', 'AH0 N M Y UW1 T IH0 D', 'B IY1']
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from sonograph.text import homographs
from sonograph.text.arpabet import is_vowel
from sonograph.text.letters import letters_to_sound
from sonograph.text.lexicon import lexicon

Phones = tuple[str, ...]

LETTER_NAMES: dict[str, Phones] = {
    letter: tuple(phones.split())
    for letter, phones in zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        [
            "EY1",
            "B IY1",
            "S IY1",
            "D IY1",
            "IY1",
            "EH1 F",
            "JH IY1",
            "EY1 CH",
            "AY1",
            "JH EY1",
            "K EY1",
            "EH1 L",
            "EH1 M",
            "EH1 N",
            "OW1",
            "P IY1",
            "K Y UW1",
            "AA1 R",
            "EH1 S",
            "T IY1",
            "Y UW1",
            "V IY1",
            "D AH1 B AH0 L Y UW0",
            "EH1 K S",
            "W AY1",
            "Z IY1",
        ],
    )
}
PREFIXES: dict[str, Phones] = {
    prefix: tuple(phones.split())
    for prefix, phones in {
        "un": "AH0 N", "re": "R IY0", "de": "D IY0", "non": "N AA0 N", "pre": "P R IY0",
        "mis": "M IH0 S", "over": "OW2 V ER0", "under": "AH2 N D ER0", "inter": "IH2 N T ER0",
        "multi": "M AH2 L T IY0", "micro": "M AY2 K R OW0", "anti": "AE2 N T IY0",
        "auto": "AO2 T OW0", "mega": "M EH2 G AH0", "super": "S UW2 P ER0", "sub": "S AH0 B",
        "tele": "T EH2 L AH0", "cyber": "S AY2 B ER0", "hyper": "HH AY2 P ER0",
    }.items()
}  # fmt: skip
_UNVOICED = frozenset(["P", "T", "K", "F", "TH"])
_HISSING = frozenset(["S", "Z", "SH", "ZH", "CH", "JH"])
LONGEST = 40  # letters of a word that are said at once; a longer one is cut, it is none


def sounds(words: Sequence[str]) -> list[Phones]:
    """The phones of each word said; marks among the words give none but count as neighbours."""
    found: list[Phones] = []
    for at, word in enumerate(words):
        if not word[0].isalnum() and word[0] != "'":
            found.append(())
            continue
        before = words[at - 1] if at else ""
        behind = words[at + 1] if at + 1 < len(words) else ""
        found.append(homographs.phones_of(word, before, behind) or word_phones(word))
    for at, word in enumerate(words[:-1]):
        if word == "the" and found[at + 1] and is_vowel(found[at + 1][0]):
            found[at] = ("DH", "IY0")
    return found


@lru_cache(maxsize=50_000)
def word_phones(word: str) -> Phones:
    """The phones of a word by itself: small letters, or a capital for the name of a letter."""
    if word in LETTER_NAMES:
        return LETTER_NAMES[word]
    if word[:1] in LETTER_NAMES and word[1:] == "'s":
        return LETTER_NAMES[word[0]] + _voiced_s(LETTER_NAMES[word[0]])
    known = lexicon().phones(word) or _with_ending(word) or _of_parts(word)
    if known:
        return known
    plain = re.sub("[^a-z']", "", word.lower())
    if word.endswith("'s") and len(plain) > 2:
        stem = word_phones(word[:-2])
        return stem + _voiced_s(stem)
    plain = plain.replace("'", "")
    pieces = [plain[at : at + LONGEST] for at in range(0, len(plain), LONGEST)]
    return tuple(phone for piece in pieces for phone in letters_to_sound(piece))


def _voiced_s(stem: Phones) -> Phones:
    if stem[-1] in _HISSING:
        return ("IH0", "Z")
    return ("S",) if stem[-1] in _UNVOICED else ("Z",)


def _voiced_d(stem: Phones) -> Phones:
    if stem[-1] in ("T", "D"):
        return ("IH0", "D")
    return ("T",) if stem[-1] in _UNVOICED | {"S", "SH", "CH"} else ("D",)


def _base(word: str) -> Phones | None:
    """A word of at least two letters that the dictionary has, or that is one behind a prefix."""
    return (lexicon().phones(word) or _behind_prefix(word)) if len(word) > 2 else None


def _with_ending(word: str) -> Phones | None:
    """Regular endings of a known word."""
    if word.endswith(("'s", "'")):
        stem = _base(word.rstrip("s'") if word.endswith("'s") else word[:-1])
        return stem and (stem + _voiced_s(stem) if word.endswith("'s") else stem)
    for ending in ("s", "es", "ed", "ing", "in'"):
        if not word.endswith(ending):
            continue
        cut = word[: -len(ending)]
        candidates = [cut]
        if ending != "s":
            candidates.append(cut + "e")
            if len(cut) > 3 and cut[-1] == cut[-2]:
                candidates.append(cut[:-1])
            if cut.endswith("i"):
                candidates.append(cut[:-1] + "y")
        elif cut.endswith(("s", "u", "i")):  # "bus", "focus": no plural
            continue
        for candidate in candidates:
            stem = _base(candidate)
            if stem:
                if ending in ("s", "es"):
                    return stem + _voiced_s(stem)
                return stem + (_voiced_d(stem) if ending == "ed" else ("IH0", "NG"))
    return None


def _behind_prefix(word: str) -> Phones | None:
    for prefix, phones in PREFIXES.items():
        if word.startswith(prefix) and len(word) >= len(prefix) + 4:
            rest = lexicon().phones(word[len(prefix) :])
            if rest:
                return phones + rest
    return None


def _of_parts(word: str) -> Phones | None:
    """Two known words of four letters or more written as one; the second is stressed less."""
    found = _behind_prefix(word)
    if found or len(word) > LONGEST:
        return found
    for cut in range(len(word) - 4, 3, -1):
        first, second = lexicon().phones(word[:cut]), _base(word[cut:])
        if first and second:
            return first + tuple(phone.replace("1", "2") for phone in second)
    return None
