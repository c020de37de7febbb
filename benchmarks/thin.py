"""An encoder with thin layers beside the dense one that it was made from: forward passes in turn.

python -m benchmarks.thin [PRESET] [RATIO]
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from benchmarks.timing import Row, alternately, figure, pair, show
from sonograph.metrics.cost import macs
from sonograph.nn.thin import skeleton
from sonograph.registry import build
from sonograph.systems.adapt.pela import compression

SYSTEM = "pela"
PEER = "the dense encoder"


def main(
    name: str = "ssast-base", ratio: float = 2.0, batch: int = 2, repeats: int = 5
) -> list[Row]:
    """Rows of forward passes, and how many multiplications they are of."""
    dense, thin = (build(name).eval() for _ in range(2))
    skeleton(thin, compression(thin, ratio))  # which numbers the weights are costs nothing
    rows = []
    for count in (1, batch):
        features = torch.randn(count, dense.spec.rows, dense.config.frames)

        def forward(model: Any, features: torch.Tensor = features) -> torch.Tensor:
            with torch.inference_mode():
                return model(features).values

        times = alternately(lambda: forward(thin), lambda: forward(dense), repeats)
        words = f"{name} at ratio {ratio:g}, batch {count}, forward"
        rows.append(pair(words, *times, PEER, 1.0))
    features = torch.zeros(1, dense.spec.rows, dense.config.frames)
    share = macs(thin, features) / macs(dense, features)
    return [*rows, figure(f"{name} at ratio {ratio:g}, multiplications", share, "of the dense")]


if __name__ == "__main__":
    given = sys.argv[1:]
    show(main(given[0] if given else "ssast-base", float(given[1]) if given[1:] else 2.0))
