"""Many sounds at once: vectors by a pool of two processes, from a manifest to one file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

import sonograph as sound
from sonograph.outputs import Embedding
from sonograph.scale.run import map_shards
from sonograph.verbs import embed
from sonograph.verbs.many import VerbWork


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, time_s = Path(name), np.arange(8000) / 16000
        for hertz in (220, 440, 880):
            sound.Audio(0.1 * np.sin(2 * np.pi * hertz * time_s), 16000).write(
                folder / f"{hertz}.wav"
            )
        rows = [{"path": f"{hertz}.wav"} for hertz in (220, 440, 880)] + [{"path": "lost.wav"}]
        (folder / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))

        # the same as `sonograph embed --manifest all.jsonl -o vectors --jobs 2 --shard-size 2`
        work = VerbWork("embed", embed.Args())
        done = map_shards(work, f"{folder}/all.jsonl", f"{folder}/vectors", jobs=2, shard_size=2)
        print(f"{done.new} sounds in {done.shards} shards, {done.failed} could not be read")
        vectors = Embedding.open(folder / "vectors/vectors.npz")
        print("vectors", vectors.values.shape, "of", *(Path(name).name for name in vectors.names))


if __name__ == "__main__":  # each process imports this file
    main()
