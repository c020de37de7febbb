"""Numbers and what they count: money, measures, parts, ordinals; numbers that name something."""

from __future__ import annotations

import re

from sonograph.text import numbers
from sonograph.text.normalize.source import NUMBER, Found, Source, pattern
from sonograph.text.written_forms import CURRENCIES, NAMES_A_CODE, NO_PLURAL, SCALES, SYMBOLS, UNITS

_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_PHONE = pattern(
    r"(?:\+?\d{1,3}[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\d-])"
    r"|\d{3}-\d{4}(?![\d-])|\+\d{1,3}(?:[ -]\d{2,5}){2,5}(?!\d)"
)
_DOTTED = pattern(r"\d+(?:\.\d+){2,8}(?!\w)")
_MONEY = pattern(
    rf"([$€£¥₹₽₩₺₪₿฿])\s?({NUMBER})(?:\s?(thousand|million|billion|trillion|[kmb]n?|tn)\b)?"
)
_AMOUNT = pattern(rf"({NUMBER})\s?([€£¥₹₽₩₺₪₿฿¢]|usd\b|eur\b|gbp\b|chf\b|jpy\b|cny\b|inr\b)")
_ORDINAL = pattern(r"(\d{1,3}(?:,\d{3}){1,11}|\d+)(?:st|nd|rd|th)\b")
_DECADE = pattern(r"'?(\d0|[12]\d\d0)'?s\b")
_FRACTION = pattern(r"(?:(\d+)\s)?(\d{1,4})/(\d{1,4})(?![\d/])")
_MIXED = pattern(r"(\d+)\s?([½¼¾⅓⅔⅛])")
_MEASURE = pattern(rf"({NUMBER})(\s?)({_UNIT})([²³]?)(?![\w/])", re.NOFLAG)
_PLAIN = pattern(rf"{NUMBER}|\.\d+")


def phone(source: Source, at: int) -> Found | None:
    """Telephone numbers, digit by digit."""
    found = _PHONE.match(source.text, at)
    if found is None:
        return None
    said: list[str] = ["plus"] if found[0].startswith("+") else []
    groups = re.findall(r"\d+", found[0])
    for group in groups:
        said += numbers.digits(group)
    return said, found.end()


def dotted(source: Source, at: int) -> Found | None:
    """Versions and network addresses: 1.2.3."""
    found = _DOTTED.match(source.text, at)
    if found is None:
        return None
    said: list[str] = []
    for part in found[0].split("."):
        said += ["dot"] if said else []
        said += numbers.cardinal(part) if len(part) < 3 else numbers.digits(part)
    return said, found.end()


def money(source: Source, at: int) -> Found | None:
    """$3.50; $2 million."""
    found = _MONEY.match(source.text, at)
    if found is None:
        return None
    unit, part = CURRENCIES[found[1]]
    scale = (found[3] or "").lower()
    return numbers.money(found[2], unit, part, SCALES.get(scale, scale)), found.end()


def amount(source: Source, at: int) -> Found | None:
    """5 EUR; 20¢."""
    found = _AMOUNT.match(source.text, at)
    if found is None:
        return None
    if found[2] == "¢":
        return numbers.money(found[1], "cent", ""), found.end()
    unit, part = CURRENCIES[found[2].lower()]
    return numbers.money(found[1], unit, part), found.end()


def ordinal(source: Source, at: int) -> Found | None:
    """21st."""
    found = _ORDINAL.match(source.text, at)
    return (numbers.ordinal(found[1]), found.end()) if found else None


def decade(source: Source, at: int) -> Found | None:
    """the 1980s; '90s."""
    found = _DECADE.match(source.text, at)
    if found is None:
        return None
    return numbers.plural(numbers.year(found[1])), found.end()


def fraction(source: Source, at: int) -> Found | None:
    """1/2; 3 1/4; 2½; 24/7."""
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


def measure(source: Source, at: int) -> Found | None:
    """5 km; 20 m²."""
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


def plain(source: Source, at: int) -> Found | None:
    """Any other number: a quantity, a year or a code."""
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


def signed(source: Source, at: int) -> Found | None:
    """A minus in front of a number."""
    if source.text[at] == "-" and re.match(r"-[$€£]?\.?\d", source.after(at)):
        before = source.before(at)
        if not before or before.isspace() or before in "([{=,:;<>*/+":
            return ["minus"], at + 1
    return None
