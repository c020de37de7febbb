from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sonograph.audio.live import ENDLESS, Live, decoded
from sonograph.audio.resample import resample
from sonograph.errors import InputError

SOUND = 0.5 * np.sin(np.arange(9000) / 7).astype(np.float32)


def wav(subtype: str, channels: int = 1, container: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    samples = np.stack([SOUND] * channels, axis=1)
    soundfile.write(buffer, samples, 8000, subtype, format=container)
    return buffer.getvalue()


def heard(content: bytes, rate_hz: int = 8000, given_hz: int | None = None) -> np.ndarray:
    return np.concatenate(list(Live(io.BytesIO(content), given_hz).blocks(rate_hz, 0.1)), axis=1)[0]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_soundfile_writes(subtype, container, channels):
    got = heard(wav(subtype, channels, container))
    np.testing.assert_allclose(got, SOUND, atol=2**-15)


def test_a_length_that_the_writer_did_not_know():
    content = bytearray(wav("PCM_16"))
    place = content.index(b"data") + 4
    for size in (0, 0xFFFFFFFF, ENDLESS):
        content[place : place + 4] = struct.pack("<I", size)
        np.testing.assert_allclose(heard(bytes(content)), SOUND, atol=2**-15)


def test_bare_samples_and_another_rate():
    bare = (SOUND * 2**15).astype("<i2")
    np.testing.assert_allclose(heard(bare.tobytes(), given_hz=8000), SOUND, atol=2**-14)
    got = heard(bare.tobytes(), 16000, 8000)
    want = resample(bare[None].astype(np.float32) / 2**15, 8000, 16000)[0]
    np.testing.assert_allclose(got, want, atol=1e-4)


@given(content=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes_end_in_sound_or_one_line(content):
    for head in (b"", b"RIFF\0\0\0\0WAVE"):
        with contextlib.suppress(InputError):
            for block in Live(io.BytesIO(head + content), 8000).blocks(8000):
                assert np.isfinite(block).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "ended before any sound"),
        (b"no sound at all", "give --rate HZ"),
        (b"RIFF\0\0\0\0WAVEfmt ", "ends before its samples"),
        (b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7f", "bytes of header"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "does not say its rate"),
    ],
)
def test_what_is_no_stream_is_told(content, says):
    with pytest.raises(InputError, match=says):
        Live(io.BytesIO(content))


def test_24_bits():
    low = struct.pack("<i", -(2**23))[:3] + struct.pack("<i", 2**22)[:3]
    assert decoded(low, (1, 24)).tolist() == [-1.0, 0.5]
