"""How a sound looks: outline and spectrogram of any stretch of any length, in bounded memory."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from sonograph.errors import missing_extra
from sonograph.serve.answers import Refused
from sonograph.serve.checking import BIN, FULL
from sonograph.serve.sounds import Sound

Theme = Literal["light", "dark"]
CACHED_BYTES = 32 << 20
WINDOW_S = 0.046  # of the Fourier transform: 2048 samples at 44.1 kHz
BLOCK_S, BLOCK_VALUES = 10.0, 1 << 21  # read at a time: the less of the two
FRAMES_A_COLUMN = 4  # at most: of a long stretch a column is a sample of what it stands for
FRAMES_AT_ONCE = 64
LOWEST_HZ, HIGHEST_HZ = 50.0, 20_000.0
LEVELS_DB = (-100.0, -20.0)  # darkest and lightest shade: fixed, so that sounds can be compared


class Stretch(NamedTuple):
    """A part of a sound, in seconds."""

    start_s: float
    end_s: float


def stretch(sound: Sound, start_s: float, end_s: float | None) -> Stretch:
    """A part that lies within a sound. Raises Refused (422)."""
    lasts = sound.about.duration_s
    end = lasts if end_s is None else min(end_s, lasts)
    if not 0 <= start_s < end:
        raise Refused(
            422,
            f"start_s {start_s:g} and end_s {end:g} hold no sound: {sound.name} lasts {lasts:g} s",
        )
    return Stretch(start_s, end)


def block_s(sound: Sound) -> float:
    """How much of a sound is read at a time: of many channels or a high rate less."""
    about = sound.about
    return min(BLOCK_S, BLOCK_VALUES / (about.rate_hz * about.channels))


def outline(sound: Sound, part: Stretch, points: int) -> Float[np.ndarray, "2 points"]:
    """Lowest and highest value of `points` equal parts of a stretch, over all channels, -1 to 1."""
    rate = sound.about.rate_hz
    first = min(round(part.start_s * rate), sound.about.frames - 1)
    last = max(first + 1, round(part.end_s * rate))
    if (last - first) / points >= 2 * BIN:
        bins = np.memmap(sound.outline, "<i2", "r").reshape(-1, 2)
        edges = np.linspace(first / BIN, last / BIN, points + 1)[:-1].astype(int)
        held = bins[: max(1, -(-last // BIN))]
        low = np.minimum.reduceat(held[:, 0], edges) / FULL
        high = np.maximum.reduceat(held[:, 1], edges) / FULL
        return np.stack([low, high])
    from sonograph.audio.io import read

    samples = read(sound.path, start_s=first / rate, duration_s=(last - first) / rate).samples.clip(
        -1, 1
    )
    edges = np.linspace(0, samples.shape[1], points + 1)[:-1].astype(int)
    low = np.minimum.reduceat(samples.min(0), edges)
    return np.stack([low, np.maximum.reduceat(samples.max(0), edges)])


def levels(
    sound: Sound, part: Stretch, width: int, height: int
) -> Float[np.ndarray, "height width"]:
    """Level in dB below a sine at full scale, of logarithmic bands (low ones first) over time."""
    from sonograph.audio.io import stream

    rate, channels = sound.about.rate_hz, sound.about.channels
    size = 1 << max(6, round(np.log2(WINDOW_S * rate)))
    first, last = round(part.start_s * rate), max(1, round(part.end_s * rate))
    a_column = int(np.clip(np.ceil((last - first) / width / (size / 2)), 1, FRAMES_A_COLUMN))
    places = (np.arange(width * a_column) + 0.5) / (width * a_column)
    begins = np.round(first + places * (last - first)).astype(int) - size // 2
    bands, window = _bands(rate, size, height), np.hanning(size).astype(np.float32)
    scale = (2 / window.sum()) ** 2
    found = np.zeros((height, width * a_column), np.float32)
    read_from = max(0, first - size // 2)
    read_from = min(read_from, max(0, sound.about.frames - 1))
    held = np.zeros((channels, size), np.float32)  # silence before the sound
    held_from, done = read_from - size, 0
    length_s = (last + size // 2 - read_from + 1) / rate
    blocks = stream(
        sound.path, block_s(sound), channels="keep", start_s=read_from / rate, duration_s=length_s
    )
    for block in (*_whole(blocks), np.zeros((channels, 2 * size), np.float32)):
        held = np.concatenate([held, block], 1)
        ready = int(np.searchsorted(begins, held_from + held.shape[1] - size, "right"))
        for at in range(done, ready, FRAMES_AT_ONCE):
            chosen = begins[at : min(at + FRAMES_AT_ONCE, ready)] - held_from
            frames = held[:, chosen[:, None] + np.arange(size)] * window
            power = np.square(np.abs(np.fft.rfft(frames))).mean(0) * scale
            found[:, at : at + len(chosen)] = bands @ power.T.astype(np.float32)
        done = max(done, ready)
        spare = held.shape[1] - 2 * size
        held, held_from = held[:, spare:], held_from + spare
    columns = found.reshape(height, width, a_column).mean(2)
    return 10 * np.log10(columns + 1e-12)


def _whole(blocks):
    yield from blocks


def _bands(rate_hz: int, size: int, height: int) -> Float[np.ndarray, "height bins"]:
    """Triangles on a logarithmic axis, at least as wide as a bin; each sums to 1."""
    top = min(rate_hz / 2, HIGHEST_HZ)
    low = min(LOWEST_HZ, top / 4)
    edges = low * (top / low) ** (np.arange(-1, height + 1) / max(1, height - 1))
    bins = np.arange(size // 2 + 1) * rate_hz / size
    centre = edges[1:-1, None]
    down = np.maximum(centre - edges[:-2, None], rate_hz / size)
    up = np.maximum(edges[2:, None] - centre, rate_hz / size)
    rise, fall = 1 - (centre - bins) / down, 1 - (bins - centre) / up
    weight = np.clip(np.minimum(rise, fall), 0, None)
    return (weight / np.maximum(weight.sum(1, keepdims=True), 1e-9)).astype(np.float32)


def png(values: Float[np.ndarray, "height width"], theme: Theme) -> bytes:
    """Levels as a picture in the house's colours: silence is as dark or light as the page."""
    try:
        from PIL import Image
    except ImportError:
        raise missing_extra("Pillow", "serve") from None
    from sonograph.report.picture import SHADES, ember

    low, high = LEVELS_DB
    # The faint stays near the colour of the page, and on paper the colours are those of ink.
    bend, colours = (1.5, ember()) if theme == "dark" else (2.2, faded(ember()[::-1]))
    index = np.clip((values - low) / (high - low), 0, 1) ** bend * (SHADES - 1)
    picture = Image.fromarray(np.ascontiguousarray(np.round(index[::-1]).astype(np.uint8)))
    picture.putpalette(np.ascontiguousarray(colours).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def faded(colours: UInt8[np.ndarray, "count 3"]) -> UInt8[np.ndarray, "count 3"]:
    """Colours with three fifths of their saturation."""
    grey = colours @ np.array([[0.3], [0.59], [0.11]])
    return np.round(0.6 * colours + 0.4 * grey).astype(np.uint8)


class Pictures:
    """Spectrograms as PNG, the last ones kept in memory."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def spectrogram(
        self, sound: Sound, part: Stretch, width: int, height: int, theme: Theme
    ) -> bytes:
        key = (sound.id, part, width, height, theme)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = png(levels(sound, part, width, height), theme)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += len(made)
            while self._bytes > CACHED_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made
