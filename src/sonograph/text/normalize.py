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

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from sonograph.errors import InputError
from sonograph.text import numbers
from sonograph.text.lexicon import lexicon
from sonograph.text.written_forms import (
    ALSO_WORDS,
    BEFORE_NUMBER,
    COMMON_SHORT,
    CURRENCIES,
    MAY_END,
    NAMES_A_CODE,
    NO_PLURAL,
    PARTS,
    PREFIXES,
    ROMAN,
    SAID_AS_WORDS,
    SAID_DOMAINS,
    SCALES,
    SYMBOLS,
    TOP_DOMAINS,
    UNITS,
    WITH_STOP,
)

MARKS = ",;:.!?"  # from weak to strong: of a run of them the strongest stays


class Piece(NamedTuple):
    """What is said of text[start:end]: words, or one mark."""

    said: tuple[str, ...]
    start: int
    end: int


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


_SPECIAL = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "th", "þ": "th", "ı": "i",
    "ŋ": "ng", "ŉ": "n",
}  # fmt: skip

_L = r"(?:[^\W\d_]|[\u0300-\u036f\u00ad])"  # a letter, with combining accents and soft hyphens
_NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,11}(?!\d)|\d+)(?:\.\d+)?"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"[12]\d{3}(?!\d|[.,]\d)"
_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_LABEL = r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"
_AMPM = r"(?:\s?([ap])\.?\s?m\b\.?)"


