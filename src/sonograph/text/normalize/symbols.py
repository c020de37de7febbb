"""Marks and symbols: which are pauses, which are named, which are passed over."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from sonograph.text import numbers
from sonograph.text.normalize.source import MARKS, Found, Source, pattern
from sonograph.text.written_forms import SYMBOLS

_DROPPED = frozenset({"So", "Sk", "Cf", "Cc", "Cs", "Co", "Cn", "Mn", "Me", "Mc"})


def is_dropped(letter: str) -> bool:
    """Whether a character makes no sound: emoji, controls, invisible ones."""
    return unicodedata.category(letter) in _DROPPED


_CLIPPED = pattern(r"'(?:em|twas|tis|til|cause|bout|n)\b")


def clipped(source: Source, at: int) -> Found | None:
    """'em, 'twas: with the mark in front of them."""
    found = _CLIPPED.match(source.text, at)
    return ([found[0].lower()], found.end()) if found else None


def symbol(source: Source, at: int) -> Found:
    """Any other sign: a mark, a pause, a name or nothing."""
    letter = source.text[at]
    before, behind = source.before(at), source.after(at + 1, 1)
    if letter == ".":
        dots = len(source.after(at, 60)) - len(source.after(at, 60).lstrip("."))
        if dots > 1:
            return [","], at + dots
        if before.isalnum() and behind.isalnum() and not behind.isupper():
            return ["dot"], at + 1
        if (not before or before.isspace()) and behind.isalpha():  # ".net"
            return ["dot"], at + 1
        return ["."], at + 1
    if letter in MARKS:
        return [letter], at + 1
    if letter in "…—()[]{}":
        return [","], at + 1
    if letter == "-":
        dashes = len(source.after(at, 60)) - len(source.after(at, 60).lstrip("-"))
        spaced = (not before or before.isspace()) and (not behind or behind.isspace())
        return [","] if dashes > 1 or spaced else [], at + dashes
    if letter in "\"'":
        return [], at + 1
    if letter in "*_~|":
        spaced = (not before or before.isspace()) and (not behind or not behind.isalnum())
        if letter == "*" and before.isdigit() and behind.isdigit():
            return ["times"], at + 1
        if letter == "_" and before.isalnum() and behind.isalnum():
            return ["underscore"], at + 1
        if letter == "|":
            return [","], at + 1
        # marks of emphasis are not said, nor is a line of stars
        return (SYMBOLS[letter].split() if spaced and behind != letter else []), at + 1
    if letter == "#":
        if behind.isdigit():
            return ["number"], at + 1
        return ["hashtag"] if behind.isalpha() else ["pound"], at + 1
    if letter in "$€£" and behind == letter:
        return [], at + 1
    if letter in SYMBOLS:
        return SYMBOLS[letter].split(), at + 1
    return name_of(letter), at + 1


@lru_cache(maxsize=4096)
def _named_words(letter: str) -> tuple[str, ...]:
    category = unicodedata.category(letter)
    name = unicodedata.name(letter, "").lower().replace("vulgar fraction ", "")
    plain = unicodedata.normalize("NFKC", letter)
    if category == "So" and plain.isascii() and plain.isalpha():  # "㎏"
        return tuple(plain.upper())
    if category in _DROPPED:
        return ()
    if category[0] == "P":
        return (",",)
    if category[0] == "N":
        value = unicodedata.numeric(letter)
        if value == int(value) and 0 <= value < 1e15:
            return tuple(numbers.cardinal(str(int(value))))
    return tuple(re.findall("[a-z]+", name))


def name_of(letter: str) -> list[str]:
    """What a sign is called in English; nothing for what makes no sound."""
    return list(_named_words(letter))
