"""Which Range headers are followed: one plain part of a file; anything else gets all of it."""

from __future__ import annotations

import re

from sonograph.serve.answers import Refused

ONE = re.compile(r"bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))")


def follow(header: str, size: int) -> bool:
    """Whether a Range header is one that is followed (RFC 9110, 14.2: others may be ignored).

    Raises Refused (416) for a part that begins beyond the end.

    >>> follow("bytes=0-9", 100), follow("bytes=9-0", 100), follow("lines=1-2", 100)
    (True, False, False)
    """
    found = ONE.fullmatch(header.strip())
    if found is None:
        return False
    first, last, ending = found.groups()
    if first is None:
        beyond = int(ending) == 0
    else:
        beyond = int(first) >= size
        if last and int(last) < int(first):
            return False
    if beyond:
        told = {"Content-Range": f"bytes */{size}"}
        raise Refused(416, f"the file has {size} bytes: ask for a part of them", told)
    return True
