"""SSAST/AST base beside the AST class of transformers: same weights, equal outputs, then time.

Forward and training step (forward, cross-entropy, backward, AdamW) in float32 are the comparison;
bfloat16 and blocks compiled one by one stand beside it.

    python -m benchmarks.ast_model [PRESET] [BATCH]
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmarks.timing import Row, alternately, pair, show
from sonograph.errors import missing_extra
from sonograph.registry import preset

SYSTEM = "ssast"
CLASSES = 50
PEER = "transformers' AST"
Precision = Literal["fp32", "bf16"]


def main(name: str = "ssast-base", batch: int = 2, repeats: int = 3) -> list[Row]:
    """Rows of forward and training step; AssertionError where the outputs are not equal."""
    if importlib.util.find_spec("transformers") is None:
        raise missing_extra("transformers", "parity")
    from tests.parity.test_ast_transformers import both

    config: Any = preset(name).make()
    ours, theirs = both(config, CLASSES)
    features = torch.randn(batch, config.features.bins, config.frames)
    labels = torch.arange(batch) % CLASSES
    turned = features.transpose(1, 2).contiguous()

    def forward_ours() -> Tensor:
        return ours(features, None)

    def forward_theirs() -> Tensor:
        return theirs(turned).logits

    with torch.inference_mode():
        want, got = forward_theirs(), forward_ours()
    error = float((got - want).norm() / want.norm())
    assert error < 1e-4, f"outputs differ by {error:.1e}: there is nothing to compare"

    mine, peer = Step(ours, forward_ours, labels), Step(theirs, forward_theirs, labels)
    words = f"{name}, batch {batch}"
    rows = [
        compare(f"{words}, forward", mine.forward, peer.forward, repeats, 1.0),
        compare(f"{words}, training step", mine.train, peer.train, repeats, 1.0),
    ]
    for kind, act, other in (
        ("forward", mine.forward, peer.forward),
        ("training step", mine.train, peer.train),
    ):
        both_bf16 = partial(act, "bf16"), partial(other, "bf16")
        ours_s, theirs_s = alternately(*both_bf16, repeats)
        rows.append(pair(f"{words}, {kind}, both bf16", ours_s, theirs_s, f"{PEER}, bf16"))
        rows.append(compare(f"{words}, {kind}, ours bf16", partial(act, "bf16"), other, repeats))
    for block in ours.encoder.blocks:  # type: ignore[attr-defined]
        block.compile()
    for kind, act, other in (
        ("forward", mine.forward, peer.forward),
        ("training step", mine.train, peer.train),
    ):
        compiled = f"{words}, {kind}, ours compiled"
        rows.append(compare(compiled, act, other, repeats))
        rows.append(compare(f"{compiled} bf16", partial(act, "bf16"), other, repeats, 1.5))
    return rows


def compare(
    name: str,
    ours: Callable[[], None],
    theirs: Callable[[], None],
    repeats: int,
    at_least: float | None = None,
) -> Row:
    """The row of ours beside theirs in float32."""
    return pair(name, *alternately(ours, theirs, repeats), f"{PEER}, fp32", at_least)


class Step:
    """One side: its forward pass, and a whole training step."""

    def __init__(self, model: nn.Module, forward: Callable[[], Tensor], labels: Tensor):
        self.answer, self.labels = forward, labels
        self.learning = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def forward(self, precision: Precision = "fp32") -> None:
        with torch.inference_mode(), _cast(precision):
            self.answer()

    def train(self, precision: Precision = "fp32") -> None:
        with _cast(precision):
            loss = nn.functional.cross_entropy(self.answer().float(), self.labels)
        loss.backward()
        self.learning.step()
        self.learning.zero_grad()


def _cast(precision: Precision) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


if __name__ == "__main__":
    given = sys.argv[1:]
    show(main(given[0] if given else "ssast-base", int(given[1]) if given[1:] else 2))
