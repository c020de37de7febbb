"""Days, months, years and times of day."""

from __future__ import annotations

import re

from sonograph.text import numbers
from sonograph.text.normalize.source import Found, Source, pattern

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"[12]\d{3}(?!\d|[.,]\d)"
_AMPM = r"(?:\s?([ap])\.?\s?m\b\.?)"
_MONTH_DAY = pattern(rf"({_MONTH})\s({_DAY})(?:st|nd|rd|th)?(?![\d:]|[.,]\d)(?:,?\s({_YEAR}))?")
_MONTH_YEAR = pattern(rf"({_MONTH})\s({_YEAR})")
_DAY_MONTH = pattern(rf"({_DAY})(?:st|nd|rd|th)?\s(?:of\s)?({_MONTH})(?:,?\s({_YEAR}))?(?!\w)")
_ISO_DATE = pattern(rf"([12]\d{{3}})-(0[1-9]|1[0-2])-({_DAY})(?!\d|-\d)")
_US_DATE = pattern(rf"(0?[1-9]|1[0-2])/({_DAY})/(\d{{4}}|\d\d)(?![\d/])")
_TIME = pattern(rf"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?(?![\d:]){_AMPM}?")
_HOUR = pattern(rf"(1[0-2]|0?[1-9]){_AMPM}")


def _month(text: str) -> int:
    return [name[:3] for name in numbers.MONTHS].index(text[:3].lower()) + 1


def month_day(source: Source, at: int) -> Found | None:
    """May 5th, 2024; May 2024."""
    found = _MONTH_DAY.match(source.text, at)
    if found and not (found[1].islower() and found[1] in ("may", "march", "mar")):
        return numbers.date(_month(found[1]), found[2], found[3] or ""), found.end()
    found = _MONTH_YEAR.match(source.text, at)
    if found and not found[1].islower():
        return [numbers.MONTHS[_month(found[1]) - 1], *numbers.year(found[2])], found.end()
    return None


def day_month(source: Source, at: int) -> Found | None:
    """5 May 2024; 5th of May."""
    found = _DAY_MONTH.match(source.text, at)
    if found is None or found[2].islower():
        return None
    in_year = numbers.year(found[3]) if found[3] else []
    month = numbers.MONTHS[_month(found[2]) - 1]
    first = [] if source.last == "the" else ["the"]
    end = found.end() - (found[0].endswith(".") and source.ends(found.end()))
    return [*first, *numbers.ordinal(str(int(found[1]))), "of", month, *in_year], end


def numeric_date(source: Source, at: int) -> Found | None:
    """2024-05-03 and, in the American order, 5/3/2024."""
    found = _ISO_DATE.match(source.text, at)
    if found:
        return numbers.date(int(found[2]), found[3], found[1]), found.end()
    found = _US_DATE.match(source.text, at)
    if found is None:
        return None
    full = found[3] if len(found[3]) == 4 else ("19" if int(found[3]) > 69 else "20") + found[3]
    return numbers.date(int(found[1]), found[2], full), found.end()


def time(source: Source, at: int) -> Found | None:
    """10:30 a.m.; 7pm."""
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
