"""Words: short forms, capitals, numbers in Roman letters, letters of other alphabets."""

from __future__ import annotations

import re
import unicodedata

from sonograph.errors import InputError
from sonograph.text import numbers
from sonograph.text.lexicon import lexicon
from sonograph.text.normalize.source import MARKS, Found, Source, pattern
from sonograph.text.normalize.symbols import name_of
from sonograph.text.written_forms import (
    ALSO_WORDS,
    BEFORE_NUMBER,
    COMMON_SHORT,
    MAY_END,
    PARTS,
    PREFIXES,
    ROMAN,
    SAID_AS_WORDS,
    SYMBOLS,
    WITH_STOP,
)

_SPECIAL = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "th", "þ": "th", "ı": "i",
    "ŋ": "ng", "ŉ": "n",
}  # fmt: skip

_L = r"(?:[^\W\d_]|[\u0300-\u036f\u00ad])"  # a letter, with combining accents and soft hyphens
_WORD = pattern(rf"{_L}+(?:'{_L}+)*")
_INITIALS = pattern(r"(?:[a-z]\.){2,12}(?:[a-z](?![a-z']))?|ph\.d\.?(?![a-z])")
_SHORT = pattern(r"([a-z]{1,6})\.")
_MODEL = pattern(r"([a-z])\.(\d{1,6})(?!\w)")


def initials(source: Source, at: int) -> Found | None:
    """e.g.; U.S.; Ph.D."""
    found = _INITIALS.match(source.text, at)
    if found is None:
        return None
    text, end = found[0], found.end()
    key = text.lower().rstrip(".")
    said = WITH_STOP[key].split() if key in WITH_STOP else list(text.replace(".", "").upper())
    if text.endswith(".") and (source.ends(end) or (key in MAY_END and source.capital_behind(end))):
        said = [*said, "."]
    return said, end


def short_form(source: Source, at: int) -> Found | None:
    """Words cut short by a full stop: Dr., St., no. 5."""
    found = _SHORT.match(source.text, at)
    if found is None:
        return None
    text, end = found[1], found.end()
    low = text.lower()
    behind = source.after(end, 3)
    if low in BEFORE_NUMBER and re.match(r"\s?\d", behind):
        return [BEFORE_NUMBER[low]], end
    if low not in WITH_STOP:
        return None
    named = source.capital_behind(end) or bool(re.match(r"\s?\d", behind))
    numbered = low in ("fig", "ext", "col") and re.match(r"\s?\d", behind)
    if low in ALSO_WORDS and not (text[0].isupper() and named) and not numbered:
        return None
    first, _, otherwise = WITH_STOP[low].partition("|")
    if low == "ft":
        said = first if text[0].isupper() and named else otherwise
    elif otherwise:
        # "Main St. The next" against "in St. Louis"; a doctor is one before any name
        after_name = low != "dr" and source.last_written[:1].isupper() and source.last not in MARKS
        said = first if source.capital_behind(end) and not after_name else otherwise
    else:
        said = first
    closes = source.ends(end) or (
        low in MAY_END and source.capital_behind(end) and said not in ("saint",)
    )
    return [*said.split(), *(["."] if closes else [])], end


def model(source: Source, at: int) -> Found | None:
    """A letter and digits: V.90."""
    found = _MODEL.match(source.text, at)
    if found is None or not found[1].isupper():
        return None
    return [found[1], "dot", *numbers.digits(found[2])], found.end()


def word(source: Source, at: int) -> Found:
    """A run of letters."""
    found = _WORD.match(source.text, at)
    assert found is not None
    text, end = found[0].replace("\u00ad", ""), found.end()
    if not text:
        return [], end
    if not text.isascii():
        return latin(text), end
    if text.lower() in PREFIXES and source.text[end : end + 1] == "-":  # "re-enter" is one word
        rest = _WORD.match(source.text, end + 1)
        if rest and rest[0].isascii() and not rest[0].isupper():
            return [text.lower() + rest[0].lower()], rest.end()
    return _cased(source, text, at, end), end


