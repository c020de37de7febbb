"""CNN14 beside the one of panns-inference: same weights, waveform in, equal tags out, then time.

Both sides make their own log-mel; ours as it is in float32 (goal 1.0), and made for inference alone
(goal 1.5): batch norms folded, maps channels last, or compiled with its weights frozen, which folds
the norms and lays the weights out for the convolutions once instead of in every call.

    python -m benchmarks.panns_model [SECONDS]
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.timing import Row, alternately, pair, show
from sonograph.audio.feature_spec import Frontend
from sonograph.errors import missing_extra
from sonograph.nn.conv_blocks import ConvBlock

SYSTEM = "panns"
PEER = "panns-inference, fp32"
BATCHES = (1, 4)


def main(seconds: float = 10.0, repeats: int = 3) -> list[Row]:
    """Rows of the tagger in inference; AssertionError where the tags are not equal."""
    from tests.parity.test_panns_inference import INSTALLED, both

    if not INSTALLED:
        raise missing_extra("panns-inference", "parity")
    ours, theirs = both("Cnn14", "panns-cnn14")
    frontend = Frontend(ours.spec)
    last: Any = folded(ours)
    variants: dict[str, tuple[Any, float | None]] = {
        "as it is": (ours, 1.0),
        "batch norms folded": (folded(ours), None),
        "folded, channels last": (last.to(memory_format=torch.channels_last), None),
        "compiled, weights frozen": (compiled(ours), 1.5),
    }

    @torch.no_grad()
    def tags_of(model: Any, sound: Tensor) -> Tensor:
        return ours.scores(model(frontend(sound).values))

    @torch.no_grad()
    def their_tags(sound: Tensor) -> Tensor:
        return theirs(sound)["clipwise_output"]

    rows = []
    for batch in BATCHES:
        sound = 0.1 * torch.randn(batch, round(seconds * ours.spec.rate_hz))
        peer = partial(their_tags, sound)
        want = peer()
        for words, (model, goal) in variants.items():
            mine = partial(tags_of, model, sound)
            error = float((mine() - want).norm() / want.norm())
            assert error < 1e-4, f"{words}: tags differ by {error:.1e}"
            name = f"CNN14, {batch} x {seconds:g} s, {words}"
            rows.append(pair(name, *alternately(mine, peer, repeats), PEER, goal))
    return rows


def compiled(model: nn.Module) -> Callable[..., Tensor]:
    """The model compiled for each length and batch by itself, with its weights as constants."""
    return torch.compile(model, dynamic=False, options={"freezing": True})


def folded(model: nn.Module) -> nn.Module:
    """A copy in which the blocks' batch norms are part of their convolutions."""
    made = copy.deepcopy(model)
    for block in made.modules():
        if isinstance(block, ConvBlock):
            for n in range(1, block.num + 1):
                conv, norm = getattr(block, f"conv{n}"), getattr(block, f"bn{n}")
                setattr(block, f"conv{n}", fuse_conv_bn_eval(conv, norm))
                setattr(block, f"bn{n}", nn.Identity())
    return made


if __name__ == "__main__":
    show(main(float(sys.argv[1])) if sys.argv[1:] else main())
