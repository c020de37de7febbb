"""Cut a text into sentences as it comes in, in bounded memory.

A sentence ends at `. ! ?` before white space, and at an empty line; not behind an abbreviation or
an initial, not inside a number, not where a small letter follows a full stop. One that grows beyond
`LONGEST` characters is cut behind its last comma or other inner mark, else at its last space, else
where it stands.

>>> [sentence.text for sentence in sentences("Dr. Lee has 3.5 cats. Really? Yes!")]
['Dr. Lee has 3.5 cats.', 'Really?', 'Yes!']
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sonograph.text.written_forms import ALSO_WORDS, BEFORE_NUMBER, MAY_END, WITH_STOP

LONGEST = 400
_PIECE = 4096  # characters that are taken in at a time
_GAP = 64  # white space behind a mark that is waited for
_END = re.compile(r"(?<![.!?…。！？])[.!?…。！？]++[\"'”’)\]»]*+(?=\s)|\n[ \t\r]*+\n")
_LAST = re.compile(r"[^\s]{0,24}$")
_SILENT = re.compile(r"[\s.,;:!?…。！？\"'“”‘’()\[\]{}«»—–-]*")


class Sentence(NamedTuple):
    """A sentence without the white space around it, and where in the whole text it begins."""

    text: str
    start: int


def sentences(text: str | Iterable[str]) -> Iterator[Sentence]:
    """The sentences of a text, or of lines (with their ends) as they come from a file or stdin.

    Stretches of nothing but marks and white space are passed over.
    """
    waiting, start = "", 0
    for piece in _pieces([text] if isinstance(text, str) else text):
        waiting += piece
        while True:
            stripped = waiting.lstrip()
            start += len(waiting) - len(stripped)
            waiting = stripped
            cut = _cut(waiting)
            if cut is None:
                break
            yield from _sentence(waiting[:cut], start)
            waiting, start = waiting[cut:], start + cut
    yield from _sentence(waiting, start)


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        for at in range(0, len(line), _PIECE):
            yield line[at : at + _PIECE]


def _sentence(text: str, start: int) -> Iterator[Sentence]:
    if _SILENT.fullmatch(text) is None:
        yield Sentence(text.strip(), start)


def _cut(text: str) -> int | None:
    """Where the first sentence ends; None: more has to come in before that is known."""
    for found in _END.finditer(text, 0, LONGEST + 2):
        if found[0].isspace():
            return found.start()
        behind = text[found.end() : found.end() + _GAP].lstrip()
        if not behind and len(text) - found.end() < _GAP:
            return None
        if _is_end(text[: found.end()], found[0], behind):
            return found.end()
    if len(text) <= LONGEST:
        return None
    part = text[:LONGEST]
    marks = [hit.end() for hit in re.finditer(r"[,;:—–](?=\s)", part)]
    if marks and marks[-1] > LONGEST // 4:
        return marks[-1]
    spaces = [hit.start() for hit in re.finditer(r"\s", part)]
    return spaces[-1] if spaces else LONGEST


def _is_end(text: str, marks: str, behind: str) -> bool:
    if not marks.startswith((".", "…")):
        return True
    following = behind.lstrip("\"'“‘([«")[:1]
    if following.islower():
        return False
    if marks[0] != "." or len(marks.rstrip("\"'”’)]»")) > 1:
        return True
    found = _LAST.search(text[: len(text) - len(marks)])
    word = found[0].lstrip("\"'“‘([«") if found else ""
    low = word.lower()
    if len(word) == 1 and word.isupper() and word != "I":
        return False  # an initial
    if low in BEFORE_NUMBER and following.isdigit():
        return False
    if low in MAY_END and low != "st":
        return True
    if low in WITH_STOP:
        return low in ALSO_WORDS and not word[0].isupper()
    return re.fullmatch(r"(?:[a-z]\.)+[a-z]", low) is None
