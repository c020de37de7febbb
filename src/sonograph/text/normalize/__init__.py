"""English text as it is written, to the words that are said, each with its place in the text.

One pass from left to right; at every place the first rule that fits takes a stretch of bounded
length, so that the time grows with the text alone. What is said of a stretch ("$3.50": three
dollars and fifty cents) keeps the place of the whole stretch.

Said as: words in small letters; single capital letters for names of letters; the six marks
`. , ? ! ; :`. Decided here:

- Dates are American (3/4/2024 is March fourth); four digits from 1100 to 2099 are a year unless a
  comma, unit or a word such as "extension" says otherwise; behind such a word digits name a code.
- Emoji and other pictures, controls and invisible characters are passed over. Other symbols are
  named, by our table or after Unicode. An ellipsis, a dash and brackets are a comma.
- Latin letters lose their accents, Greek letters are named, letters of other scripts cannot be
  said in English: an InputError names them.
- The scheme of an address (`https://`) is not said.

>>> [" ".join(piece.said) for piece in pieces("Dr. Smith paid $3.50!")]
['doctor', 'smith', 'paid', 'three dollars and fifty cents', '!']
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sonograph.text.normalize.addresses import domain, mail, url
from sonograph.text.normalize.amounts import (
    amount,
    decade,
    dotted,
    fraction,
    measure,
    money,
    ordinal,
    phone,
    plain,
    signed,
)
from sonograph.text.normalize.dates import day_month, month_day, numeric_date, time
from sonograph.text.normalize.source import MARKS, Found, Rule, Source, folded
from sonograph.text.normalize.symbols import clipped, is_dropped, symbol
from sonograph.text.normalize.words import initials, model, short_form, word

__all__ = ["MARKS", "Piece", "folded", "is_dropped", "pieces"]

# what may begin with a digit, a letter or another sign; the first rule that fits takes it
_NUMBER_RULES: tuple[Rule, ...] = (
    mail, numeric_date, time, phone, dotted, day_month, amount, decade, ordinal,
    fraction, measure, domain, plain,
)  # fmt: skip
_LETTER_RULES: tuple[Rule, ...] = (
    url, mail, month_day, model, initials, short_form, domain, word,
)  # fmt: skip
_SYMBOL_RULES: tuple[Rule, ...] = (phone, money, signed, decade, clipped, plain, symbol)


class Piece(NamedTuple):
    """What is said of text[start:end]: words, or one mark."""

    said: tuple[str, ...]
    start: int
    end: int


def pieces(text: str) -> Iterator[Piece]:
    """What is said of the text, in order. Raises InputError for letters of other scripts."""
    source = Source(text)
    at, mark = 0, None
    spoken = False
    while at < len(source.text):
        said, end = _at(source, at)
        if len(said) == 1 and said[0] in MARKS:
            start = at if mark is None else mark.start
            if mark is not None and MARKS.index(mark.said[0]) > MARKS.index(said[0]):
                said = list(mark.said)
            mark = Piece((said[0],), start, end)
        elif said:
            if mark is not None and spoken:
                yield mark
            mark, spoken = None, True
            # a full stop that belongs to an abbreviation and ends the sentence too comes last
            words = tuple(said[:-1]) if said[-1] == "." else tuple(said)
            yield Piece(words, at, end)
            if said[-1] == ".":
                mark = Piece((".",), end - 1, end)
        if said:
            source.last, source.last_written = said[-1], source.text[at:end]
        at = end
    if mark is not None and spoken:
        yield mark


def _at(source: Source, at: int) -> Found:
    letter = source.text[at]
    if letter.isspace():
        return [], at + 1
    if letter.isdigit() and letter.isascii():
        rules = _NUMBER_RULES
    elif letter.isalpha():
        rules = _LETTER_RULES
    else:
        rules = _SYMBOL_RULES
    for rule in rules:
        found = rule(source, at)
        if found is not None:
            return found
    raise AssertionError(f"no rule took {letter!r}")  # the last rule of each list takes anything
