"""Over real sockets: clients that break off, dawdle or lie about lengths."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serve.conftest import Make, left, until, wav
from tests.serve.test_hostile import END, FORM, part

BODY = part('form-data; name="file"; filename="a.wav"', wav(2.0)) + END


@pytest.fixture
def served(make: Make) -> Iterator[Any]:
    """A service that listens, in a thread."""
    import uvicorn

    from sonograph.serve.running import Server, listen

    client = make(idle_s=0.4, largest_bytes=1_000_000)
    config = uvicorn.Config(client.app, log_level="critical", lifespan="off")
    server = Server(config, client.service, lambda: None)
    door = listen("127.0.0.1", 0)
    client.port = door.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    yield client
    server.should_exit = True
    client.service.end()
    thread.join(60)
    assert not thread.is_alive()


def head(length: int | None, *more: str, host: str = "127.0.0.1") -> bytes:
    lines = ["POST /api/sounds HTTP/1.1", f"Host: {host}", f"Content-Type: {FORM}", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def say(client: Any, *pieces: bytes) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", client.port), timeout=60)
    for piece in pieces:
        line.sendall(piece)
    return line


def answer(line: socket.socket) -> tuple[int, bytes]:
    """The status and the body of one answer; 0 where the connection was closed without."""
    got = b""
    try:
        while b"\r\n\r\n" not in got:
            if not (more := line.recv(65_536)):
                return 0, got
            got += more
        top, _, body = got.partition(b"\r\n\r\n")
        sizes = [li.split(b":")[1] for li in top.lower().split(b"\r\n") if b"content-length" in li]
        while sizes and len(body) < int(sizes[0]):
            body += line.recv(65_536)
        body = body[: int(sizes[0])] if sizes else body  # another answer may follow
        return int(top.split()[1]), body
    except ConnectionResetError:
        return 0, got
    finally:
        line.close()


def emptied(client: Any) -> None:
    until(lambda: left(client.service) == [] and client.service.room.held_bytes == 0)
    code, body = answer(say(client, b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert (code, json.loads(body)["status"]) == (200, "ok")


def test_an_upload_that_breaks_off(served):
    line = say(served, head(len(BODY)), BODY[: len(BODY) // 2])
    until(lambda: len(left(served.service)) == 1)  # it does stream to the disk
    line.close()
    emptied(served)


def test_an_upload_that_dawdles(served):
    line = say(served, head(len(BODY)), BODY[:1000])
    code, body = answer(line)
    assert code == 408
    assert "nothing came for 0.4 s" in json.loads(body)["error"]
    emptied(served)


def test_an_upload_that_drips(served):
    """A byte now and then never lets a second pass without one, and does not last for that."""
    line, ended = say(served, head(len(BODY)), BODY[:100]), threading.Event()

    def drip() -> None:
        for k in range(100, len(BODY)):
            if ended.wait(0.05):
                return
            try:
                line.sendall(BODY[k : k + 1])
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    code, body = answer(line)
    ended.set()
    thread.join()
    assert code in (408, 0)  # 0: what was on its way reset the connection
    if code:
        assert "send the upload again" in json.loads(body)["error"]
    emptied(served)


def test_a_request_that_dawdles(served):
    start = b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    code, body = answer(say(served, start + b"Content-Length: 500\r\n\r\n{"))
    assert code == 408
    assert "did not come within 0.4 s" in json.loads(body)["error"]
    emptied(served)


def test_an_upload_that_is_only_slow_arrives(served):
    """Longer in all than it may be silent, and never nearly as long without a word."""
    served.service.settings = dataclasses.replace(served.service.settings, idle_s=3.0)
    line, began = say(served, head(len(BODY))), time.monotonic()
    for begin in range(0, len(BODY), 4000):
        line.sendall(BODY[begin : begin + 4000])
        time.sleep(0.2)
    assert time.monotonic() - began > 3
    code, body = answer(line)
    assert code == 201
    served.service.sounds.delete(json.loads(body)["id"])
    emptied(served)


def test_lengths_that_lie(served):
    for length, codes in ((len(BODY) + 500, (408,)), (len(BODY) - 500, (400,)), (10, (400,))):
        code, body = answer(say(served, head(length), BODY))
        assert code in codes
        assert json.loads(body)["error"]
    code, body = answer(say(served, head(10**15), BODY[:100]))  # refused before it is sent
    assert code == 413
    for odd in ("-1", "1e9", "0x10", "1, 2"):
        code, _ = answer(say(served, head(None, f"Content-Length: {odd}"), BODY))
        assert 400 <= code < 500
    emptied(served)


def test_too_large_without_a_length(served):
    line = say(served, head(None, "Transfer-Encoding: chunked"))
    start = part('form-data; name="file"; filename="a.wav"', b"")[:-2] + wav(1.0)
    piece = bytes(50_000)
    try:
        line.sendall(b"%x\r\n%s\r\n" % (len(start), start))
        for _ in range(30):
            line.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    except OSError:
        pass  # it may hang up on us
    code, body = answer(line)
    assert code == 413
    assert "larger than" in json.loads(body)["error"]
    emptied(served)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        bytes(5000),
    ],
)
def test_what_is_hardly_http(served, sent):
    line = say(served)
    line.settimeout(3)
    try:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        code, _ = answer(line)
    except OSError:
        code = 0
    assert code < 500
    emptied(served)
