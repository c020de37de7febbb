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
from sonograph.infer.speak import GRIFFIN_LIM, Voice, open_voice
from sonograph.text.hard_sentences import HARD_SENTENCES

SYSTEM = "fastspeech"
SENTENCE = "Good morning. Your call may be recorded, and will be answered in the order received."


def main(minutes: float = 10.0) -> list[Row]:
    """Rows of speed and memory."""
    from sonograph.audio.io import info

    rows = []
    for name, goal in (("voice-vocoder", 30.0), (GRIFFIN_LIM, None)):
        voice = open_voice(vocoder=name)
        first_s, factor = sentence(voice)
        rows.append(figure(f"first sound, {name}", 1000 * first_s, "ms") | {"at_most": 300.0})
        row = figure(f"two sentences, {name}", factor, "times real time")
        rows.append(row if goal is None else row | {"at_least": goal})
    with tempfile.TemporaryDirectory() as place:
        text, sound = Path(place) / "long.txt", Path(place) / "long.wav"
        lines = [one.text for one in HARD_SENTENCES]
        each = statistics.mean(one.audio.duration_s for one in voice.say("\n\n".join(lines)))
        count = round(minutes * 60 / each)
        text.write_text("\n\n".join(np.resize(lines, count).tolist()))
        seconds, peak = measured("speak", "--file", str(text), "-o", str(sound))
        spoken = info(sound).duration_s
    return [
        *rows,
        figure(f"{spoken / 60:.1f} min of speech, peak memory", peak / 1e9, "GB")
        | {"at_most": 1.0},
        figure(f"{spoken / 60:.1f} min of speech, the whole command", spoken / seconds,
               "times real time"),
    ]  # fmt: skip


def sentence(voice: Voice) -> tuple[float, float]:
    """Seconds to the first sound, and times real time of both sentences: medians of five."""
    list(voice.say(SENTENCE))  # the first call sets everything up
    firsts, factors = [], []
    for _ in range(5):
        began = time.perf_counter()
        said = voice.say(SENTENCE)
        first = next(said)
        firsts.append(time.perf_counter() - began)
        lasts = first.audio.duration_s + sum(one.audio.duration_s for one in said)
        factors.append(lasts / (time.perf_counter() - began))
    return statistics.median(firsts), statistics.median(factors)


if __name__ == "__main__":
    show(main(float(sys.argv[1])) if sys.argv[1:] else main())