def _cased(source: Source, text: str, at: int, end: int) -> list[str]:
    low = text.lower()
    if len(text) == 1:
        if low == "a" and _is_article(source, at, end):
            return ["a"]
        return ["i"] if text == "I" else [text.upper()]
    if text in ROMAN and not source.shouting:
        if source.last in PARTS:
            return numbers.cardinal(str(ROMAN[text]))
        if source.last_written[:1].isupper() and source.last not in MARKS and len(text) > 1:
            return ["the", *numbers.ordinal(str(ROMAN[text]))]
    if low in ("mr", "mrs", "ms", "dr", "prof") and source.capital_behind(end):
        return [WITH_STOP[low].partition("|")[0]]
    if low in ("etc", "vs"):
        return WITH_STOP[low].split()
    capitals = re.fullmatch(r"([A-Z]{2,})('?s)?", text)
    if capitals and not (source.shouting and low in lexicon()):
        beside = source.before(at) + source.after(end, 1)
        return _capitals(capitals[1], capitals[2] or "", beside)
    if low not in lexicon() and re.search(r"[a-z][A-Z]", text):  # "YouTube"
        said: list[str] = []
        for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+", text):
            said += _capitals(part, "") if part.isupper() else _spelled_if_unsayable(part.lower())
        return said
    return _spelled_if_unsayable(low)


def _spelled_if_unsayable(low: str) -> list[str]:
    """A word as it stands, or its letters where it has no vowel ("pbx") and is none ("hmm")."""
    if len(low) > 6 or low in lexicon() or re.search("[aeiouy']", low):
        return [low]
    return list(low.upper())


def _is_article(source: Source, at: int, end: int) -> bool:
    before = source.before(at)
    if source.is_one_word or (before and (before.isalnum() or before in "-_")):
        return False
    if not re.match(r"\s+[\"'($€£]?\w", source.after(end, 4)):
        return False
    return source.text[at] == "a" or source.last in ("", *MARKS) or source.shouting


def _capitals(text: str, ending: str, beside: str = "") -> list[str]:
    """A word in capitals: said or spelled; beside "&" ("AT&T") spelled unless it is long."""
    low = text.lower()
    said_as_word = low in SAID_AS_WORDS or (low in COMMON_SHORT and "&" not in beside)
    if not said_as_word and len(text) >= 4 and re.search("[AEIOUY]", text):
        said_as_word = low in lexicon() or len(text) > 5
    if said_as_word:
        return [low + ("'s" if ending == "'s" else ending)]
    letters = list(text)
    if ending:
        letters[-1] += "'s"
    return letters


def latin(text: str) -> list[str]:
    """Words of letters that are not all plain: accents taken off, Greek named, others refused."""
    said: list[str] = []
    plain: list[str] = []
    foreign: list[str] = []
    for letter in unicodedata.normalize("NFD", text):
        if letter.isascii():
            plain.append(letter.lower())
        elif letter.lower() in _SPECIAL:
            plain.append(_SPECIAL[letter.lower()])
        elif unicodedata.category(letter) in ("Mn", "Cf"):
            continue
        elif letter.isnumeric():  # "m²": a letter to regular expressions
            said += ["".join(plain)] if plain else []
            said += SYMBOLS[letter].split() if letter in SYMBOLS else name_of(letter)
            plain = []
        else:
            base = unicodedata.normalize("NFKD", letter.lower())
            name = unicodedata.name(letter, "")
            if base.isascii() and base.isalpha():
                plain.append(base)
            elif name.startswith("GREEK ") and " LETTER " in name:
                if plain:
                    said.append("".join(plain))
                    plain = []
                said.append(
                    name.partition(" LETTER ")[2].split()[-1 if "FINAL" in name else 0].lower()
                )
            else:
                foreign.append(letter)
    if foreign:
        named = " ".join(dict.fromkeys(foreign[:60]))[:40]
        raise InputError(
            f"{named!r} in {text[:30]!r} cannot be said in English: give the language of the text, "
            "or write it in Latin letters"
        )
    word = "".join(plain)
    if word:
        said.append(word.upper() if len(word) == 1 and not said else word)
    return said
