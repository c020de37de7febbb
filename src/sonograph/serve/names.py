"""Names of files as strangers give them: kept for showing only, and harmless wherever shown."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

LONGEST = 120


def shown(name: str, otherwise: str = "sound") -> str:
    """The last part of a name, without control and direction marks, of bounded length.

    >>> shown("../../etc/passwd"), shown("C:\\\\sounds\\\\dog.wav"), shown("a\\u202egpj.wav")
    ('passwd', 'dog.wav', 'agpj.wav')
    """
    last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    kept = plain(last)
    if len(kept) > LONGEST:
        stem, dot, suffix = kept.rpartition(".")
        short = dot and len(suffix) <= 8
        kept = f"{stem[: LONGEST - 1 - len(suffix)]}.{suffix}" if short else kept[:LONGEST]
    return kept if kept.strip(". ") else otherwise


def plain(text: str) -> str:
    """A text on one line, without control and direction marks."""
    return " ".join("".join(c for c in text if unicodedata.category(c)[0] != "C").split())


def stem_of(name: str) -> str:
    """A shown name without its suffix."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and len(suffix) <= 8 else name


def attachment(name: str) -> str:
    """A Content-Disposition header under which any name is saved, in words of RFC 6266."""
    ascii = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name)
    return f"attachment; filename=\"{ascii}\"; filename*=UTF-8''{quote(name, safe='')}"
