"""What an offline recogniser hears: PocketSphinx with the English model inside its package.

It knows telephone English and makes many errors, so its word error rate means something only beside
that of the real recording, and of the recording through the vocoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sonograph.errors import missing_extra
from sonograph.outputs import Audio

RATE_HZ = 16000
NAME = "PocketSphinx 5, en-us, default language model"


class Recogniser:
    """Hears English words, in silence too."""

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError:
            raise missing_extra("pocketsphinx", "speech") from None
        self.decoder: Any = Decoder(samprate=RATE_HZ, loglevel="FATAL")

    def hear(self, audio: Audio) -> str:
        """The words of a sound, lower case, without punctuation."""
        samples = audio.mono().resample(RATE_HZ).samples[0]
        spread = (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()
        self.decoder.start_utt()
        self.decoder.process_raw(spread, full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return found.hypstr if found is not None else ""
