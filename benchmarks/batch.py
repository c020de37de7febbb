"""Throughput of the local pool against Ray Data on real short sounds: tags by the bundled tagger.

Both sides run `map_shards` over one manifest with as many processes as cores, in turns. What they
need until the first sound is told apart: the pool starts processes, Ray a cluster and its actors.
Throughput counts from the first shard that is done to the last, so it is of warm models on both
sides.

    python -m benchmarks.batch [SOUNDS] [REPEATS]

Sounds come from the corpora below $SONOGRAPH_DATA (`sonograph data get core`).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time

from benchmarks.timing import Row, figure, pair, show
from sonograph.data.corpora import open_sets
from sonograph.scale.manifest import Item
from sonograph.scale.run import Engine, map_shards
from sonograph.verbs import tag
from sonograph.verbs.many import VerbWork

SYSTEM = "sonograph"
SHARD = 20
LONGEST_S = 6.0


def short_sounds(count: int) -> list[Item]:
    """So many whole files of the fetched sets, spread over all of them."""
    clips = [clip for clip in open_sets(["core"]) if clip.duration_s <= LONGEST_S]
    paths = sorted({str(clip.path) for clip in clips if clip.start_s == 0})
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return [Item(k, path, str(k), row={"path": path}) for k, path in enumerate(chosen)]


def timed(items: list[Item], engine: Engine) -> tuple[float, float]:
    """(seconds until the first shard was done, sounds a second from then on)."""
    began, told = time.perf_counter(), [(0.0, 0.0)]

    def listen(done: float, total: float | None, note: str = "") -> None:
        told.append((time.perf_counter() - began, done))

    with tempfile.TemporaryDirectory() as folder:
        map_shards(
            VerbWork("tag", tag.Args()), items, f"{folder}/out", engine, 0, SHARD, progress=listen
        )
    first = next(place for place, (_, done) in enumerate(told) if done >= SHARD)
    since, before = told[first]
    until, after = told[-1]
    return since, (after - before) / (until - since)


def main(sounds: int = 400, repeats: int = 3) -> list[Row]:
    """Both sides in turns; medians."""
    items = short_sounds(sounds)
    starts: dict[Engine, list[float]] = {"local": [], "ray": []}
    rates: dict[Engine, list[float]] = {"local": [], "ray": []}
    for _ in range(repeats):
        for engine in starts:
            start, rate = timed(items, engine)
            starts[engine].append(start)
            rates[engine].append(rate)
    local, ray = (statistics.median(rates[engine]) for engine in rates)
    return [
        pair(f"{len(items)} short sounds, a sound", 1 / local, 1 / ray, "Ray Data"),
        figure("local pool", local, "sounds a second"),
        figure("Ray Data", ray, "sounds a second"),
        figure(f"local pool, first {SHARD} sounds", statistics.median(starts["local"]), "s"),
        figure(f"Ray Data, first {SHARD} sounds", statistics.median(starts["ray"]), "s"),
    ]


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    show(main(*given))
