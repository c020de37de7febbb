"""Addresses of pages and of mail, as they are read out: every mark by its name."""

from __future__ import annotations

import re

from sonograph.text import numbers
from sonograph.text.lexicon import lexicon
from sonograph.text.normalize.source import Found, Source, pattern
from sonograph.text.normalize.words import latin
from sonograph.text.written_forms import COMMON_SHORT, SAID_DOMAINS, SYMBOLS, TOP_DOMAINS

_LABEL = r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"
_URL = pattern(r"(?:https?://|ftp://|www\.)[^\s<>\"]+")
_MAIL = pattern(rf"[\w.+-]{{1,64}}@(?:{_LABEL}\.){{1,5}}[a-z]{{2,10}}(?![\w])")
_DOMAIN = pattern(rf"((?:{_LABEL}\.){{1,5}})([a-z]{{2,6}})(?![\w-]|\.\w)")
_PATH = pattern(r"/[^\s<>\"]*")

_ADDRESS_MARKS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon",
    "?": "question mark", "=": "equals", "&": "and", "#": "hash", "%": "percent", "~": "tilde",
    "+": "plus",
}  # fmt: skip


def _address(text: str) -> list[str]:
    said: list[str] = []
    for part in re.findall(r"[A-Za-z]+|\d+|.", text):
        if part.isdecimal():
            said += numbers.code(part)
        elif part.isascii() and part.isalpha():
            said += _label(part)
        elif part in _ADDRESS_MARKS:
            said += _ADDRESS_MARKS[part].split()
        elif part.isalpha():
            said += latin(part)
        else:
            said += SYMBOLS.get(part, "").split()
    return said


def _label(part: str) -> list[str]:
    """A part of an address: a word where it is one or looks like one, else its letters."""
    low = part.lower()
    if low in SAID_DOMAINS or (len(low) > 2 and low in lexicon()) or low in COMMON_SHORT:
        return [low]
    if len(low) <= 3 or not re.search("[aeiouy]", low):
        return list(part.upper())
    return [low]


def url(source: Source, at: int) -> Found | None:
    """https://example.org/a: its parts, without the scheme."""
    found = _URL.match(source.text, at)
    if found is None or not found[0].rstrip(".,;:!?)'\"]"):
        return None
    text = found[0].rstrip(".,;:!?)'\"]…")
    said = _address(re.sub(r"^\w+://", "", text).rstrip("/"))
    return (said, at + len(text)) if said else None


def mail(source: Source, at: int) -> Found | None:
    """name@example.org."""
    found = _MAIL.match(source.text, at)
    return (_address(found[0]), found.end()) if found else None


def domain(source: Source, at: int) -> Found | None:
    """example.org, and the path behind it."""
    found = _DOMAIN.match(source.text, at)
    if found is None or found[2] not in TOP_DOMAINS:
        return None
    path = _PATH.match(source.text, found.end())
    if len(found[2]) == 2 and found[2] in lexicon() and not path and found[1].count(".") < 2:
        return None  # "end.it": rather a missing space than an address
    text = (found[0] + path[0]).rstrip(".,;:!?)'\"]…/") if path else found[0]
    return _address(text), at + len(text)
