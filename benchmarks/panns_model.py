"""PANNs as they are beside the same with batch norms folded and maps channels last, on one CPU.

The outputs must be equal; the ratio says what folding would bring. Nothing is compared with the
public package: it is not a dependency, and its network is the same convolutions.

    python -m benchmarks.panns_model [PRESET] [SECONDS]
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.timing import Row, alternately, pair, show
from sonograph.audio.feature_spec import Frontend
from sonograph.nn.conv_blocks import ConvBlock
from sonograph.registry import build

SYSTEM = "panns"


def main(name: str = "panns-cnn14", seconds: float = 10.0, repeats: int = 3) -> list[Row]:
    """Rows of the forward pass; AssertionError where the outputs are not equal."""
    torch.manual_seed(0)
    model = build(name).eval()
    for block in model.modules():
        if isinstance(block, nn.BatchNorm1d | nn.BatchNorm2d):  # folding must have work to do
            block.get_buffer("running_mean").normal_(0, 0.1)
            block.get_buffer("running_var").uniform_(0.5, 1.5)
    sound = torch.randn(1, int(seconds * model.spec.rate_hz)) * 0.1
    features = Frontend(model.spec)(sound).values
    variants = {
        "batch norms folded": folded(model),
        "channels last": channels_last(copy.deepcopy(model)),
        "folded, channels last": channels_last(folded(model)),
    }
    plain = run(model, features)
    rows = []
    for words, other in variants.items():
        changed = run(other, features)
        want, got = plain(), changed()
        error = float((got - want).norm() / want.norm())
        assert error < 1e-4, f"{words}: outputs differ by {error:.1e}"
        ours_s, theirs_s = alternately(plain, changed, repeats)
        rows.append(pair(f"{name}, {seconds:g} s, forward", ours_s, theirs_s, words))
    return rows


def run(model: Any, features: Tensor) -> Callable[[], Tensor]:
    def forward() -> Tensor:
        with torch.inference_mode():
            return model(features)

    return forward


def channels_last(model: Any) -> nn.Module:
    return model.to(memory_format=torch.channels_last)


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
    given = sys.argv[1:]
    show(main(given[0] if given else "panns-cnn14", float(given[1]) if given[1:] else 10.0))
