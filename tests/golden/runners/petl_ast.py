"""PETL_AST's golden cases: a small AST with each kind of adaptation."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import torch
from torch import nn

from sonograph.nn.adaptation import load_delta
from sonograph.nn.sublayers import Placement
from sonograph.nn.transformer import PreNormBlock
from sonograph.systems.adapt.ast_adapters import (
    Adapter,
    LoRA,
    Mixture,
    PrefixTuning,
    PromptTuning,
)
from sonograph.systems.adapt.ast_adapters.published import config_from_published, from_published
from sonograph.systems.represent import ssast
from sonograph.train.adapt import adapt


def method_of(settings: dict[str, Any], width: int, names: set[str]) -> Any:
    """Ours for the reference's own arguments."""
    norms = "norm"
    if "prompts" in settings:
        return PromptTuning(settings["prompts"], "deep" if settings["deep"] else "shallow"), norms
    if "tokens" in settings:
        return PrefixTuning(settings["tokens"]), norms
    inner = round(width / settings["reduction_rate"])
    if "alpha" in settings:
        letters = {n.rsplit("_", 1)[1].split(".")[0] for n in names if "lora_down" in n}
        parts = {"q": "query", "k": "key", "v": "value", "o": "project"}
        where = "|".join(f"attention.{parts[letter]}" for letter in sorted(letters))
        return LoRA(settings.get("width", inner), scale=settings["scale"], where=where), norms
    at = {"FFN": "feedforward", "MHSA": "attention", "Pfeiffer": "feedforward", "Houlsby": "both"}[
        settings.get("location") or settings["adapter_type"]
    ]
    norms = {"feedforward": "norm2|norm", "attention": "norm1|norm", "both": "norm1|norm2|norm"}[at]
    kind = "conformer" if "kernel" in settings else "bottleneck"
    adapter = Adapter(
        inner, kind, settings.get("kernel", 31), at, placement_of(settings), compat="published"
    )
    if "adapters" in settings or "num_adapters" in settings:
        count = settings.get("adapters") or settings["num_adapters"]
        soft = any("slot" in name or "phi" in name for name in names)
        return Mixture(
            inner, "soft" if soft else "dense", count, settings.get("slots", 1), at
        ), norms
    return adapter, norms


def placement_of(settings: dict[str, Any]) -> Placement:
    if "where" in settings:  # the ablation
        if settings["where"] == "after":
            return "sequential-residual"
        return "parallel" if settings["conf"] == "parallel" else "feeding"
    residual = "-residual" if settings.get("residual") else ""
    return f"{settings['conf']}{residual}"  # type: ignore[return-value]


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    settings = case.about["settings"]
    backbone = settings["backbone"]
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    found = from_published(state, settings.get("location", "FFN"))
    config = dataclasses.replace(
        config_from_published(state), num_heads=backbone["num_attention_heads"]
    )
    prompts = "prompts" in settings
    if prompts:  # the official code then leaves out the distillation token
        config = dataclasses.replace(config, special_tokens=1)
        found.encoder["special"] = found.encoder["special"][:, :1]
        table = found.encoder["positions"]
        found.encoder["positions"] = torch.cat([table[:, :1], table[:, 2:]], dim=1)
    encoder = ssast.SSAST(config)
    encoder.blocks = nn.ModuleList(
        PreNormBlock(
            config.width,
            config.num_heads,
            backbone["intermediate_size"] / config.width,
            norm_eps=backbone.get("layer_norm_eps", 1e-12),
        )
        for _ in range(config.depth)
    )
    encoder.norm = nn.LayerNorm(config.width, eps=backbone.get("layer_norm_eps", 1e-12))
    odd = encoder.load_state_dict(found.encoder, strict=False)
    assert not odd.unexpected_keys
    assert set(odd.missing_keys) <= {"norm.weight", "norm.bias"}
    method, norms = method_of(settings, config.width, set(state))
    adapt(encoder, method, head="none")
    load_delta(encoder, found.delta, case.about["variant"])

    seen: dict[str, torch.Tensor] = {}
    encoder.blocks[0].register_forward_hook(lambda m, given, out: seen.update(first=out))
    last = encoder.blocks[-1].feedforward.register_forward_hook(
        lambda m, given, out: seen.update(more=out)
    )
    encoder.blocks[-1].norm2.register_forward_pre_hook(lambda m, given: seen.update(sum=given[0]))
    features = of_rule(case, golden).transpose(1, 2)
    # the reference's last frames fill no patch; ours takes no more frames than it has patches for
    encoder.eval()(features[:, :, : config.frames])
    last.remove()
    tokens = encoder.norm(seen["sum"] + seen["more"])  # all of them, prompts too
    head = found.head
    logits = tokens.mean(1) @ head["project.weight"].T + head["project.bias"]

    learns = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    parts = [m for n, m in encoder.named_modules() if re.fullmatch(rf"(.*\.)?({norms})", n)]
    learns += sum(p.numel() for m in parts for p in m.parameters() if not p.requires_grad)
    learns += sum(value.numel() for value in head.values())
    assert learns == case.about["trainable_parameters"]
    return {"layer_0": seen["first"][:, ::5, ::3], "logits": logits}


def of_rule(case: Any, golden: Any) -> torch.Tensor:
    if "features" in case.inputs:
        return torch.as_tensor(case.inputs["features"])
    rule = re.search(
        r"signal\('([^']+)', \(([^)]+)\), ([\d.]+)\)", case.about["input_rule"]["features"]
    )
    assert rule is not None
    shape = tuple(int(n) for n in rule[2].split(","))
    return torch.from_numpy(golden.signal(rule[1], shape, float(rule[3])))
