"""Which phone is spoken when: labels beside recordings, as Festival's voices have them.

A label file belongs to a sound by its name: wav/x.wav to lab/x.lab. Its format is that of ESPS
xlabel: a header that ends with a line `#`, then `end_s colour phone` a line, each phone from the
end of the one before it, the first one from 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from sonograph.data.clips import Clip
from sonograph.errors import InputError

PAUSE = "pau"  # what Festival calls silence


class Phones(NamedTuple):
    """The phones of a clip in order; ends_s: when each one ends, in seconds from its beginning."""

    names: tuple[str, ...]
    ends_s: Float64[np.ndarray, " n"]


def phones_of(clip: Clip) -> Phones:
    """The labels of a clip of a corpus with labels. Raises InputError where it has none."""
    path = clip.path.parent.parent / "lab" / f"{clip.path.stem}.lab"
    if not path.is_file():
        raise InputError(f"{clip.id} has no phone labels: {path} is not there")
    return read_phones(path)


def read_phones(path: Path) -> Phones:
    """A label file. Raises InputError that names the line where it is none, or times fall."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if "#" not in lines:
        raise InputError(f"{path} is no label file: the line `#` that ends its header is missing")
    names: list[str] = []
    ends: list[float] = []
    for number, line in enumerate(lines[lines.index("#") + 1 :], lines.index("#") + 2):
        fields = line.split()
        if not fields:
            continue
        try:
            end_s, name = float(fields[0]), fields[2]
        except (ValueError, IndexError):
            raise InputError(
                f"{path}, line {number}: {line.strip()!r} is no `end_s colour phone`"
            ) from None
        if not end_s > (ends[-1] if ends else 0.0):  # nor a NaN
            raise InputError(f"{path}, line {number}: {name} ends before it begins, at {end_s:g} s")
        names.append(name)
        ends.append(end_s)
    if not names:
        raise InputError(f"{path} labels no phone")
    return Phones(tuple(names), np.array(ends))
