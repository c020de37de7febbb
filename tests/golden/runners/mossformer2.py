"""MossFormer2's golden cases: separators of both layouts, and the enhancer's mask network."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from sonograph.systems.separate import mossformer2
from sonograph.systems.separate.mossformer2 import MaskNet, published
from sonograph.systems.separate.mossformer2.model import FilterBank
from sonograph.weights import part_of
from tests.golden.patches import count, named_signal


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    settings = case.about["settings"]
    answers = (enhancer if "out_channels_final" in settings else separator)(case, golden, state)
    return {name: cut(case, name, value) for name, value in answers.items()}


def pass_mark(about: dict, output: str, want: Any) -> float:
    """Ten times the reference's own float32 noise; where that was not measured, what it states."""
    noise = about.get("float64_difference", {}).get(output, {}).get("relative")
    if noise is not None:
        return max(5e-6, 10 * noise)
    early = output in ("encoder", "attention_0", "recurrent_0")
    return 1e-5 if early else 1e-3


def separator(case: Any, golden: Any, state: dict[str, torch.Tensor]) -> dict[str, Any]:
    settings = case.about["settings"]
    name = settings.get("config_name", "")
    config = published.config_from_published(state, name)
    config = config.override(
        {"level": "keep", "compat": "network", "net.group_frames": settings.get("group_size", 256)}
    )
    told = {
        "encoder_kernel_size": config.front.filter_samples,
        "encoder_embedding_dim": config.front.filters,
        "encoder_out_nchannels": config.front.filters,
        "mossformer_sequence_dim": config.net.width,
        "num_mossformer_layer": config.net.depth,
        "intra_numlayers": config.net.depth,
        "num_spks": config.front.talkers,
        "masknet_numspks": config.front.talkers,
        "sample_rate": config.rate_hz,
    }
    assert {k: v for k, v in settings.items() if k in told and told[k] != v} == {}
    model = mossformer2.build(config).eval()
    model.load_state_dict(published.from_published(state))
    assert count(model) == case.about["parameters"]
    inside = model.inside
    assert isinstance(inside, FilterBank)
    seen = watched(inside.net)
    waveform = signal(case, golden, "waveform")
    waveforms = model(waveform[:, None])[:, :, 0]
    code = inside.encode(waveform)
    masks = inside.masks(code)
    return {
        **seen,
        "encoder": code.mT,
        "mask": masks.permute(1, 0, 3, 2),
        "waveforms": waveforms,
    }


def enhancer(case: Any, golden: Any, state: dict[str, torch.Tensor]) -> dict[str, Any]:
    settings = case.about["settings"]
    ours = published.from_published(state)
    sizes = published.net_of(ours)
    assert (sizes.width, sizes.depth) == (settings["out_channels"], settings["num_blocks"])
    net = MaskNet(
        settings["in_channels"],
        settings["out_channels_final"],
        1,
        sizes.override(group_frames=settings.get("group_size", 256)),
        settings["num_spks"] - 1,
    ).eval()
    net.load_state_dict(part_of(ours, "inside.net."))
    assert count(net) == case.about["parameters"]
    seen = watched(net)
    return {"mask": net(signal(case, golden, "features"))[:, 0].relu(), **seen}


def signal(case: Any, golden: Any, name: str) -> torch.Tensor:
    """The input of this name: stored, or by its rule signal('name', shape, scale)."""
    if name in case.inputs:
        return torch.as_tensor(case.inputs[name])
    return named_signal(case.about["input_rule"][name], golden)


def watched(net: MaskNet) -> dict[str, torch.Tensor]:
    """Filled by the next forward pass: what the first and last blocks answer."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, block: nn.Module) -> None:
        block.register_forward_hook(lambda _, __, answer: seen.setdefault(name, answer))

    keep("attention_0", net.attention[0])
    keep("recurrent_0", net.recurrent[0])
    keep("attention_last", net.attention[-1])
    return seen


def cut(case: Any, name: str, value: torch.Tensor) -> torch.Tensor:
    """The part of an output that the case holds: "[:, ::13, ::9]", "every 2nd sample"."""
    words = case.about["outputs"].get(name, "")
    if "same slice" in words:
        words = case.about["outputs"]["attention_0"]
    if every := re.search(r"every (\d+)", words):
        return value[..., :: int(every[1])]
    if rule := re.search(r"\[(:[^\]]*)\]", words):
        steps = [int(part.strip().lstrip(":") or 1) for part in rule[1].split(",")]
        return value[tuple(slice(None, None, step) for step in steps)]
    return value
