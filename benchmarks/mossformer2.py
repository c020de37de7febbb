"""MossFormer2 beside clearvoice's: forward pass and training step, and memory against length.

Both have the same weights and equal outputs. clearvoice pins old libraries, so it is not installed
with us: put a folder that holds it on PYTHONPATH, with rotary-embedding-torch. Only the files of
its models are imported. Where they are not found the rows are of ours alone, and say so.

    python -m benchmarks.mossformer2 [SECONDS]
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.timing import Row, alternately, figure, pair, show, speed
from sonograph import registry
from sonograph.losses.separation import permutation_invariant
from sonograph.systems.separate import mossformer2
from sonograph.systems.separate.mossformer2 import Learned, Net

SYSTEM = "mossformer2"
CLOSE = 1e-3  # relative: 24 random layers amplify float32 noise, the reference's own is 1e-4
MEMORY_S = (4, 8, 16, 32)
PEER = "clearvoice MossFormer2"


def main(seconds: float = 1.0, repeats: int = 3) -> list[Row]:
    """Rows of inference, training and memory; AssertionError where outputs are not equal."""
    rows = [
        inference(name, round(seconds * 8000), repeats)
        for name in ("mossformer2-l", "mossformer2-talkers")
    ]
    return [*rows, training(repeats), *memory()]


def theirs_of(config: mossformer2.Config) -> nn.Module | None:
    """clearvoice's network of these sizes with random weights; None where it is not at hand."""
    found = importlib.util.find_spec("clearvoice")
    if found is None or importlib.util.find_spec("rotary_embedding_torch") is None:
        return None
    place = Path((found.submodule_search_locations or [""])[0]) / "models" / "mossformer2_ss"
    if "clearvoice_ss" not in sys.modules:
        package = types.ModuleType("clearvoice_ss")
        package.__path__ = [str(place)]
        sys.modules["clearvoice_ss"] = package
        if importlib.util.find_spec("torchinfo") is None:  # imported there, never called
            stub = types.ModuleType("torchinfo")
            stub.summary = None  # type: ignore[attr-defined]
            sys.modules["torchinfo"] = stub
    models: Any = importlib.import_module("clearvoice_ss.mossformer2")
    front = config.front
    assert isinstance(front, Learned)
    told = Namespace(
        encoder_embedding_dim=front.filters,
        mossformer_sequence_dim=config.net.width,
        num_mossformer_layer=config.net.depth,
        encoder_kernel_size=front.filter_samples,
        num_spks=front.talkers,
    )
    return models.MossFormer2_SS_16K(told).eval()


def both(config: mossformer2.Config) -> tuple[Any, Any]:
    """Our model and theirs with the same weights; theirs None where it is not at hand."""
    torch.manual_seed(0)
    theirs = theirs_of(config)
    if theirs is None:
        return mossformer2.build(config).eval(), None
    ours = mossformer2.load_published(theirs.state_dict())
    sizes = config.override(level="keep", compat="network", window_s=ours.config.window_s)
    made = mossformer2.build(sizes).eval()
    made.load_state_dict(ours.state_dict())
    return made, theirs


@torch.inference_mode()
def inference(name: str, samples: int, repeats: int) -> Row:
    """One clip, through sizes that clearvoice can build: see `as_theirs`."""
    preset: Any = registry.preset(name).make()
    config = as_theirs(preset)
    ours, theirs = both(config)
    sound = 0.1 * torch.randn(1, samples)
    label = f"{name}, {samples / config.rate_hz:g} s"
    if theirs is None:
        return speed(f"{label} (clearvoice is not at hand)", samples / config.rate_hz,
                     partial(ours, sound[:, None]), repeats)  # fmt: skip
    require_equal(ours, theirs, sound)
    times = alternately(partial(ours, sound[:, None]), partial(theirs, sound), repeats)
    return pair(label, *times, PEER, 1.0)


def as_theirs(config: mossformer2.Config) -> mossformer2.Config:
    """With what clearvoice's code has written into it: as many filters as the network is wide, and
    groups, queries and memory of the published sizes.
    """
    net = Net(width=config.net.width, depth=config.net.depth)
    return config.override({"net": net, "front.filters": config.net.width})


def require_equal(ours: Any, theirs: Any, sound: torch.Tensor) -> None:
    want = torch.stack(theirs(sound), 1)
    error = float((ours(sound[:, None])[:, :, 0] - want).norm() / want.norm())
    assert error < CLOSE, f"outputs differ by {error:.1e}"


def training(repeats: int) -> Row:
    """Forward and backward of the talkers' loss at d 128, 4 pairs of blocks, 4 clips of 1 s."""
    config = mossformer2.Config(
        front=Learned(filters=128), net=Net(width=128, depth=4), level="keep", compat="network"
    )
    ours, theirs = both(config)
    sources = 0.1 * torch.randn(4, 2, 8000)
    mixture = sources.sum(1)

    def step(model: nn.Module, made: Any) -> None:
        loss = permutation_invariant(made(), sources)[0].mean()
        model.zero_grad()
        loss.backward()

    def our_step() -> None:
        step(ours, lambda: ours(mixture[:, None])[:, :, 0])

    label = "loss and gradients, d 128, 4 pairs of blocks, 4 clips of 1 s"
    ours.train()
    if theirs is None:
        return speed(f"{label} (clearvoice is not at hand)", 4.0, our_step, repeats)
    theirs.train()
    times = alternately(our_step, partial(step, theirs, lambda: torch.stack(theirs(mixture), 1)),
                        repeats)  # fmt: skip
    return pair(label, *times, PEER, 1.0)


def memory() -> list[Row]:
    """What a forward pass of the talkers' model allocates beyond its weights, against length.

    Bytes asked for and not yet given back, at their highest, as the profiler sees them.
    """
    model: Any = registry.build("mossformer2-talkers").eval()
    rows = []
    for seconds in MEMORY_S:
        sound = 0.1 * torch.randn(1, 1, seconds * model.rate_hz)
        rows.append(
            figure(f"mossformer2-talkers, {seconds} s: memory", peak(model, sound) / 2**20, "MiB")
        )
    return rows


@torch.inference_mode()
def peak(model: nn.Module, sound: torch.Tensor) -> int:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        model(sound)
    held = highest = 0
    for event in seen.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


if __name__ == "__main__":
    show(main(float(sys.argv[1])) if sys.argv[1:] else main())
