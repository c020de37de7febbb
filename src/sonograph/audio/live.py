"""Sound that arrives through a pipe, while it arrives.

    arecord -f S16_LE -r 16000 | sonograph tag -
    ffmpeg -i rtsp://camera -f wav - | sonograph tag -

A WAV header says what the samples are. Bare samples are 16-bit, little-endian, one channel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32

from sonograph.audio.resample import resample_stream
from sonograph.errors import InputError

Block = Float32[np.ndarray, "channels n"]

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
# (code, bits) of the samples that are understood -> numpy type, full scale; 24 bits have none
SAMPLES = {
    (PCM, 16): ("<i2", 2.0**15),
    (PCM, 24): ("", 2.0**31),
    (PCM, 32): ("<i4", 2.0**31),
    (FLOAT, 32): ("<f4", 1.0),
}
ENDLESS = 0xFFFFFF00  # a length from here on means that the writer did not know it
HEADER_BYTES = 1 << 20  # of chunks before the samples; a longer header is no sound


class Live:
    """A pipe with sound in it; `rate_hz` is that of bare samples, a WAV header has its own.

    Raises InputError for bare samples of unknown rate and for codings that are not understood.
    """

    def __init__(self, file: BinaryIO, rate_hz: int | None = None):
        self.file = file
        head = file.read(12)
        if not head:
            raise InputError("the pipe ended before any sound came")
        self.channels, self.code, self.left = 1, (PCM, 16), float("inf")
        self.head = b""
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            self.rate_hz = self._header()
        elif rate_hz is None:
            raise InputError("the pipe holds no WAV stream: give --rate HZ for bare 16-bit samples")
        else:
            self.rate_hz, self.head = rate_hz, head
        if self.rate_hz < 1 or self.channels < 1:
            raise InputError(f"the pipe promises {self.rate_hz} Hz, {self.channels} channels")

    def _header(self) -> int:
        """Read up to the first sample; returns the rate."""
        rate_hz, passed = 0, 0
        while passed < HEADER_BYTES:
            chunk = self.file.read(8)
            if len(chunk) < 8:
                raise InputError("the WAV stream in the pipe ends before its samples")
            name, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            if name == b"data":
                if not rate_hz:
                    raise InputError("the WAV stream in the pipe does not say its rate")
                self.left = size if 0 < size < ENDLESS else float("inf")
                return rate_hz
            passed += 8 + size
            if passed > HEADER_BYTES:
                break
            content = self.file.read(size + size % 2)
            if name == b"fmt " and len(content) >= 16:
                code, self.channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", content[:16])
                if code == EXTENSIBLE and len(content) >= 26:
                    code = struct.unpack("<H", content[24:26])[0]
                self.code = (code, bits)
                if self.code not in SAMPLES:
                    raise InputError(
                        f"the WAV stream in the pipe has samples of {bits} bits, coding {code}: "
                        "give 16, 24 or 32 bits, or 32-bit float"
                    )
        raise InputError(f"the WAV stream in the pipe has over {HEADER_BYTES:,} bytes of header")

    def blocks(self, rate_hz: int, block_s: float = 1.0) -> Iterator[Block]:
        """Mono blocks at another rate, each as soon as its seconds have come."""
        return resample_stream(self._blocks(block_s), self.rate_hz, rate_hz)

    def _blocks(self, block_s: float) -> Iterator[Block]:
        each = self.channels * self.code[1] // 8
        size = each * max(1, round(block_s * self.rate_hz))
        while self.left > 0:
            content = self.head + self.file.read(int(min(size, self.left)) - len(self.head))
            self.head = b""
            self.left -= len(content)
            whole = len(content) // each * each
            if not whole:
                return
            samples = decoded(content[:whole], self.code).reshape(-1, self.channels)
            if not np.isfinite(samples).all():
                raise InputError("the pipe holds NaN or infinite samples")
            yield np.ascontiguousarray(samples.mean(1, dtype=np.float32)[None])


def decoded(content: bytes, code: tuple[int, int]) -> Float32[np.ndarray, "n"]:
    """Samples from their bytes, full scale at 1."""
    kind, full = SAMPLES[code]
    if kind:
        values = np.frombuffer(content, kind)
    else:  # three bytes become the upper ones of four
        wide = np.zeros((len(content) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        values = wide.view("<i4")[:, 0]
    return (values / np.float32(full)).astype(np.float32)
