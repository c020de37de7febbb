"""The bundled voice: time to the first sound, times real time, memory of ten minutes of text.

The long text is spoken by a process of its own, measured from outside.

    python -m benchmarks.speak [MINUTES]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.embed import measured
from benchmarks.timing import Row, figure, show
from sonograph.infer.speak import Voice
from sonograph.text.hard_sentences import HARD_SENTENCES
from sonograph.weights import load

SYSTEM = "fastspeech"
SENTENCE = "Good morning. Your call may be recorded, and will be answered in the order received."


def main(minutes: float = 10.0) -> list[Row]:
    """Rows of speed and memory."""
    from sonograph.audio.io import info

    voice = Voice(load("voice"), load("voice-vocoder"))
    list(voice.say(SENTENCE))  # the first call sets everything up
    firsts, factors = [], []
    for _ in range(5):
        began = time.perf_counter()
        said = voice.say(SENTENCE)
        first = next(said)
        firsts.append(time.perf_counter() - began)
        lasts = first.audio.duration_s + sum(one.audio.duration_s for one in said)
        factors.append(lasts / (time.perf_counter() - began))
    with tempfile.TemporaryDirectory() as place:
        text, sound = Path(place) / "long.txt", Path(place) / "long.wav"
        lines = [one.text for one in HARD_SENTENCES]
        each = statistics.mean(one.audio.duration_s for one in voice.say(" ".join(lines)))
        count = round(minutes * 60 / each)
        text.write_text("\n".join(np.resize(lines, count).tolist()))
        seconds, peak = measured("speak", "--file", str(text), "-o", str(sound))
        spoken = info(sound).duration_s
    return [
        figure("first sound of a sentence", 1000 * statistics.median(firsts), "ms")
        | {"at_most": 300.0},
        figure("a sentence", statistics.median(factors), "times real time") | {"at_least": 30.0},
        figure(f"{spoken / 60:.1f} min of speech, peak memory", peak / 1e9, "GB")
        | {"at_most": 1.0},
        figure(f"{spoken / 60:.1f} min of speech", spoken / seconds, "times real time"),
    ]


if __name__ == "__main__":
    show(main(float(sys.argv[1])) if sys.argv[1:] else main())
