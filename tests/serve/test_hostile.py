"""What strangers send: none of it breaks the service, leaves its folder, or stays in it."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.serve.conftest import encoded, left, refusal, upload, wav

LONGEST_S, LARGEST = 60.0, 2_000_000
BOUNDARY = "limit"


def header(
    rate: int = 16_000, channels: int = 1, bits: int = 16, kind: int = 1, data: int | None = None
) -> bytes:
    """A WAV file that says anything, with 3200 bytes of sound."""
    sound = b"\1\0" * 1600
    align = (channels * bits // 8) & 0xFFFF
    speed = (rate * align) & 0xFFFFFFFF
    form = struct.pack("<HHIIHH", kind, channels, rate, speed, align, bits)
    size = len(sound) if data is None else data
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 36 + len(sound)) + b"WAVE" + chunks + sound


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.wav", bytes(1_000_000))
    return file.getvalue()


def silence(seconds: float) -> bytes:
    """Very little FLAC that becomes very much silence."""
    return encoded(np.zeros((round(seconds * 8000), 1), np.int16), 8000, "FLAC")


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(b ^ 0xFF for b in content[middle : middle + 64]) + content[
        middle + 64 :
    ]  # fmt: skip


NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, 1))

# what is sent as a sound -> the statuses that are right
FILES: dict[str, tuple[Callable[[], bytes], tuple[int, ...]]] = {
    "nothing": (lambda: b"", (400,)),
    "one byte": (lambda: b"R", (415,)),
    "zeros": (lambda: bytes(100_000), (415,)),
    "text": (lambda: b"hello " * 100, (415,)),
    "a page": (lambda: b"<!doctype html><script>alert(1)</script>", (415,)),
    "json": (lambda: b'{"a": 1}', (415,)),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), (415,)),
    "a document": (lambda: b"%PDF-1.7" + bytes(100), (415,)),
    "an archive with ..": (zipped, (415,)),
    "a gzip bomb": (lambda: gzip.compress(bytes(50_000_000)), (415,)),
    "a program": (lambda: b"\x7fELF" + bytes(1000), (415,)),
    "a play list": (lambda: b"#EXTM3U\n/etc/passwd\nhttp://169.254.169.254/\n", (415,)),
    "mp4": (lambda: b"\0\0\0\x18ftypM4A " + bytes(1000), (415,)),
    "webm": (lambda: b"\x1aE\xdf\xa3" + bytes(1000), (415,)),
    "midi": (lambda: b"MThd\0\0\0\6\0\1\0\1\0\x60", (415,)),
    "avi": (lambda: b"RIFF\xff\xff\xff\xffAVI " + bytes(1000), (415,)),
    "wav without sound": (lambda: b"RIFF\x24\0\0\0WAVE", (415,)),
    "wav cut short": (lambda: wav(1.0)[:9000], (415,)),
    "wav that claims a day": (lambda: header(data=86_400 * 32_000), (415,)),
    "wav at 0 Hz": (lambda: header(rate=0), (400, 415)),
    "wav at 4 GHz": (lambda: header(rate=0xFFFFFFFF), (400, 415)),
    "wav at 1 Hz": (lambda: header(rate=1), (400, 415)),
    "wav without channels": (lambda: header(channels=0), (400, 415)),
    "wav of 200 channels": (lambda: header(channels=200), (400, 415)),
    "wav of 65535 channels": (lambda: header(channels=65_535, bits=8), (400, 415)),
    "wav of 0 bits": (lambda: header(bits=0), (400, 415)),
    "wav of unknown coding": (lambda: header(kind=0x7777), (400, 415)),
    "NaN": (lambda: encoded(np.full((900, 1), np.nan), coding="FLOAT"), (400,)),
    "infinity": (lambda: encoded(np.full((900, 1), np.inf), coding="FLOAT"), (400,)),
    "flac cut short": (lambda: encoded(NOISE, kind="FLAC")[:9000], (400, 415)),
    "flac with turned bits": (lambda: flipped(encoded(NOISE, kind="FLAC")), (400, 415)),
    "flac bomb": (lambda: silence(LONGEST_S * 100), (413,)),
    "ogg of zeros": (lambda: b"OggS" + bytes(4000), (415,)),
    "ogg cut in its head": (lambda: encoded(NOISE, kind="OGG", coding="VORBIS")[:60], (415,)),
    "mp3 of zeros": (lambda: b"\xff\xfb\x90\x00" + bytes(4000), (400, 415)),
    "mp3 with a huge tag": (lambda: b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(2000), (400, 415)),
    "aiff of claims": (lambda: b"FORM\x7f\xff\xff\xffAIFFCOMM" + b"\xff" * 40, (400, 415)),
    "caf of claims": (lambda: b"caff\0\1\0\0desc" + b"\xff" * 60, (400, 415)),
    "au of claims": (lambda: b".snd" + b"\xff" * 60, (400, 415)),
    "rf64 of claims": (lambda: b"RF64\xff\xff\xff\xffWAVEds64" + b"\xff" * 60, (400, 415)),
    "w64 of claims": (lambda: b"riff" + b"\xff" * 100, (400, 415)),
    "too many bytes": (lambda: wav(LARGEST / 32_000 + 1), (413,)),
}


@pytest.fixture(scope="module")
def client(house: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One service for all of it, as it would be."""
    from fastapi.testclient import TestClient

    from sonograph.serve.app import app
    from sonograph.serve.settings import Settings

    folder = tmp_path_factory.mktemp("hostile")
    settings = Settings(folder / "served", longest_s=LONGEST_S, largest_bytes=LARGEST, rate=0.0)
    served = app(settings, house)
    made: Any = TestClient(served, base_url="http://127.0.0.1", raise_server_exceptions=False)
    made.service = served.state.service
    yield made
    assert made.service.close()
    assert list((folder / "served").iterdir()) == []


