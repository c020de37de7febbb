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
    BitFit,
    Full,
    Linear,
    LoRA,
    Mixture,
    PrefixTuning,
    PromptTuning,
)
from sonograph.systems.adapt.ast_adapters.published import config_from_published, from_published
from sonograph.systems.represent import ssast
from sonograph.train.adapt import adapt
from tests.golden.patches import named_signal


def method_of(settings: dict[str, Any], delta: dict[str, torch.Tensor]) -> Any:
    """(ours for the reference's own arguments, norms that it lets learn): what the shapes of the
    added weights tell is read from them."""
    last = {name.rpartition("adapter.")[2]: value.shape for name, value in delta.items()}
    if "prompts.tokens" in delta:
        sets, count, _ = delta["prompts.tokens"].shape
        return PromptTuning(count, "deep" if sets > 1 else "shallow"), "norm"
    if prefix := [value for name, value in delta.items() if name.endswith("prefix.keys")]:
        return PrefixTuning(2 * len(prefix[0])), "norm"
    if lora := {name: value for name, value in delta.items() if name.endswith(".down")}:
        parts = {name.rsplit("lora", 1)[1].strip("_").split(".")[0] or "project" for name in lora}
        reduction = settings.get("reduction_rate") or settings.get("rank")
        scale = settings.get("scale") or settings["alpha"] / reduction
        where = "|".join(f"attention.{part}" for part in sorted(parts))
        return LoRA(len(next(iter(lora.values()))), scale=scale, where=where), "norm"
    if not delta:
        plain = {
            "bitfit": (BitFit(), "none"),
            "full": (Full(), "none"),
            "linear": (Linear(), "norm"),
        }
        name = str(settings.get("method", "linear")).lower()
        return next(made for start, made in plain.items() if name.startswith(start))
    places = {name.split(".")[2] for name in delta if ".adapter." in name}
    at: Any = "both" if len(places) > 1 else places.pop()
    norms = {"feedforward": "norm2|norm", "attention": "norm1|norm", "both": "norm1|norm2|norm"}[at]
    experts = {name.split(".")[1] for name in last if name.startswith("adapters.")}
    down = last["adapters.0.down.weight" if experts else "down.weight"]
    if experts:
        return Mixture(
            down[0],
            "dense" if "router.weight" in last else "soft",
            len(experts),
            last.get("slots", (0, 0, 1))[2],
            "cosine" if "scale" in last else "product",
            "convpass" if "adapters.0.convolve.weight" in last else "bottleneck",
            at,
            compat="published",
        ), norms
    if "depthwise.weight" in last:
        inner, kernel, kind = down[0] // 2, last["depthwise.weight"][2], "conformer"
    elif "convolve.weight" in last:
        inner, kernel, kind = down[0], last["convolve.weight"][2], "convpass"
    else:
        inner, kernel, kind = down[0], 1, "bottleneck"
    return Adapter(inner, kind, kernel, at, placement_of(settings), compat="published"), norms


def placement_of(settings: dict[str, Any]) -> Placement:
    """From the words of the settings, whatever they are called."""
    words = {value for value in settings.values() if isinstance(value, str)}
    way = "parallel" if "parallel" in words else "sequential"
    if "after" in words:  # the ablation
        return "sequential-residual"
    if "before" in words:
        return "parallel" if way == "parallel" else "feeding"
    residual = any("residual" in name and value for name, value in settings.items())
    return f"{way}{'-residual' if residual else ''}"  # type: ignore[return-value]


def pooled(tokens: torch.Tensor, settings: dict[str, Any], prompts: int) -> torch.Tensor:
    """What the head sees: tokens are the first one, `prompts` prompts, and all others."""
    pool = str(settings.get("pool", settings.get("final_output", "ALL"))).upper()
    starts_ends = {
        "ALL": (0, None),
        "CLS": (0, 1),
        "PROMPTS": (1, 1 + prompts),
        "SPEECH": (1 + prompts, None),
        "PROMPTS+SPEECH": (1, None),
    }
    return tokens[:, slice(*starts_ends[pool])].mean(1)


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    settings = case.about["settings"]
    backbone = settings["backbone"]
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    words = {value for value in settings.values() if isinstance(value, str)}
    found = from_published(state, "MHSA" if "MHSA" in words else "FFN")
    strides = tuple(backbone.get(f"{axis}_stride", 10) for axis in ("frequency", "time"))
    config = config_from_published(state, strides, backbone.get("num_mel_bins", 128))
    config = dataclasses.replace(config, num_heads=backbone["num_attention_heads"])
    prompts = found.delta["prompts.tokens"].shape[1] if "prompts.tokens" in found.delta else 0
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
    assert not odd.missing_keys
    method, norms = method_of(settings, found.delta)
    adapt(encoder, method, head=norms if isinstance(method, Linear) else "none")
    if found.delta:
        load_delta(encoder, found.delta, case.about["variant"])

    seen: dict[str, torch.Tensor] = {}
    encoder.blocks[0].register_forward_hook(lambda m, given, out: seen.update(first=out))
    last_hook = encoder.blocks[-1].feedforward.register_forward_hook(
        lambda m, given, out: seen.update(more=out)
    )
    encoder.blocks[-1].norm2.register_forward_pre_hook(lambda m, given: seen.update(sum=given[0]))
    features = of_rule(case, golden).transpose(1, 2)
    # the reference's last frames fill no patch; ours takes no more frames than it has patches for
    encoder.eval()(features[:, :, : config.frames])
    last_hook.remove()
    tokens = encoder.norm(seen["sum"] + seen["more"])  # all of them, prompts too
    head = found.head
    seen_by_head = pooled(tokens, settings, prompts)
    logits = seen_by_head @ head["project.weight"].T + head["project.bias"]

    learns = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    parts = [m for n, m in encoder.named_modules() if re.fullmatch(rf"(.*\.)?({norms})", n)]
    learns += sum(p.numel() for m in parts for p in m.parameters() if not p.requires_grad)
    learns += sum(value.numel() for value in head.values())
    assert learns == case.about["trainable_parameters"]
    return {"layer_0": seen["first"][:, ::5, ::3], "logits": logits}


def of_rule(case: Any, golden: Any) -> torch.Tensor:
    if "features" in case.inputs:
        return torch.as_tensor(case.inputs["features"])
    return named_signal(case.about["input_rule"]["features"], golden)
