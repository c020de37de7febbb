"""A multipart upload, streamed to disk as it arrives: one file, a few short fields, no more."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from sonograph.serve.answers import Refused, busy
from sonograph.serve.names import shown
from sonograph.serve.room import Room
from sonograph.serve.settings import SLOWEST_BYTES_A_S

if TYPE_CHECKING:
    from starlette.requests import Request

MOST_PARTS = 8
FIELD_BYTES = 1024
FORM_BYTES = MOST_PARTS * (FIELD_BYTES + 4096)  # of a form besides its file
LOOK_S = 0.25  # between looks at whether the service stops
DRAINED_BYTES = 4 << 20  # read after a refusal, so that the client sees the answer


@dataclass
class Received:
    """path: where the bytes lie; name: as it may be shown; fields: the others, decoded."""

    path: Path
    name: str
    bytes: int
    fields: dict[str, str]


@dataclass
class _Part:
    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    disposition: bytes = b""
    name: str = ""
    content: bytearray = field(default_factory=bytearray)


class _Form:
    """What a multipart parser calls: the part `file` piles up in `arrived`, others in `fields`."""

    def __init__(self) -> None:
        self.part = _Part()
        self.parts = 0
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.arrived: list[bytes] = []
        self.ended = False

    def on_part_begin(self) -> None:
        self.part = _Part()
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise Refused(400, f"the form has more than {MOST_PARTS} parts: send one file")

    def on_header_begin(self) -> None:
        self.part.header, self.part.value = bytearray(), bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.part.header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.part.value += data[start:end]

    def on_header_end(self) -> None:
        if bytes(self.part.header).lower() == b"content-disposition":
            self.part.disposition = bytes(self.part.value)

    def on_headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        try:
            kind, options = parse_options_header(self.part.disposition)
        except (ValueError, LookupError):  # an encoding that nobody knows
            kind, options = b"", {}
        if kind != b"form-data" or b"name" not in options:
            raise Refused(400, "a part of the form has no name: send multipart/form-data")
        self.part.name = options[b"name"].decode("utf-8", "replace")
        if self.part.name != "file":
            return
        if self.filename is not None:
            raise Refused(400, "the form holds two files: send one at a time")
        # Browsers write a quotation mark in a name like this, and nothing else (WHATWG, FormData).
        name = options.get(b"filename", b"").decode("utf-8", "replace")
        self.filename = name.replace("%22", '"')

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self.part.name == "file":
            self.arrived.append(bytes(data[start:end]))
            return
        self.part.content += data[start:end]
        if len(self.part.content) > FIELD_BYTES:
            raise Refused(400, f"a field of the form holds more than {FIELD_BYTES} bytes")

    def on_part_end(self) -> None:
        if self.part.name != "file":
            self.fields[self.part.name] = self.part.content.decode("utf-8", "replace")

    def on_end(self) -> None:
        self.ended = True


async def receive(
    request: Request,
    path: Path,
    most_bytes: int,
    idle_s: float,
    room: Room,
    closing: threading.Event,
) -> Received:
    """Stream the file of a form to `path`; its bytes are counted against the room's quota.

    On any failure the file is removed and the bytes given back. Raises Refused: 400 for what is no
    such form, 408 for one that stops or drips, 413 beyond `most_bytes`, 415 for another type, 507
    where the room is full.
    """
    taken = arrived = 0
    try:
        _require_size(request, most_bytes)
        form, parser = _Form(), None
        parser = _parser(request, form)
        with path.open("wb") as file:
            async for data in _chunks(request, idle_s, closing):
                arrived += len(data)
                if arrived > most_bytes + FORM_BYTES:  # after its end there may be anything
                    raise Refused(413, f"the form is larger than {most_bytes:,} bytes")
                _feed(parser, data)
                content = b"".join(form.arrived)
                form.arrived.clear()
                if not content:
                    continue
                if taken + len(content) > most_bytes:
                    raise Refused(413, f"the file is larger than {most_bytes:,} bytes")
                room.take(len(content))
                taken += len(content)
                await asyncio.to_thread(file.write, content)
        if not form.ended:
            raise Refused(400, "the upload ended early: send it again")
        if form.filename is None:
            raise Refused(400, "the form has no part named file: send the sound as `file`")
        if not taken:
            raise Refused(400, f"{shown(form.filename)} is empty (0 bytes)")
        return Received(path, shown(form.filename), taken, form.fields)
    except BaseException as problem:
        path.unlink(missing_ok=True)
        room.give(taken)
        if isinstance(problem, Refused) and problem.status_code not in (408, 503):
            await _drain(request)
        raise


def _require_size(request: Request, most_bytes: int) -> None:
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most_bytes + FORM_BYTES:
        raise Refused(413, f"the file is larger than {most_bytes:,} bytes")


def _parser(request: Request, form: _Form):
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    try:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
    except (ValueError, LookupError):
        kind, options = b"", {}
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused(415, "send multipart/form-data with the sound as `file`")
    names = [name for name in dir(form) if name.startswith("on_")]
    try:
        return MultipartParser(boundary, {name: getattr(form, name) for name in names})  # type: ignore[arg-type]
    except FormParserError as error:
        raise Refused(400, f"the form cannot be read: {error}") from None


def _feed(parser, data: bytes) -> None:
    from python_multipart.exceptions import FormParserError

    try:
        parser.write(data)
    except FormParserError as error:
        raise Refused(400, f"the form cannot be read: {error}") from None


async def _chunks(
    request: Request, idle_s: float, closing: threading.Event
) -> AsyncIterator[bytes]:
    """What arrives. Raises Refused: 408 after `idle_s` of nothing, 503 where the service stops.

    What drips is waited for as long in all: every byte earns a little more time, so that nobody
    keeps a place for hours by a byte now and then.
    """
    chunks, spare_s = request.stream(), idle_s
    while True:
        coming, waited = asyncio.ensure_future(anext(chunks, None)), 0.0
        try:
            while not coming.done():
                if closing.is_set():
                    raise busy("the service is stopping", 5)
                if waited >= spare_s:
                    words = f"nothing came for {idle_s:g} s" if waited >= idle_s else "it drips"
                    told = {"Connection": "close"}
                    raise Refused(408, f"{words}: send the upload again", told)
                began, step_s = time.monotonic(), min(LOOK_S, spare_s - waited)
                await asyncio.wait({coming}, timeout=step_s)
                waited += min(step_s, time.monotonic() - began)  # a busy machine is not their fault
        finally:
            if not coming.done():
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await coming
        if closing.is_set():
            raise busy("the service is stopping", 5)
        try:
            data = coming.result()
        except ClientDisconnect:
            raise Refused(400, "the upload was broken off: send it again") from None
        if data is None:
            return
        spare_s = min(idle_s, spare_s - waited + len(data) / SLOWEST_BYTES_A_S)
        yield data


async def _drain(request: Request) -> None:
    """Take in a little of what still comes: a connection closed too soon eats the answer."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1.0):
            left = DRAINED_BYTES
            async for data in request.stream():
                left -= len(data)
                if left < 0:
                    return