def untouched(client: Any) -> None:
    """Nothing is left, nothing was counted, and nothing lies outside."""
    assert left(client.service) == []
    assert client.service.room.held_bytes == 0
    inside = client.service.room.folder
    folder = inside.parent.parent
    assert [p for p in folder.rglob("*") if inside not in (p, *p.parents) and p.is_file()] == []
    assert client.get("/api/health").json()["status"] == "ok"


@pytest.mark.parametrize("name", FILES)
def test_hostile_content(client, name):
    build, statuses = FILES[name]
    content = build()
    for url in ("/api/sounds", "/api/now/tag", "/api/now/embed"):
        if name == "too many bytes" and url != "/api/sounds":
            continue  # others have a limit of their own
        answer = client.post(url, files={"file": ("a.wav", content, "audio/wav")})
        words = refusal(answer, *statuses)
        assert str(client.service.room.folder) not in words
        untouched(client)


def part(
    disposition: str = 'form-data; name="file"; filename="a.wav"', content: bytes = b"x"
) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n"
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FORM = f"multipart/form-data; boundary={BOUNDARY}"

# body, content type, statuses
FORMS: dict[str, tuple[bytes, str, tuple[int, ...]]] = {
    "no body": (b"", FORM, (400,)),
    "another type": (b"{}", "application/json", (415,)),
    "no type": (wav(), "", (415,)),
    "no boundary": (part() + END, "multipart/form-data", (415,)),
    "an endless boundary": (part() + END, f"multipart/form-data; boundary={'x' * 900}", (400,)),
    "another boundary": (part() + END, "multipart/form-data; boundary=other", (400,)),
    "url encoded": (b"file=abc", "application/x-www-form-urlencoded", (415,)),
    "no end": (part(content=wav()), FORM, (400,)),
    "cut in a header": (f"--{BOUNDARY}\r\nContent-Disp".encode(), FORM, (400,)),
    "no file": (part('form-data; name="label"') + END, FORM, (400,)),
    "two files": (part(content=wav()) * 2 + END, FORM, (400,)),
    "no name": (part("form-data") + END, FORM, (400,)),
    "no disposition": (f"--{BOUNDARY}\r\nA: b\r\n\r\nx\r\n".encode() + END, FORM, (400,)),
    "1000 fields": (part('form-data; name="a"') * 1000 + part() + END, FORM, (400,)),
    "a huge field": (
        part('form-data; name="label"', b"x" * 1_000_000) + part() + END, FORM, (400,)
    ),
    "a huge header": (part(f'form-data; name="file"; x="{"y" * 200_000}"') + END, FORM, (400,)),
    "1000 headers": (
        f"--{BOUNDARY}\r\n".encode() + b"A: b\r\n" * 1000 + b"\r\nx\r\n" + END, FORM, (400,)
    ),
    "nested": (
        part(content=b'--in\r\nContent-Disposition: file; filename="../x"\r\n\r\nx\r\n--in--')
        + END,
        FORM,
        (415,),
    ),
    "a form in zip": (gzip.compress(part(content=wav()) + END), FORM, (400,)),
    "a charset nobody knows": (
        part("form-data; name=\"file\"; filename*=nobody''x%ff") + END, FORM, (400, 415)
    ),
    "null bytes around": (b"\0" * 100 + part() + END, FORM, (400,)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_hostile_forms(client, name):
    body, kind, statuses = FORMS[name]
    answer = client.post("/api/sounds", content=body, headers={"content-type": kind})
    refusal(answer, *statuses)
    untouched(client)


NAMES = {
    "traversal": "../../../../etc/passwd",
    "traversal for Windows": "..\\..\\boot.ini",
    "absolute": "/etc/cron.d/evil",
    "dots": "..",
    "nothing": "",
    "spaces": "   ",
    "null": "a\0.wav",
    "lines": "a\r\nSet-Cookie: x=1\r\n\r\n.wav",
    "quotes": 'a"; filename="b.html',
    "html": "<img src=x onerror=alert(1)>.wav",
    "right to left": "gpj.\u202evaw",
    "a shell's": "$(rm -rf ~); `id`|&.wav",
    "a format's": "%s%n{0}{{}}.wav",
    "very long": "x" * 5000 + ".wav",
    "any script's": "звук 音 🎵.wav",
    "half a pair": "a\udc80.wav",
    "a device's": "CON",
    "an option's": "--output=/etc/passwd",
}


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_only_shown(client, name):
    quoted = NAMES[name].replace("\\", "\\\\").replace('"', '\\"')
    for given in (quoted, quoted.replace("\r", "%0D").replace("\n", "%0A")):
        body = part(f'form-data; name="file"; filename="{given}"', wav()) + END
        answer = client.post("/api/sounds", content=body, headers={"content-type": FORM})
        if answer.status_code != 201:  # a header that breaks is no form
            refusal(answer, 400, 415)
            continue
        sound = answer.json()
        assert sound["name"].strip()
        assert len(sound["name"]) <= 120
        assert sound["name"].isprintable()
        assert not set(sound["name"]) & set("/\\\0\r\n\u202e")
        kept = client.get(f"/api/sounds/{sound['id']}/audio?download=1")
        told = kept.headers["content-disposition"]
        assert "set-cookie" not in kept.headers
        assert told.isascii()
        assert told.count('"') == 2
        assert kept.headers["content-type"] == "application/octet-stream"
        assert client.delete(f"/api/sounds/{sound['id']}").status_code == 204
    untouched(client)


IDS = (
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "....//",
    "a%00b",
    "%ff%fe",
    "x" * 4000,
    "*",
    "-",
    "in-use",
    "C:%5Cx",
    "${id}",
)


@pytest.mark.parametrize("id", IDS)
def test_paths_in_ids(client, id):
    kept = upload(client)["id"]
    for path in (f"sounds/{id}", f"sounds/{id}/audio", f"sounds/{id}/peaks", f"jobs/{id}/events"):
        refusal(client.get(f"/api/{path}"), 404)
    refusal(client.get(f"/page/{id}"), 404)
    refusal(client.delete(f"/api/sounds/{id}"), 404, 405)
    assert [one["id"] for one in client.get("/api/sounds").json()] == [kept]
    assert client.delete(f"/api/sounds/{kept}").status_code == 204
    untouched(client)


RANGES = {
    "bytes=0-3": 206,
    "bytes=-4": 206,
    "bytes=4-": 206,
    "bytes=4-999999999999": 206,
    "bytes=-999999999": 206,
    "bytes=9-2": 200,
    "bytes=a-b": 200,
    "bytes=": 200,
    "bytes": 200,
    "bytes=-": 200,
    "bytes=--4": 200,
    "lines=0-3": 200,
    "bytes=0-1,4-5": 200,
    "bytes=" + ",".join(f"{k}-{k}" for k in range(300)): 200,
    "bytes=0-" + "9" * 5000: 200,
    "bytes=٠-٣": 200,
    "": 200,
    "bytes=99999999-": 416,
    "bytes=-0": 416,
}


def test_ranges_of_every_kind(client):
    content = wav()
    url = f"/api/sounds/{upload(client, content)['id']}/audio"
    for given, status in RANGES.items():
        answer = client.get(url, headers={"range": given.encode()})
        assert answer.status_code == status, given
        if status == 200:
            assert answer.content == content
        elif status == 206:
            first, last = answer.headers["content-range"].split()[1].split("/")[0].split("-")
            assert answer.content == content[int(first) : int(last) + 1]
        else:
            refusal(answer, 416)
            assert answer.headers["content-range"] == f"bytes */{len(content)}"
    odd = {"range": "bytes=0-3", "if-range": '"another"'}
    assert client.get(url, headers=odd).content == content
