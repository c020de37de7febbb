"""LoRA beside peft: one layer, a whole model, and the same merged.

The layer is the fused one of queries, keys and values of the base preset (768 to 2304), the model
that preset (AST, 86 million), both on two clips of 1.3 s; outputs are equal. Merged, both are the
same plain layers again. Takes less than two minutes.

    python -m benchmarks.lora
"""

from __future__ import annotations

import copy
import importlib.util
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.timing import Row, finely, show
from sonograph import registry
from sonograph.errors import missing_extra
from sonograph.nn.adaptation import Adapted, merge
from sonograph.nn.heads import Classifier
from sonograph.train.adapt import adapt

SYSTEM = "ast_adapters"
PRESET, CLIPS, FRAMES, TOKENS = "ast-base", 2, 128, 146
GOAL = 1.0


@torch.inference_mode()
def main(repeats: int = 24) -> list[Row]:
    """Rows of the forward pass of a layer, of a model, and of the model merged."""
    if importlib.util.find_spec("peft") is None:
        raise missing_extra("peft", "parity")
    torch.manual_seed(0)
    layer = nn.Sequential()
    layer.qkv = nn.Linear(768, 3 * 768)
    model = Classifier(registry.build(PRESET), ["a", "b"])
    rows = []
    for name, base, given in (
        ("LoRA forward, one layer", layer, torch.randn(CLIPS, TOKENS, 768)),
        ("LoRA forward", model, torch.randn(CLIPS, 128, FRAMES)),
    ):
        ours, theirs = both(base)
        rows.append(compared(name, ours, theirs, given, repeats))
    merged = merge(ours), theirs.merge_and_unload().eval()
    kinds = [sorted(type(part).__name__ for part in side.modules()) for side in merged]
    assert kinds[0] == kinds[1]
    rows.append(compared("LoRA forward, merged", *merged, given, repeats))
    return rows


def both(base: nn.Module) -> tuple[nn.Module, Any]:
    """The model with our LoRA and with peft's, of equal weights away from where they begin."""
    import peft

    ours = adapt(copy.deepcopy(base), "lora", head="none", where="qkv").eval()
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["qkv"], bias="none")
    theirs: Any = peft.get_peft_model(copy.deepcopy(base), config).eval()  # type: ignore[arg-type]
    given = dict(theirs.named_parameters())
    for place, layer in ours.named_modules():
        if isinstance(layer, Adapted):
            for part, which in (("down", "lora_A"), ("up", "lora_B")):
                value: Any = getattr(layer.additions["lora"], part)
                nn.init.normal_(value, std=0.02)
                given[f"base_model.model.{place}.{which}.default.weight"].copy_(value)
    return ours, theirs


def compared(name: str, ours: nn.Module, theirs: Any, given: torch.Tensor, repeats: int) -> Row:
    torch.testing.assert_close(ours(given), theirs(given), rtol=1e-4, atol=1e-5)
    return finely(name, partial(ours, given), partial(theirs, given), repeats, "peft", GOAL)


if __name__ == "__main__":
    show(main())
