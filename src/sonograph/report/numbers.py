"""Numbers as people read them. Thin and non-breaking spaces keep a number with its unit."""

from __future__ import annotations

import math

GAP = "\u00a0"  # no line break between a number and its unit
MINUS = "\u2212"


def number(value: float, digits: int = 3) -> str:
    """A value with that many significant digits, thousands apart.

    >>> number(0.012345), number(48213.7)
    ('0.0123', '48\\u202f214')
    """
    if not math.isfinite(value):
        return "\u2013"
    if abs(value) >= 10 ** (digits - 1) or value == int(value):
        text = f"{value:,.0f}".replace(",", "\u202f")
    else:
        places = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
        text = f"{value:.{min(places, 8)}f}"
    return text.replace("-", MINUS)


def percent(share: float, digits: int = 0) -> str:
    """A share from 0 to 1 in percent."""
    if not math.isfinite(share):
        return "\u2013"
    return f"{100 * share:.{digits}f}{GAP}%".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Time in the two units that matter.

    >>> duration(3.21), duration(192), duration(7260)
    ('3.2\\xa0s', '3\\xa0min 12\\xa0s', '2\\xa0h 1\\xa0min')
    """
    if not math.isfinite(seconds):
        return "\u2013"
    if seconds < 9.95:
        return f"{seconds:.1f}{GAP}s"
    if round(seconds) < 60:
        return f"{seconds:.0f}{GAP}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{GAP}min {whole % 60}{GAP}s"
    return f"{whole // 3600}{GAP}h {whole % 3600 // 60}{GAP}min"


def amount(count: float) -> str:
    """A count in thousands or millions.

    >>> amount(812), amount(1_530_000)
    ('812', '1.53\\xa0million')
    """
    if count >= 1e6:
        return f"{number(count / 1e6)}{GAP}million"
    return number(count, 15) if count < 1e4 else f"{number(count / 1e3)}{GAP}thousand"


def memory(size: float) -> str:
    """Bytes as megabytes or gigabytes of 10^6 and 10^9."""
    if size >= 1e9:
        return f"{size / 1e9:.2f}{GAP}GB"
    return f"{size / 1e6:.0f}{GAP}MB"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun.

    >>> counted(1, "seed"), counted(3, "class", "classes")
    ('1\\xa0seed', '3\\xa0classes')
    """
    return f"{number(count, 15)}{GAP}{one if count == 1 else many or one + 's'}"
