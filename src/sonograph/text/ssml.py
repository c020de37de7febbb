"""Speech Synthesis Markup, the part of it that changes what is said and how.

Read are `<speak>`, `<p>`, `<s>`, `<break time strength>`, `<emphasis level>`, `<prosody rate pitch
volume>`, `<say-as interpret-as format>`, `<sub alias>` and `<phoneme alphabet ph>` (x-arpabet, or
ipa for the sounds of English). Anything else is an error. Entities other than the five of XML,
document types and anything that lies outside the text are refused, so is more than a megabyte.

>>> read_ssml('<speak>Wait <break time="500ms"/> <prosody rate="slow">here</prosody></speak>')[1]
Segment(text='here', pause_s=0.5, pace=0.75, pitch=1.0, energy=1.0, phones=())
"""

from __future__ import annotations

import dataclasses
import re
from typing import NoReturn
from xml.parsers import expat

from sonograph.errors import InputError, did_you_mean
from sonograph.text import listed
from sonograph.text.arpabet import from_arpabet, from_ipa

MOST_CHARACTERS = 1_000_000
DEEPEST = 32


@dataclasses.dataclass(frozen=True)
class Segment:
    """Text that is said in one way: factors on speed, pitch and energy, silence in front.

    `phones` are ARPAbet phones where the markup gives them; empty: from the text.
    """

    text: str
    pause_s: float = 0.0
    pace: float = 1.0
    pitch: float = 1.0
    energy: float = 1.0
    phones: tuple[str, ...] = ()


_ATTRIBUTES = {
    "speak": ("version", "xmlns", "xml:lang"),
    "p": (),
    "s": (),
    "break": ("time", "strength"),
    "emphasis": ("level",),
    "prosody": ("rate", "pitch", "volume"),
    "say-as": ("interpret-as", "format"),
    "sub": ("alias",),
    "phoneme": ("alphabet", "ph"),
}
# What the words of the standard mean in numbers is left to the maker; these are our choices.
_STRENGTH_S = {
    "none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.0,
}  # fmt: skip
_PARAGRAPH_S, _SENTENCE_S, _LONGEST_BREAK_S = 0.6, 0.3, 10.0
_EMPHASIS = {  # pace, pitch, energy
    "strong": (0.85, 1.15, 1.4),
    "moderate": (0.92, 1.08, 1.2),
    "none": (1.0, 1.0, 1.0),
    "reduced": (1.1, 0.95, 0.8),
}
_RATE = {
    "x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.6,
}  # fmt: skip
_PITCH = {
    "x-low": 0.75, "low": 0.87, "medium": 1.0, "default": 1.0, "high": 1.15, "x-high": 1.3,
}  # fmt: skip
_VOLUME = {
    "silent": 0.0, "x-soft": 0.35, "soft": 0.6, "medium": 1.0, "default": 1.0, "loud": 1.5,
    "x-loud": 2.0,
}  # fmt: skip
_SAY_AS = listed(
    "characters spell-out digits telephone cardinal number ordinal date time fraction verbatim"
)
_ORDERS = {"mdy": "mdy", "dmy": "dmy", "ymd": "ymd", "md": "md", "dm": "dm", "my": "my"}


def is_ssml(text: str) -> bool:
    """Whether a text is meant as markup: it begins with <speak>, perhaps behind an XML head."""
    return re.match(r"\s*(<\?xml[^>]{0,200}\?>\s*)?<speak[\s>/]", text) is not None


def read_ssml(text: str) -> list[Segment]:
    """The segments of a marked-up text, in order. Raises InputError with the line of a fault."""
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"the SSML has {len(text):,} characters: give at most {MOST_CHARACTERS:,} at a time"
        )
    reader = _Reader()
    try:
        reader.parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        words = expat.errors.messages.get(error.code, "not well-formed")
        reader.fail(f"is no XML ({words})", error.lineno, error.offset)
    return reader.segments()


