"""ONNX Runtime beside our own inference: the same model, waveform in, as many threads.

Both sides take turns in one run. Ours is what `sonograph` runs: front-end and model in float32.
Files of 8 bits are written where sounds to measure them on are at hand.

    python -m benchmarks.export [NAME ...]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import Row, alternately, figure, pair, show
from sonograph import weights
from sonograph.errors import InputError
from sonograph.outputs import Audio

SYSTEM = "sonograph"
PEER = "ONNX Runtime"
MODELS = ("panns-mini", "ast-mini", "ssast-mini", "enhancer", "voice-vocoder")
BATCHES = (1, 4)


def main(names: Sequence[str] = (), repeats: int = 5) -> list[Row]:
    """A row for each model and batch; more than 1 means that we are faster."""
    sounds, rows = real_sounds(), list[Row]()
    for name in names or MODELS:
        model: Any = weights.load(name)
        with tempfile.TemporaryDirectory() as folder:
            rows += compared(name, model, Path(folder), "", None, repeats)
            if not sounds:
                continue
            from sonograph.exports.int8 import Int8

            rows += compared(name, model, Path(folder), ", int8", Int8(sounds, 1.0), repeats)
    return rows


def compared(name: str, model: Any, folder: Path, words: str, int8: Any, repeats: int) -> list[Row]:
    """Our time and that of one file, and what 8 bits cost."""
    from sonograph.exports.onnx import opened
    from sonograph.exports.surface import surface_of
    from sonograph.exports.tracing import prepared
    from sonograph.exports.writing import export

    try:
        done = export(model, folder, "onnx", int8)
    except InputError as error:
        print(f"{name}{words}: {error}", file=sys.stderr)
        return []
    run, surface = opened(done.file, torch.get_num_threads()), surface_of(model)
    ours, rows = prepared(surface.module), list[Row]()
    for batch in BATCHES:
        inputs = surface.draw(batch, surface.length.usual, torch.Generator().manual_seed(0))
        times = alternately(partial(once, ours, inputs), partial(run, inputs), repeats)
        size = f"{batch} x {surface.length.usual} {surface.length.name}"
        rows.append(pair(f"{name}, {size}", *times, f"{PEER}{words}"))
    if int8 is not None:
        small = done.told["int8"]
        rows.append(figure(f"{name}{words}, loss on real sounds", 100 * small["loss"], "%"))
        smaller = small["bytes_before"] / done.told["bytes"]
        rows.append(figure(f"{name}{words}, file", smaller, "times as small"))
    return rows


@torch.inference_mode()
def once(module: Any, inputs: Any) -> Any:
    return module(*inputs)


def real_sounds() -> list[Audio]:
    """Clips spread over the fetched set `mini`; none where it was not fetched."""
    from sonograph.data.named import open_data
    from sonograph.exports.int8 import MOST_CLIPS

    try:
        clips = open_data(("mini",))
    except InputError as error:
        print(f"no int8: {error}", file=sys.stderr)
        return []
    spread = range(0, len(clips), max(1, len(clips) // MOST_CLIPS))
    read = [clips[k].read(44_100).astype(np.float32) for k in spread]
    return [Audio(samples.reshape(1, -1), 44_100) for samples in read]


if __name__ == "__main__":
    show(main(sys.argv[1:]))
