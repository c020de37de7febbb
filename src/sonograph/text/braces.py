"""Text as NVIDIA's Tacotron 2 and FastPitch read it: letters, and phones of ARPAbet in braces.

>>> from sonograph.text.tokens import ALPHABETS
>>> ids = from_braces("on {S T R IY1 T}.", ALPHABETS["nvidia"])
>>> ids
[52, 51, 11, 131, 133, 130, 113, 133, 7]
>>> to_braces(ids, ALPHABETS["nvidia"])
'on {S T R IY1 T}.'
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sonograph.errors import InputError
from sonograph.text.tokens import Alphabet

_BRACES = re.compile(r"\{(.+?)\}")


def from_braces(text: str, table: Alphabet) -> list[int]:
    """The ids of a text as it stands: their published ids, if it was cleaned as theirs.

    Letters that the table has not are passed over, as there; a phone that it has not, which is
    passed over there too, raises InputError, and so does a table without phones.
    """
    if not table.prefix:
        raise InputError(f"alphabet {table.name!r} has no phones for braces: use 'nvidia'")
    ids: list[int] = []
    for place, part in enumerate(_BRACES.split(text)):
        if place % 2:
            ids += table.numbers(table.prefix + phone for phone in part.split())
        else:
            ids += table.numbers(sign for sign in part if sign in table)
    return ids


def to_braces(ids: Sequence[int], table: Alphabet) -> str:
    """The text of ids, runs of phones in braces."""
    signs = table.decode(ids)
    shown = [
        f"{{{sign[len(table.prefix) :]}}}" if len(sign) > 1 and table.prefix else sign
        for sign in signs
    ]
    return "".join(shown).replace("}{", " ")
