"""Numbers as English words: cardinals, ordinals, digits, years, decimals, fractions, money, times.

Everything takes and gives strings, so that 40 digits are as exact as four. American usage: no "and"
behind "hundred", months before days.

>>> " ".join(cardinal("1204")), " ".join(ordinal("21")), " ".join(year("1905"))
('one thousand two hundred four', 'twenty first', 'nineteen oh five')
"""

from __future__ import annotations

from sonograph.text import listed

ONES = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
)
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = listed(
    "thousand million billion trillion quadrillion quintillion sextillion septillion "
    "octillion nonillion decillion"
)
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
MONTHS = listed(
    "january february march april may june july august september october november december"
)
LONGEST = 3 * (len(SCALES) + 1)  # digits that still have a name; longer numbers are read by digits

Words = list[str]


def digits(text: str) -> Words:
    """Every digit by itself, others passed over."""
    return [ONES[int(letter)] for letter in text if letter in "0123456789"]


def _below_thousand(value: int) -> Words:
    words = [ONES[value // 100], "hundred"] if value >= 100 else []
    rest = value % 100
    if rest >= 20:
        words.append(TENS[rest // 10 - 2])
        rest %= 10
        if rest:
            words.append(ONES[rest])
    elif rest or not words:
        words.append(ONES[rest])
    return words


def cardinal(text: str) -> Words:
    """A whole number of any length; a leading zero or more than 36 digits: digit by digit."""
    text = text.replace(",", "")
    if len(text) > LONGEST or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    if int(text) == 0:
        return ["zero"]
    words: Words = []
    groups = [int(text[max(0, end - 3) : end]) for end in range(len(text), 0, -3)][::-1]
    for group, above in zip(groups, range(len(groups) - 1, -1, -1)):
        if group:
            words += _below_thousand(group) + ([SCALES[above - 1]] if above else [])
    return words


def ordinal(text: str) -> Words:
    """The number as a place in a row."""
    words = cardinal(text)
    last = words[-1]
    if last.endswith("y"):
        words[-1] = last[:-1] + "ieth"
    else:
        words[-1] = _ORDINALS.get(last, last + "th")
    return words


def decimal(text: str) -> Words:
    """A number that may have a decimal part: "3.14", ".5", "1,000.0"."""
    whole, point, part = text.partition(".")
    words = cardinal(whole) if whole else ["zero"] if not point else []
    return words + (["point", *digits(part)] if point and part else [])


def pairs(text: str) -> Words:
    """Two digits at a time: how Americans read years and house numbers; four digits exactly."""
    first, second = text[:2], text[2:]
    if first == "00":
        return digits(text)
    if second == "00":
        return [*_below_thousand(int(first)), "hundred"]
    if second[0] == "0":
        return [*_below_thousand(int(first)), "oh", ONES[int(second[1])]]
    return _below_thousand(int(first)) + _below_thousand(int(second))


def year(text: str) -> Words:
    """A year of one to four digits."""
    if len(text) != 4 or text[1:] in ("000", "00") or text[:3] == "200" or text[1:3] == "00":
        return cardinal(text)
    return pairs(text)


def code(text: str) -> Words:
    """Digits that name something (an extension, a pin): by digits, round hundreds as hundreds."""
    if len(text) in (3, 4) and text.endswith("00") and text[0] != "0" and text[-3] != "0":
        return [*_below_thousand(int(text[:-2])), "hundred"]
    if len(text) <= 2 and text[0] != "0":
        return cardinal(text)
    return digits(text)


def plural(words: Words) -> Words:
    """The last word in the plural: "nineteen eighties", "two halves"."""
    last = words[-1]
    if last == "half":
        end = "halves"
    elif last.endswith("foot"):
        end = last[:-4] + "feet"
    elif last.endswith("inch") or last.endswith("x") or last.endswith("s"):
        end = last + "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        end = last[:-1] + "ies"
    else:
        end = last + "s"
    return [*words[:-1], end]


def fraction(above: str, below: str) -> Words:
    """ "3/4" as three quarters; with a large or odd part, "twelve over one hundred one"."""
    if len(below) > 2 or len(above) > 2 or int(below) < 2 or int(above) == 0:
        return [*cardinal(above), "over", *cardinal(below)]
    part = {2: ["half"], 4: ["quarter"]}.get(int(below)) or ordinal(str(int(below)))
    return cardinal(str(int(above))) + (part if int(above) == 1 else plural(part))


def time_of_day(hour: str, minute: str, second: str = "") -> Words:
    """ "9:05" as nine oh five, "9:00" as nine o'clock, "21:00" as twenty one hundred."""
    words = cardinal(str(int(hour)))
    if int(minute) == 0 and not second:
        return [*words, "o'clock"] if 0 < int(hour) <= 12 else [*words, "hundred"]
    words += ["oh", ONES[int(minute)]] if int(minute) < 10 else cardinal(minute)
    if second:
        words += ["and", *decimal(second.lstrip("0") or "0")]
        words.append("second" if int(float(second)) == 1 else "seconds")
    return words


def date(month: int, day: str, in_year: str = "") -> Words:
    """Month (1 to 12), day, year: "march third twenty twenty four"."""
    return [MONTHS[month - 1], *ordinal(str(int(day))), *(year(in_year) if in_year else [])]


def money(amount: str, unit: str, part: str, scale: str = "") -> Words:
    """ "3.50" of dollar and cent; with a scale ("million") the unit comes last."""
    amount = amount.replace(",", "")
    whole, _, rest = amount.partition(".")
    if scale:
        return [*decimal(amount), scale, *_units(unit)]
    if len(rest) != 2 or not part:
        one = amount == "1"
        return [*decimal(amount), *([unit] if one else _units(unit))]
    words: Words = []
    if int(whole or "0") or not int(rest):
        words = cardinal(whole or "0") + ([unit] if int(whole or "0") == 1 else _units(unit))
    if int(rest):
        words += ["and"] if words else []
        words += cardinal(str(int(rest))) + ([part] if int(rest) == 1 else _units(part))
    return words


_UNCHANGED = frozenset({"yen", "yuan", "won", "baht", "rand", "pence", "hertz"})


def _units(unit: str) -> Words:
    return [unit] if unit in _UNCHANGED else plural([unit])