def _pattern(text: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(text, flags)


_WORD = _pattern(rf"{_L}+(?:'{_L}+)*")
_URL = _pattern(r"(?:https?://|ftp://|www\.)[^\s<>\"]+")
_MAIL = _pattern(rf"[\w.+-]{{1,64}}@(?:{_LABEL}\.){{1,5}}[a-z]{{2,10}}(?![\w])")
_DOMAIN = _pattern(rf"((?:{_LABEL}\.){{1,5}})([a-z]{{2,6}})(?![\w-]|\.\w)")
_PATH = _pattern(r"/[^\s<>\"]*")
_INITIALS = _pattern(r"(?:[a-z]\.){2,12}(?:[a-z](?![a-z']))?|ph\.d\.?(?![a-z])")
_SHORT = _pattern(r"([a-z]{1,6})\.")
_MODEL = _pattern(r"([a-z])\.(\d{1,6})(?!\w)")
_MONTH_DAY = _pattern(rf"({_MONTH})\s({_DAY})(?:st|nd|rd|th)?(?![\d:]|[.,]\d)(?:,?\s({_YEAR}))?")
_MONTH_YEAR = _pattern(rf"({_MONTH})\s({_YEAR})")
_DAY_MONTH = _pattern(rf"({_DAY})(?:st|nd|rd|th)?\s(?:of\s)?({_MONTH})(?:,?\s({_YEAR}))?(?!\w)")
_ISO_DATE = _pattern(rf"([12]\d{{3}})-(0[1-9]|1[0-2])-({_DAY})(?!\d|-\d)")
_US_DATE = _pattern(rf"(0?[1-9]|1[0-2])/({_DAY})/(\d{{4}}|\d\d)(?![\d/])")
_TIME = _pattern(rf"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?(?![\d:]){_AMPM}?")
_HOUR = _pattern(rf"(1[0-2]|0?[1-9]){_AMPM}")
_PHONE = _pattern(
    r"(?:\+?\d{1,3}[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\d-])"
    r"|\d{3}-\d{4}(?![\d-])|\+\d{1,3}(?:[ -]\d{2,5}){2,5}(?!\d)"
)
_DOTTED = _pattern(r"\d+(?:\.\d+){2,8}(?!\w)")
_MONEY = _pattern(
    rf"([$€£¥₹₽₩₺₪₿฿])\s?({_NUMBER})(?:\s?(thousand|million|billion|trillion|[kmb]n?|tn)\b)?"
)
_AMOUNT = _pattern(rf"({_NUMBER})\s?([€£¥₹₽₩₺₪₿฿¢]|usd\b|eur\b|gbp\b|chf\b|jpy\b|cny\b|inr\b)")
_ORDINAL = _pattern(r"(\d{1,3}(?:,\d{3}){1,11}|\d+)(?:st|nd|rd|th)\b")
_DECADE = _pattern(r"'?(\d0|[12]\d\d0)'?s\b")
_FRACTION = _pattern(r"(?:(\d+)\s)?(\d{1,4})/(\d{1,4})(?![\d/])")
_MIXED = _pattern(r"(\d+)\s?([½¼¾⅓⅔⅛])")
_MEASURE = _pattern(rf"({_NUMBER})(\s?)({_UNIT})([²³]?)(?![\w/])", re.NOFLAG)
_PLAIN = _pattern(rf"{_NUMBER}|\.\d+")


class _Text:
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
Rule = Callable[[_Text, int], Found | None]


def pieces(text: str) -> Iterator[Piece]:
    """What is said of the text, in order. Raises InputError for letters of other scripts."""
    source = _Text(text)
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


def _at(source: _Text, at: int) -> Found:
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


# ---- addresses ----------------------------------------------------------------------------------

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
            said += _latin(part)
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


def _url(source: _Text, at: int) -> Found | None:
    found = _URL.match(source.text, at)
    if found is None or not found[0].rstrip(".,;:!?)'\"]"):
        return None
    text = found[0].rstrip(".,;:!?)'\"]…")
    said = _address(re.sub(r"^\w+://", "", text).rstrip("/"))
    return (said, at + len(text)) if said else None


def _mail(source: _Text, at: int) -> Found | None:
    found = _MAIL.match(source.text, at)
    return (_address(found[0]), found.end()) if found else None


def _domain(source: _Text, at: int) -> Found | None:
    found = _DOMAIN.match(source.text, at)
    if found is None or found[2] not in TOP_DOMAINS:
        return None
    path = _PATH.match(source.text, found.end())
    if len(found[2]) == 2 and found[2] in lexicon() and not path and found[1].count(".") < 2:
        return None  # "end.it": rather a missing space than an address
    text = (found[0] + path[0]).rstrip(".,;:!?)'\"]…/") if path else found[0]
    return _address(text), at + len(text)


# ---- dates, times, numbers ----------------------------------------------------------------------


def _month(text: str) -> int:
    return [name[:3] for name in numbers.MONTHS].index(text[:3].lower()) + 1


def _month_day(source: _Text, at: int) -> Found | None:
    found = _MONTH_DAY.match(source.text, at)
    if found and not (found[1].islower() and found[1] in ("may", "march", "mar")):
        return numbers.date(_month(found[1]), found[2], found[3] or ""), found.end()
    found = _MONTH_YEAR.match(source.text, at)
    if found and not found[1].islower():
        return [numbers.MONTHS[_month(found[1]) - 1], *numbers.year(found[2])], found.end()
    return None


def _day_month(source: _Text, at: int) -> Found | None:
    found = _DAY_MONTH.match(source.text, at)
    if found is None or found[2].islower():
        return None
    in_year = numbers.year(found[3]) if found[3] else []
    month = numbers.MONTHS[_month(found[2]) - 1]
    first = [] if source.last == "the" else ["the"]
    end = found.end() - (found[0].endswith(".") and source.ends(found.end()))
    return [*first, *numbers.ordinal(str(int(found[1]))), "of", month, *in_year], end


def _numeric_date(source: _Text, at: int) -> Found | None:
    found = _ISO_DATE.match(source.text, at)
    if found:
        return numbers.date(int(found[2]), found[3], found[1]), found.end()
    found = _US_DATE.match(source.text, at)
    if found is None:
        return None
    full = found[3] if len(found[3]) == 4 else ("19" if int(found[3]) > 69 else "20") + found[3]
    return numbers.date(int(found[1]), found[2], full), found.end()


def _time(source: _Text, at: int) -> Found | None:
    found = _TIME.match(source.text, at)
    if found is not None:
        half = found[4]
        said = numbers.time_of_day(found[1], found[2], found[3] or "")
    else:
        found = _HOUR.match(source.text, at)
        if found is None:
            return None
        half, said = found[2], numbers.cardinal(str(int(found[1])))
    end = found.end()
    if half:
        said = [word for word in said if word != "o'clock"]
        said += [half.upper(), "M"]
        if found[0].endswith(".") and (source.ends(end) or source.capital_behind(end)):
            said.append(".")
    elif re.match(r"\s?o'clock", source.after(end, 9)) and said[-1] == "o'clock":
        said = said[:-1]
    return said, end


def _phone(source: _Text, at: int) -> Found | None:
    found = _PHONE.match(source.text, at)
    if found is None:
        return None
    said: list[str] = ["plus"] if found[0].startswith("+") else []
    groups = re.findall(r"\d+", found[0])
    for group in groups:
        said += numbers.digits(group)
    return said, found.end()


def _dotted(source: _Text, at: int) -> Found | None:
    found = _DOTTED.match(source.text, at)
    if found is None:
        return None
    said: list[str] = []
    for part in found[0].split("."):
        said += ["dot"] if said else []
        said += numbers.cardinal(part) if len(part) < 3 else numbers.digits(part)
    return said, found.end()


def _money(source: _Text, at: int) -> Found | None:
    found = _MONEY.match(source.text, at)
    if found is None:
        return None
    unit, part = CURRENCIES[found[1]]
    scale = (found[3] or "").lower()
    return numbers.money(found[2], unit, part, SCALES.get(scale, scale)), found.end()


def _amount(source: _Text, at: int) -> Found | None:
    found = _AMOUNT.match(source.text, at)
    if found is None:
        return None
    if found[2] == "¢":
        return numbers.money(found[1], "cent", ""), found.end()
    unit, part = CURRENCIES[found[2].lower()]
    return numbers.money(found[1], unit, part), found.end()


def _ordinal(source: _Text, at: int) -> Found | None:
    found = _ORDINAL.match(source.text, at)
    return (numbers.ordinal(found[1]), found.end()) if found else None


def _decade(source: _Text, at: int) -> Found | None:
    found = _DECADE.match(source.text, at)
    if found is None:
        return None
    return numbers.plural(numbers.year(found[1])), found.end()


def _fraction(source: _Text, at: int) -> Found | None:
    found = _MIXED.match(source.text, at)
    if found:
        part = SYMBOLS[found[2]].split()
        return [*numbers.cardinal(found[1]), "and", *part], found.end()
    found = _FRACTION.match(source.text, at)
    if found is None:
        return None
    if found[0] in ("24/7", "9/11") or (not found[1] and found[2] == found[3] != "1"):
        return [*numbers.cardinal(found[2]), *numbers.cardinal(found[3])], found.end()
    if int(found[3]) == 0:
        return None
    whole = [*numbers.cardinal(found[1]), "and"] if found[1] else []
    return [*whole, *numbers.fraction(found[2], found[3])], found.end()


def _measure(source: _Text, at: int) -> Found | None:
    found = _MEASURE.match(source.text, at)
    if found is None:
        return None
    amount, space, short, power = found.groups()
    if (short == "in" and space) or (len(short) == 1 and short.isupper() and not space):
        return None  # "5 in the box", "room 3V"
    if len(short) == 1 and short.isupper() and source.after(found.end(), 1) == ".":
        return None  # "42 W. Fifth Street"
    if short == "s" and not space and amount.endswith("0") and len(amount) > 1:
        return None  # a decade
    first, *rest = UNITS[short].split()
    if amount != "1" and first not in NO_PLURAL:
        if rest and rest[0] not in ("per", "celsius", "fahrenheit"):
            rest = numbers.plural(rest)
        else:
            first = numbers.plural([first])[0]
    shape = {"²": ["square"], "³": ["cubic"]}.get(power, [])
    return [*numbers.decimal(amount), *shape, first, *rest], found.end()


def _plain(source: _Text, at: int) -> Found | None:
    found = _PLAIN.match(source.text, at)
    if found is None or (found[0][0] == "." and source.before(at).isalnum()):
        return None
    text, end = found[0], found.end()
    if text.isdigit() and source.last in NAMES_A_CODE:
        said = numbers.code(text)
    elif text.isdigit() and len(text) == 4 and (1100 <= int(text) < 2100):
        said = numbers.year(text)
    elif text.isdigit() and len(text) >= 10:
        said = numbers.digits(text)
    else:
        said = numbers.decimal(text)
    if re.match(r"[-—]\$?\d", source.after(end)):  # a range
        return [*said, "to"], end + 1
    return said, end


def _signed(source: _Text, at: int) -> Found | None:
    """A minus in front of a number."""
    if source.text[at] == "-" and re.match(r"-[$€£]?\.?\d", source.after(at)):
        before = source.before(at)
        if not before or before.isspace() or before in "([{=,:;<>*/+":
            return ["minus"], at + 1
    return None


# ---- words --------------------------------------------------------------------------------------


def _initials(source: _Text, at: int) -> Found | None:
    found = _INITIALS.match(source.text, at)
    if found is None:
        return None
    text, end = found[0], found.end()
    key = text.lower().rstrip(".")
    said = WITH_STOP[key].split() if key in WITH_STOP else list(text.replace(".", "").upper())
    if text.endswith(".") and (source.ends(end) or (key in MAY_END and source.capital_behind(end))):
        said = [*said, "."]
    return said, end


def _short_form(source: _Text, at: int) -> Found | None:
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


def _model(source: _Text, at: int) -> Found | None:
    found = _MODEL.match(source.text, at)
    if found is None or not found[1].isupper():
        return None
    return [found[1], "dot", *numbers.digits(found[2])], found.end()


def _word(source: _Text, at: int) -> Found:
    found = _WORD.match(source.text, at)
    assert found is not None
    text, end = found[0].replace("\u00ad", ""), found.end()
    if not text:
        return [], end
    if not text.isascii():
        return _latin(text), end
    if text.lower() in PREFIXES and source.text[end : end + 1] == "-":  # "re-enter" is one word
        rest = _WORD.match(source.text, end + 1)
        if rest and rest[0].isascii() and not rest[0].isupper():
            return [text.lower() + rest[0].lower()], rest.end()
    return _cased(source, text, at, end), end


def _cased(source: _Text, text: str, at: int, end: int) -> list[str]:
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


def _is_article(source: _Text, at: int, end: int) -> bool:
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


def _latin(text: str) -> list[str]:
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
            said += SYMBOLS[letter].split() if letter in SYMBOLS else _named(letter)
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


# ---- symbols ------------------------------------------------------------------------------------

_DROPPED = frozenset({"So", "Sk", "Cf", "Cc", "Cs", "Co", "Cn", "Mn", "Me", "Mc"})


def is_dropped(letter: str) -> bool:
    """Whether a character makes no sound: emoji, controls, invisible ones."""
    return unicodedata.category(letter) in _DROPPED


_CLIPPED = _pattern(r"'(?:em|twas|tis|til|cause|bout|n)\b")


def _clipped(source: _Text, at: int) -> Found | None:
    found = _CLIPPED.match(source.text, at)
    return ([found[0].lower()], found.end()) if found else None


def _symbol(source: _Text, at: int) -> Found:
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
    return _named(letter), at + 1


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


def _named(letter: str) -> list[str]:
    return list(_named_words(letter))


_NUMBER_RULES: tuple[Rule, ...] = (
    _mail, _numeric_date, _time, _phone, _dotted, _day_month, _amount, _decade, _ordinal,
    _fraction, _measure, _domain, _plain,
)  # fmt: skip
_LETTER_RULES: tuple[Rule, ...] = (
    _url, _mail, _month_day, _model, _initials, _short_form, _domain, _word,
)  # fmt: skip
_SYMBOL_RULES: tuple[Rule, ...] = (_phone, _money, _signed, _decade, _clipped, _plain, _symbol)
