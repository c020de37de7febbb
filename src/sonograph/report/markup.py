"""HTML that cannot be broken by its contents: every plain string is escaped on its way in."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

VOID = {"br", "col", "hr", "img", "input", "meta"}
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Markup(str):
    """Text that is HTML already."""


def escape(text: str) -> Markup:
    """Text as HTML; characters that no page can hold become the replacement character."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(UNPRINTABLE.sub("\ufffd", str(text)), quote=True))


def join(*parts: str) -> Markup:
    """The parts one after the other, each escaped unless it is markup."""
    return Markup("".join(map(escape, parts)))


def tag(name: str, attributes: Mapping[str, object] | None = None, *children: str) -> Markup:
    """One element. An attribute of None is left out, one of True has no value.

    >>> tag("p", {"class": "lede"}, "a < b")
    '<p class="lede">a &lt; b</p>'
    """
    written = ""
    for key, value in (attributes or {}).items():
        if value is None:
            continue
        written += f" {key}" if value is True else f' {key}="{escape(str(value))}"'
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")
