"""What goes wrong, as every route says it: {"error": one line} and a status that fits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from sonograph.errors import InputError

WORDS = {
    404: "there is nothing at this address: see /openapi.json",
    405: "this address does not take this method: see /openapi.json",
}


class Refused(HTTPException):
    """A request that is not answered: the status, and one line that says what to do."""

    def __init__(self, status: int, words: str, headers: Mapping[str, str] | None = None):
        super().__init__(status, one_line(words), headers)


def busy(words: str, after_s: float = 1.0) -> Refused:
    """503: try again after some seconds."""
    return Refused(503, words, {"Retry-After": str(max(1, round(after_s)))})


def one_line(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:500]


def error(status: int, words: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": one_line(words)}, status, headers)


def of_http(problem: HTTPException) -> JSONResponse:
    """The answer to what the framework or a route refused."""
    own = isinstance(problem, Refused)
    words = problem.detail if own else WORDS.get(problem.status_code, str(problem.detail))
    return error(problem.status_code, words, problem.headers)


def of_validation(problems: Sequence[Mapping[str, Any]]) -> JSONResponse:
    """422 for values that do not fit, naming the first of them."""
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return error(422, f"{where or 'the request'}: {first['msg']}")


@contextlib.contextmanager
def told(status: int, names: Mapping[Path, str]) -> Iterator[None]:
    """Turn an InputError into a refusal that speaks of files as the user calls them."""
    try:
        yield
    except InputError as problem:
        raise Refused(status, without_paths(str(problem), names)) from None


def without_paths(words: str, names: Mapping[Path, str]) -> str:
    """A line with the places of files on this disk put back to what the user called them."""
    for path, name in names.items():
        words = words.replace(str(path), name)
    return words