@dataclasses.dataclass(frozen=True)
class _Way:
    """How text inside an element is said."""

    name: str
    pace: float = 1.0
    pitch: float = 1.0
    energy: float = 1.0
    say_as: str = ""
    order: str = ""
    alias: str = ""
    phones: tuple[str, ...] = ()


class _Reader:
    """Collects segments from the events of the XML parser."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.refuse
        self.parser.EntityDeclHandler = self.refuse
        self.stack: list[_Way] = []
        self.found: list[Segment] = []
        self.pause_s = 0.0
        self.inner = ""  # text of a <sub>, <phoneme> or <say-as>

    def fail(self, words: str, line: int | None = None, column: int | None = None) -> NoReturn:
        line = self.parser.CurrentLineNumber if line is None else line
        column = self.parser.CurrentColumnNumber if column is None else column
        raise InputError(f"line {line}, column {column + 1} of the SSML {words}")

    def refuse(self, *_: object) -> None:
        self.fail("declares a document type or entity: leave that out, write the text itself")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name not in _ATTRIBUTES:
            self.fail(
                f"has <{name}>, which is not read.{did_you_mean(name, _ATTRIBUTES)} Known: "
                f"{' '.join(_ATTRIBUTES)}"
            )
        if not self.stack and name != "speak":
            self.fail(f"begins with <{name}>: put <speak> around it")
        if len(self.stack) >= DEEPEST:
            self.fail(f"is nested more than {DEEPEST} deep")
        for given in attributes:
            if given not in _ATTRIBUTES[name]:
                known = " ".join(_ATTRIBUTES[name]) or "none"
                self.fail(f"has an unknown attribute {given!r} of <{name}>: known {known}")
        outer = self.stack[-1] if self.stack else _Way("speak")
        if outer.name in ("say-as", "sub", "phoneme", "break"):
            self.fail(f"has <{name}> inside <{outer.name}>, which holds text only")
        self.stack.append(self.way(name, attributes, outer))

    def way(self, name: str, given: dict[str, str], outer: _Way) -> _Way:
        inside = dataclasses.replace(outer, name=name)
        if name == "break":
            self.pause_s += self.break_s(given)
        elif name in ("p", "s") and self.found:
            self.pause_s = max(self.pause_s, _PARAGRAPH_S if name == "p" else _SENTENCE_S)
        elif name == "emphasis":
            level = self.one_of(given.get("level", "moderate"), _EMPHASIS, "level of emphasis")
            return self.times(inside, *_EMPHASIS[level])
        elif name == "prosody":
            return self.times(
                inside,
                self.rate(given.get("rate", "default")),
                self.pitch(given.get("pitch", "default")),
                self.volume(given.get("volume", "default")),
            )
        elif name == "say-as":
            kind = self.one_of(self.needed(given, name, "interpret-as"), _SAY_AS, "interpret-as")
            order = given.get("format", "mdy")
            if kind == "date":
                self.one_of(order, _ORDERS, "format of a date")
            return dataclasses.replace(inside, say_as=kind, order=order)
        elif name == "sub":
            return dataclasses.replace(inside, alias=self.needed(given, name, "alias"))
        elif name == "phoneme":
            alphabet = given.get("alphabet", "ipa")
            self.one_of(alphabet, ("x-arpabet", "ipa"), "alphabet")
            read = from_arpabet if alphabet == "x-arpabet" else from_ipa
            try:
                phones = read(self.needed(given, name, "ph"))
            except InputError as error:
                self.fail(f"has a fault in <phoneme>: {error}")
            if not phones:
                self.fail("has an empty ph in <phoneme>: give phones")
            return dataclasses.replace(inside, phones=phones)
        return inside

    def times(self, way: _Way, pace: float, pitch: float, energy: float) -> _Way:
        return dataclasses.replace(
            way, pace=way.pace * pace, pitch=way.pitch * pitch, energy=way.energy * energy
        )

    def needed(self, given: dict[str, str], name: str, attribute: str) -> str:
        if not given.get(attribute, "").strip():
            self.fail(f"has <{name}> without {attribute!r}: give it")
        return given[attribute]

    def one_of(self, word: str, known: dict | tuple | list, what: str) -> str:
        if word not in known:
            self.fail(f"has the unknown {what} {word!r}: use one of {' '.join(known)}")
        return word

    def break_s(self, given: dict[str, str]) -> float:
        if "time" not in given:
            return _STRENGTH_S[
                self.one_of(given.get("strength", "medium"), _STRENGTH_S, "strength of a break")
            ]
        found = re.fullmatch(r"\s*\+?(\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})(ms|s)\s*", given["time"])
        seconds = float(found[1]) * (0.001 if found[2] == "ms" else 1) if found else -1.0
        if not 0 <= seconds <= _LONGEST_BREAK_S:
            self.fail(f"has a break of {given['time']!r}: write 0ms to 10s, such as 500ms")
        return seconds

    def factor(self, value: float, low: float, high: float, given: str, what: str) -> float:
        if not low <= value <= high:
            self.fail(f"has the {what} {given!r}: give a factor from {low:g} to {high:g}")
        return value

    def rate(self, text: str) -> float:
        if text in _RATE:
            return _RATE[text]
        value = _percent(text) or _number(text)
        if value is None:
            self.fail(f"has the rate {text!r}: use {' '.join(_RATE)}, 80% or 1.2")
        return self.factor(value, 0.2, 5.0, text, "rate")

    def pitch(self, text: str) -> float:
        if text in _PITCH:
            return _PITCH[text]
        tones = re.fullmatch(r"([+-]\d{1,3}(?:\.\d{1,3})?)st", text.strip())
        value = 2 ** (float(tones[1]) / 12) if tones else _percent(text)
        if value is None:
            self.fail(f"has the pitch {text!r}: use {' '.join(_PITCH)}, +10% or -2st")
        return self.factor(value, 0.25, 4.0, text, "pitch")

    def volume(self, text: str) -> float:
        if text in _VOLUME:
            return _VOLUME[text]
        found = re.fullmatch(r"([+-]\d{1,3}(?:\.\d{1,3})?)dB", text.strip())
        value = 10 ** (float(found[1]) / 20) if found else _percent(text)
        if value is None:
            self.fail(f"has the volume {text!r}: use {' '.join(_VOLUME)}, +6dB or 80%")
        return self.factor(value, 0.0, 10.0, text, "volume")

    def characters(self, text: str) -> None:
        way = self.stack[-1]
        if way.name == "break":
            if text.strip():
                self.fail("has text inside <break>: write <break/>")
        elif way.name in ("say-as", "sub", "phoneme"):
            self.inner += text
        else:
            self.add(text, way)

    def end(self, name: str) -> None:
        way = self.stack.pop()
        if name == "sub":
            self.add(way.alias, way)
        elif name == "phoneme":
            self.add(self.inner.strip() or "-", way, way.phones)
        elif name == "say-as":
            try:
                self.add(say_as(self.inner, way.say_as, way.order), way)
            except InputError as error:
                self.fail(f"has a fault in <say-as>: {error}")
        self.inner = ""

    def add(self, text: str, way: _Way, phones: tuple[str, ...] = ()) -> None:
        """A segment more, or the last one longer where nothing changes."""
        if not text.strip() and not phones and (self.pause_s or not self.found):
            return  # white space beside a pause
        new = Segment(text, self.pause_s, way.pace, way.pitch, way.energy, phones)
        last = self.found[-1] if self.found else None
        alike = last is not None and new == dataclasses.replace(last, text=text, pause_s=0.0)
        if last is not None and alike and not phones:
            self.found[-1] = dataclasses.replace(last, text=last.text + text)
            return
        self.found.append(new)
        self.pause_s = 0.0

    def segments(self) -> list[Segment]:
        if self.pause_s:
            self.found.append(Segment("", self.pause_s))
        return self.found


_MARK_NAMES = {
    ".": "dot", "-": "dash", ",": "comma", "!": "exclamation point", "?": "question mark",
    ":": "colon", ";": "semicolon", "'": "apostrophe", '"': "quote", "(": "open parenthesis",
    ")": "close parenthesis",
}  # fmt: skip


def _percent(text: str) -> float | None:
    """ "80%" as 0.8, "+10%" as 1.1."""
    found = re.fullmatch(r"([+-]?)(\d{1,4}(?:\.\d{1,4})?)%", text.strip())
    if not found:
        return None
    share = float(found[2]) / 100
    return {"": share, "+": 1 + share, "-": 1 - share}[found[1]]


def _number(text: str) -> float | None:
    found = re.fullmatch(r"\d{1,3}(?:\.\d{1,4})?", text.strip())
    return float(found[0]) if found else None


def say_as(text: str, kind: str, order: str = "mdy") -> str:
    """The words of a text that is to be said as something. Raises InputError where it is not that.

    >>> say_as("SOS", "characters"), say_as("3/4", "date", "dm")
    ('S O S', 'the third of april')
    """
    from sonograph.text import numbers
    from sonograph.text.written_forms import SYMBOLS

    text = text.strip()
    if kind in ("characters", "spell-out", "verbatim", "digits", "telephone"):
        said: list[str] = []
        for letter in text:
            if letter.isascii() and letter.isdigit():
                said += numbers.digits(letter)
            elif kind in ("digits", "telephone") and (letter.isspace() or letter in "-.,()/"):
                continue
            elif letter.isalpha():
                said.append(letter.upper())
            elif not letter.isspace():
                said.append(_MARK_NAMES.get(letter) or SYMBOLS.get(letter, letter))
        return " ".join(said)
    if kind == "date":
        return _date(text, order)
    digits = text.replace(",", "")
    if kind in ("cardinal", "number", "ordinal"):
        shape = r"\d{1,36}(st|nd|rd|th)?" if kind == "ordinal" else r"-?\d{1,60}(\.\d{1,60})?"
        if not re.fullmatch(shape, digits):
            raise InputError(f"{text[:40]!r} is no {kind}: give digits")
        if kind == "ordinal":
            return " ".join(numbers.ordinal(digits.rstrip("stndrh")))
        sign = ["minus"] if digits.startswith("-") else []
        return " ".join(sign + numbers.decimal(digits.lstrip("-")))
    if kind == "fraction":
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", digits)
        if not found or int(found[2]) == 0:
            raise InputError(f"{text[:40]!r} is no fraction: write it as 3/4")
        return " ".join(numbers.fraction(found[1], found[2]))
    found = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d))?", text)  # time
    if not found:
        return text  # "5 pm", "half past two": read as any text
    if int(found[1]) > 24 or int(found[2]) > 59:
        raise InputError(f"{text!r} is no time: write it as 14:05")
    return " ".join(numbers.time_of_day(found[1], found[2], found[3] or ""))


def _date(text: str, order: str) -> str:
    from sonograph.text import numbers

    parts = re.split(r"[-/. ]+", text)
    if len(parts) != len(order) or not all(re.fullmatch(r"\d{1,4}", part) for part in parts):
        raise InputError(f"{text[:40]!r} is no date in the order {order!r}: write 12/31/2024")
    given = dict(zip(order, parts))
    month, day, year = int(given["m"]), given.get("d", ""), given.get("y", "")
    if not 1 <= month <= 12 or (day and not 1 <= int(day) <= 31):
        raise InputError(f"{text[:40]!r} is no date in the order {order!r}: write 12/31/2024")
    if len(year) == 2:
        year = ("19" if int(year) > 69 else "20") + year
    if order.startswith("d"):
        words = ["the", *numbers.ordinal(str(int(day))), "of", numbers.MONTHS[month - 1]]
        return " ".join(words + (numbers.year(year) if year else []))
    if not day:
        return " ".join([numbers.MONTHS[month - 1], *numbers.year(year)])
    return " ".join(numbers.date(month, day, year))
