"""The one kind of error a user sees: what is wrong, where, and what to do about it, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the caller gave cannot be used: one line on the command line, exit code 2."""


def did_you_mean(word: str, known: Iterable[str], count: int = 3) -> str:
    """`" Did you mean 'a' or 'b'?"` for the closest known words, or an empty string.

    >>> did_you_mean("embd", ["embed", "train"])
    " Did you mean 'embed'?"
    """
    close = difflib.get_close_matches(word, list(known), n=count, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def missing_extra(package: str, extra: str) -> InputError:
    """The error for an optional library that is not installed, naming the extra that brings it."""
    return InputError(f"{package} is not installed: run `pip install 'sonograph[{extra}]'`")
