"""The text that is read from left to right, and what the rules of reading look at."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from sonograph.text.written_forms import SYMBOLS

MARKS = ",;:.!?"  # from weak to strong: of a run of them the strongest stays
NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,11}(?!\d)|\d+)(?:\.\d+)?"


class _Fold(dict):
    """One character for one character: quotes, dashes, spaces and digits in their plain forms."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        folded = letter
        if code >= 128 and letter not in SYMBOLS and letter not in "µμ":
            plain = unicodedata.normalize("NFKC", letter)
            if letter.isspace():
                folded = " "
            elif unicodedata.category(letter) == "Nd":
                folded = str(unicodedata.digit(letter))
            elif len(plain) == 1:
                folded = plain
        self[code] = folded
        return folded


_FOLD = _Fold(
    {ord(letter): "'" for letter in "‘’‚‛ʼ′`´"}
    | {ord(letter): '"' for letter in "“”„‟«»‹›″¿¡「」『』"}
    | {ord(letter): "—" for letter in "–—―"}
    | {ord(letter): "-" for letter in "‐‑‒"}
    | {ord("。"): ".", ord("、"): ",", ord("…"): "…", ord("−"): "-"}
)


def folded(text: str) -> str:
    """The text with quotes, dashes, spaces and digits in their plain forms, of the same length."""
    return text.translate(_FOLD)


def pattern(text: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    """A rule's shape, in letters of either case unless `flags` says otherwise."""
    return re.compile(text, flags)


class Source:
    """The folded text, where the pass is in it, and what was said last."""

    def __init__(self, text: str):
        self.text = folded(text)
        self.last = ""  # the last word or mark said
        self.last_written = ""
        letters = [letter for letter in text if letter.isalpha()]
        upper = sum(map(str.isupper, letters))
        self.shouting = upper > 0.6 * len(letters) and bool(
            re.search("[A-Z]{6}|[A-Z] [A-Z]{2}", text)
        )
        self.is_one_word = len(self.text) < 60 and len(self.text.split()) == 1

    def after(self, at: int, size: int = 3) -> str:
        return self.text[at : at + size]

    def before(self, at: int) -> str:
        return self.text[at - 1 : at] if at else ""

    def ends(self, at: int) -> bool:
        """Whether nothing but closing marks and spaces stands behind."""
        return not self.text[at : at + 20].strip(" \n\t\"')]}…")

    def capital_behind(self, at: int) -> bool:
        return bool(re.match(r"[ \n]+[\"'(]?[A-Z]", self.after(at, 6)))


Found = tuple[list[str], int]
Rule = Callable[[Source, int], Found | None]
