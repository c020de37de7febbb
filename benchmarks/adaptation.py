"""Methods of adaptation beside full fine-tuning, cached vectors beside none.

Update times are of the base preset (AST, 86 million) on two clips of 1.3 s, alternately with a
full fine-tuning's; peak memory is each method's own process. SVFit also on so many clips that it
changes weights instead of outputs. LoRA beside peft: `benchmarks/lora.py`.

    python -m benchmarks.adaptation [METHOD ...]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.timing import Row, alternately, figure, pair, show
from sonograph import registry, weights
from sonograph.nn.heads import Classifier
from sonograph.train.adapt import adapt
from sonograph.train.finetune import Examples, Head, pooled, teach_head

SYSTEM = "ast_adapters"
METHODS = ("linear", "bitfit", "norms", "lora", "svfit", "adapter", "conformer", "prompt-deep")
PRESET, CLIPS, FRAMES = "ast-base", 2, 128
MANY = 8  # clips, of 146 tokens each
CACHE_GOAL = 20.0


def main(methods: tuple[str, ...] = METHODS, repeats: int = 3) -> list[Row]:
    """Rows of each method, and of a head on cached vectors."""
    rows = []
    full = updates("full")
    for method in methods:
        ours, theirs = alternately(updates(method), full, repeats)
        rows.append(pair(f"update, {method}", ours, theirs, "full fine-tuning"))
    if "svfit" in methods:
        times = alternately(updates("svfit", MANY), updates("full", MANY), repeats)
        rows.append(pair(f"update, svfit, {MANY} clips", *times, "full fine-tuning"))
    most = peak("full")
    rows.append(figure("peak memory, full", most, "GB"))
    for method in methods:
        rows.append(figure(f"peak memory, {method}", peak(method), "GB"))
    return [*rows, cached(repeats)]


def classifier(method: str) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(registry.build(PRESET), [f"class {n}" for n in range(10)])
    adapt(model, method)
    return model.train()


def updates(method: str, clips: int = CLIPS) -> Callable[[], Any]:
    """One update of a method: forward, backward, AdamW."""
    model = classifier(method)
    learns = [weight for weight in model.parameters() if weight.requires_grad]
    search = torch.optim.AdamW(learns, lr=1e-4)
    features, targets = torch.randn(clips, 128, FRAMES), torch.arange(clips)

    def update() -> None:
        search.zero_grad()
        torch.nn.functional.cross_entropy(model(features), targets).backward()
        search.step()

    return update


def peak(method: str) -> float:
    """GB that a process of its own held at most in three updates."""
    code = (
        "from benchmarks.adaptation import updates\n"
        f"update = updates({method!r})\n"
        "for _ in range(3): update()\n"
        "line = next(x for x in open('/proc/self/status') if x.startswith('VmHWM'))\n"
        "print(line.split()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) * 1024 / 1e9


def cached(repeats: int) -> Row:
    """An epoch of the head alone on vectors made once, beside one that makes them anew."""
    encoder: Any = weights.load("ast-mini")
    model = adapt(Classifier(encoder, [f"class {n}" for n in range(10)]), "linear")
    assert isinstance(model, Classifier)
    count = 64
    examples = Examples(
        torch.randn(count, 128, 128),
        torch.full((count,), 128),
        torch.arange(count) % 10,
        model.labels,
        tuple(map(str, range(count))),
    )
    vectors, head = pooled(model, examples), Head(model)
    search = torch.optim.AdamW(model.head.parameters(), lr=1e-3)
    none = torch.Generator()

    def epoch(kept: bool) -> None:
        for rows in torch.arange(count).split(16):
            part = vectors if kept else pooled(model, examples.take(rows))
            batch = part.take(rows) if kept else part
            search.zero_grad()
            parts = teach_head(head, {"features": batch.features, "targets": batch.targets}, none)
            parts["loss"].backward()
            search.step()

    times = alternately(lambda: epoch(True), lambda: epoch(False), repeats)
    return pair("epoch of the head alone, cached vectors", *times, "recomputed", CACHE_GOAL)


if __name__ == "__main__":
    show(main(tuple(sys.argv[1:]) or METHODS))
