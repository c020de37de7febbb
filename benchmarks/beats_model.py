"""How much faster than it sounds BEATs hears: waveform in, tokens (or labels) out, on this machine.

Of published size, weights as they are drawn, 10 s clips; float32 and bfloat16. The tokenizer's way
ends with the label of every patch.

    python -m benchmarks.beats_model
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.timing import Row, show, speed
from sonograph.audio.feature_spec import Frontend
from sonograph.registry import build

SYSTEM = "beats"
SECONDS = 10.0


@torch.inference_mode()
def hear(answer: Any, frontend: Frontend, sound: torch.Tensor, precision: str) -> Any:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        return answer(frontend(sound).values)


def main(repeats: int = 3) -> list[Row]:
    """Rows of encoder and tokenizer, one clip at a time and four together."""
    rows = []
    for words, name in (("encoder", "beats-base-iter1"), ("tokenizer", "beats-tokenizer")):
        model: Any = build(name).eval()
        frontend = Frontend(model.spec)
        answer = model if words == "encoder" else model.tokenize
        for batch in (1, 4):
            sound = 0.1 * torch.randn(batch, round(SECONDS * model.spec.rate_hz))
            for precision in ("fp32", "bf16"):
                title = f"{words}, {batch} x {SECONDS:g} s, {precision}"
                act = partial(hear, answer, frontend, sound, precision)
                rows.append(speed(title, batch * SECONDS, act, repeats))
    return rows


if __name__ == "__main__":
    show(main())
