"""`sonograph vocode`: features to sound, and sounds through a vocoder and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    source: Positional[Path]
    """A sound, which is analysed first, or a .npy or .npz of features (rows, frames)."""
    output: Annotated[Path, arg(aliases=["-o"])]
    """The sound file to write; the format follows its suffix."""
    model: str = "voice-vocoder"
    """A bundled name, a run folder, a published generator (.pth), a hub id, or griffin-lim."""
    seed: int = 0
    """Of what is drawn at random, for vocoders that draw."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    import time

    import torch

    from sonograph.audio.io import writer
    from sonograph.audio.speech_features import voice_spec
    from sonograph.infer.vocode import analyse, synthesise, vocoder_of
    from sonograph.nn.phase_search import NAME, PhaseSearch
    from sonograph.nn.vocoder import Vocoder
    from sonograph.outputs import features_of_file, spec_of_file
    from sonograph.verbs import show
    from sonograph.weights import load

    if args.model == NAME:
        vocoder: Vocoder = PhaseSearch(spec_of_file(args.source) or voice_spec())
    else:
        vocoder = vocoder_of(load(args.model))
    began = time.perf_counter()
    if args.source.suffix in (".npy", ".npz"):
        blocks = iter([torch.from_numpy(features_of_file(args.source, vocoder.spec))])
    else:
        blocks = analyse(args.source, vocoder.spec)
    made, rate = 0, vocoder.spec.rate_hz
    with writer(args.output, rate, 1) as add:
        for block in synthesise(vocoder, blocks, torch.Generator().manual_seed(args.seed)):
            add(block)
            made += block.shape[1]
    took, lasts = time.perf_counter() - began, made / rate
    if args.json:
        show.as_json(
            {
                "output": str(args.output),
                "model": args.model,
                "rate_hz": rate,
                "duration_s": lasts,
                "seconds": took,
                "times_real_time": lasts / took,
            }
        )
    else:
        print(f"{args.output}: {lasts:.2f} s at {rate} Hz, {lasts / took:.1f} times real time")
    return 0
