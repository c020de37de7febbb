"""Peak memory and speed of `sonograph tag` on a file of one hour, with the bundled tagger.

The run is a process of its own, measured from outside. The sound is made on the fly at 44.1 kHz, as
most files are, and written as FLAC, block by block.

    python -m benchmarks.tag [HOURS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.embed import measured, write_hours
from benchmarks.timing import Row, figure, show
from sonograph.weights import BUNDLED_TAGGER

SYSTEM = "panns"
RATE_HZ = 44_100


def main(hours: float = 1.0) -> list[Row]:
    """Peak memory, seconds and real-time factor."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "long.flac"
        write_hours(sound, hours, RATE_HZ)
        seconds, peak = measured("tag", str(sound), "--model", BUNDLED_TAGGER)
    factor = hours * 3600 / seconds
    return [
        figure(f"tag {hours:g} h, peak memory", peak / 1e9, "GB") | {"at_most": 1.5},
        figure(f"tag {hours:g} h", seconds, "s"),
        figure(f"tag {hours:g} h, speed", factor, "times as fast as it sounds"),
    ]


if __name__ == "__main__":
    show(main(float(sys.argv[1])) if sys.argv[1:] else main())
