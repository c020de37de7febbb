"""Spectrograms as small pictures: a colour map made by formula, PNG data that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8

from sonograph.errors import missing_extra

if TYPE_CHECKING:
    from sonograph.audio.feature_spec import FeatureSpec

SHADES = 255  # the last palette entry is transparent: what the model could not see


def ember(count: int = SHADES) -> UInt8[np.ndarray, "count 3"]:
    """A perceptually uniform colour map from near-black blue over plum and orange to cream.

    A path through OKLCH (Ottosson 2020) whose lightness rises by equal steps, so that equal
    differences in level look equally large; hue turns from 275 to 455 (= 95) degrees, and chroma
    is largest in the middle.
    """
    t = np.linspace(0.0, 1.0, count)
    lightness = 0.13 + 0.84 * t
    chroma = 0.035 + 0.15 * np.sin(np.pi * t**0.85) ** 0.9 + 0.02 * t
    hue = np.deg2rad(275 + 180 * t**0.9)
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_linear @ cones**3, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded.T).astype(np.uint8)


def level_range(values: Float[np.ndarray, "bins frames"]) -> tuple[float, float]:
    """The levels that become the darkest and the lightest shade.

    Digital silence sits on the floor of the logarithm, far below any sound: it is left out, so
    that it does not use up the shades.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    sounding = finite[finite > finite.min() + 1e-4]
    low, high = np.percentile(sounding if sounding.size else finite, [2.0, 99.8])
    return (float(low), float(high)) if high - low > 1e-6 else (float(low) - 0.5, float(low) + 0.5)


def spectrogram(
    values: Float[np.ndarray, "bins frames"],
    levels: tuple[float, float],
    hidden: Bool[np.ndarray, "bins frames"] | None = None,
) -> str:
    """A PNG data URI, low bins at the bottom, every value two pixels wide and high; hidden ones
    are transparent.
    """
    try:
        from PIL import Image
    except ImportError:
        raise missing_extra("Pillow", "plot") from None
    low, high = levels
    scaled = np.nan_to_num((values - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    index = np.round(np.clip(scaled, 0.0, 1.0) * (SHADES - 1)).astype(np.uint8)
    if hidden is not None:
        index[hidden] = SHADES
    picture = Image.fromarray(np.ascontiguousarray(index[::-1].repeat(2, 0).repeat(2, 1)))
    palette = np.concatenate([ember(), np.zeros((1, 3), np.uint8)])
    picture.putpalette(palette.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, transparency=SHADES)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def spread(
    grid: Bool[np.ndarray, "rows columns"], patch: tuple[int, int], size: tuple[int, int]
) -> Bool[np.ndarray, "bins frames"]:
    """A patch grid as a mask over the values; what no patch covers is False."""
    mask = np.zeros(size, bool)
    full = np.asarray(grid, bool).repeat(patch[0], 0).repeat(patch[1], 1)
    mask[: full.shape[0], : full.shape[1]] = full
    return mask


def frequency_marks(bin_hz: Sequence[float]) -> list[tuple[float, str]]:
    """(height from 0 at the bottom to 1 at the top, text) of round frequencies on the axis."""
    centres = np.asarray(bin_hz, float)
    if centres.size < 2 or not (np.diff(centres) > 0).all():
        return []
    marks = []
    for hz, text in ((250, "250"), (1000, "1k"), (2000, "2k"), (4000, "4k"), (8000, "8k")):
        if centres[0] <= hz <= centres[-1]:
            place = np.interp(hz, centres, (np.arange(centres.size) + 0.5) / centres.size)
            marks.append((float(place), text))
    return marks


def bin_centres_hz(spec: FeatureSpec) -> tuple[float, ...]:
    """The centre frequency of every mel bin; empty for kinds of features that are not mel bands."""
    from sonograph.audio.mel import hz_to_mel, mel_to_hz

    if spec.kind not in ("kaldi_fbank", "log_mel"):
        return ()
    low, high = (float(hz_to_mel(hz, spec.mel_scale)) for hz in (spec.low_hz, spec.high_hz))
    edges = np.linspace(low, high, spec.bins + 2)
    return tuple(float(hz) for hz in mel_to_hz(edges[1:-1], spec.mel_scale))
