"""Short sounds as data that a page can hold and every browser can play."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Float

from sonograph.audio.resample import resample

FADE_S = 0.005  # a cut end would click


def wav_uri(samples: Float[np.ndarray, "n"], rate_hz: int, longest_s: float, top_hz: int) -> str:
    """A 16-bit mono WAV data URI: the first `longest_s` seconds, at most at the rate `top_hz`.

    WAV rather than a smaller format because it starts without delay (the playhead stays true)
    and plays everywhere.
    """
    import soundfile

    count = min(len(samples), int(longest_s * rate_hz))
    sound = np.nan_to_num(np.asarray(samples[:count], np.float32))
    if rate_hz > top_hz:
        sound = resample(sound[None], rate_hz, top_hz)[0]
        rate_hz = top_hz
    sound = np.clip(sound, -1.0, 1.0)
    if count < len(samples):
        fade = min(len(sound), int(FADE_S * rate_hz))
        sound[len(sound) - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    file = io.BytesIO()
    soundfile.write(file, sound, rate_hz, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode("ascii")
