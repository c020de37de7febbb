"""Throughput of the local pool against Ray Data on real short sounds: tags by the bundled tagger.

Both sides run `map_shards` over one manifest with as many processes as cores, in turns. What they
need to begin is told apart: the pool starts processes, Ray a cluster and its actors. Throughput
counts from when every process could have done its first shard, so it is of warm models on both
sides; the whole run is told too.

    python -m benchmarks.batch [SOUNDS] [REPEATS]

Sounds come from the corpora below $SONOGRAPH_DATA (`sonograph data get core`).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Row, figure, pair, show
from sonograph.data.corpora import open_sets
from sonograph.scale.local import cores
from sonograph.scale.manifest import Item
from sonograph.scale.run import Engine, map_shards
from sonograph.verbs import tag
from sonograph.verbs.many import VerbWork

SYSTEM = "sonograph"
SHARD = 20
LONGEST_S = 6.0
NAMES: dict[Engine, str] = {"local": "local pool", "ray": "Ray Data"}


def short_sounds(count: int) -> list[Item]:
    """So many whole files of the fetched sets, spread over all of them."""
    clips = [clip for clip in open_sets(["core"]) if clip.duration_s <= LONGEST_S]
    paths = sorted({str(clip.path) for clip in clips if clip.start_s == 0})
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return [Item(k, path, str(k), row={"path": path}) for k, path in enumerate(chosen)]


def timed(items: list[Item], engine: Engine) -> tuple[float, float, float]:
    """(seconds until the first round of shards was done, sounds a second after it, all seconds)."""
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        work, out = VerbWork("tag", tag.Args()), Path(folder) / "out"
        map_shards(work, items, str(out), engine, shard_size=SHARD)
        whole = time.time() - began
        # when shards were marked; Ray tells of them later, and several at once
        marked = sorted(path.stat().st_mtime - began for path in (out / "marks").iterdir())
    first = cores() - 1
    rest = len(items) - (first + 1) * SHARD
    return marked[first], rest / (marked[-1] - marked[first]), whole


def main(sounds: int = 400, repeats: int = 3) -> list[Row]:
    """Both sides in turns; medians."""
    items = short_sounds(sounds)
    runs: dict[Engine, list[tuple[float, float, float]]] = {engine: [] for engine in NAMES}
    for _ in range(repeats):
        for engine, kept in runs.items():
            kept.append(timed(items, engine))
    rows, medians = [], {}
    for engine, peer in NAMES.items():
        start, rate, whole = (statistics.median(column) for column in zip(*runs[engine]))
        medians[engine] = rate, whole
        rows += [
            figure(f"{peer}, warm", rate, "sounds a second"),
            figure(f"{peer}, until {cores() * SHARD} sounds are done", start, "s"),
        ]
    (local, local_s), (ray, ray_s) = medians["local"], medians["ray"]
    return [
        pair(f"{len(items)} short sounds, warm, a sound", 1 / local, 1 / ray, "Ray Data"),
        pair(f"{len(items)} short sounds, from nothing", local_s, ray_s, "Ray Data"),
        *rows,
    ]


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    show(main(*given))
