"""Publish a model to a folder that others can read (or a hub id), and use it from there."""

from __future__ import annotations

import tempfile
from pathlib import Path

import sonograph as sound
from sonograph.systems.represent.ssast import SSAST


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        encoder = SSAST.from_pretrained("ssast-mini")
        card = {"name": "mine", "summary": "an encoder of mine", "licence": "CC0-1.0"}
        run = encoder.save_pretrained(Path(folder) / "runs" / "mine", card)
        shared = sound.push(run, f"{folder}/shared/mine")  # or "owner/name" of a hub
        print(sorted(path.name for path in Path(shared).iterdir()))
        mine = sound.pull(shared, Path(folder) / "models" / "mine")
        again = sound.load(mine)
        print(again.name, sum(p.numel() for p in again.parameters()), "weights")
        print((Path(shared) / "README.md").read_text().splitlines()[10])


if __name__ == "__main__":
    main()
