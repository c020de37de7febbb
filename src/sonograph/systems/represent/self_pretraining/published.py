"""Official files: backbones of IdoAmos/not-from-scratch, with input map and decoder."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.systems.represent.self_pretraining.model import Config, SequenceEncoder
from sonograph.systems.represent.self_pretraining.objective import Pretraining
from sonograph.weights import rename

# of the published Transformers, by (width, layers, size of feed-forward parts): (heads, window)
HEADS = {(64, 3, 2): (4, 0), (128, 4, 1): (8, 0), (128, 8, 4): (4, 8192), (128, 4, 4): (4, 0)}

_LAYER, _OURS = "model.layers.{}.", "encoder.layers.{}."
_KERNEL = {"C": "out", "log_dt": "log_step", "B": "into", "A_imag": "frequency"}
_KERNEL |= {"inv_A_real": "log_decay", "log_A_real": "log_decay"}
# published name, our name, once queries, keys and values are joined and the input map is divided
_NAMES = (
    (_LAYER + "layer.qkv.{}", _OURS + "attention.qkv.{}"),
    (_LAYER + "layer.linears.3.{}", _OURS + "attention.project.{}"),
    (_LAYER + "layer.ff.0.0.{}", _OURS + "feedforward.expand.{}"),
    (_LAYER + "layer.ff.2.{}", _OURS + "feedforward.contract.{}"),
    (_LAYER + "layer.D", _OURS + "space.skip"),
    *(
        (f"{_LAYER}layer.kernel.{inner}{theirs}", f"{_OURS}space.kernel.{ours}")
        for inner in ("", "kernel.")
        for theirs, ours in _KERNEL.items()
    ),
    (_LAYER + "layer.output_linear.0.{}", _OURS + "space.mix.{}"),
    (_LAYER + "norm.norm.{}", _OURS + "norm.{}"),
    ("model.norm.norm.{}", "encoder.norm.{}"),
    ("encoder.weight", "encoder.project.weight"),
    ("encoder.bias", "encoder.project.bias"),
    ("hidden", "hidden"),
    ("decoder.{}", "decode.{}"),
)


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official file."""
    return "encoder.weight" in names and any(
        re.fullmatch(r"model\.layers\.0\.layer\.(linears\.0\.weight|D)", name) for name in names
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours: `encoder.*`, and `hidden` and `decode.*` of a pre-trained file.

    The last column of the input map is the flag of hidden inputs: what it adds to the bias is
    `hidden`. Fine-tuning cuts that column off, as the official code does.
    """
    joined = dict(state)
    for name in state:
        if found := re.fullmatch(r"(.*\.layer\.)linears\.0\.(weight|bias)", name):
            parts = [joined.pop(f"{found[1]}linears.{k}.{found[2]}") for k in range(3)]
            joined[f"{found[1]}qkv.{found[2]}"] = torch.cat(parts)
    if "decoder.weight" in joined and joined["encoder.weight"].shape[1] > 1:
        flag = joined["encoder.weight"][:, -1]
        joined["hidden"] = (flag + joined["encoder.bias"])[None, None]
        joined["encoder.weight"] = joined["encoder.weight"][:, :-1]
    ours = rename(joined, _NAMES)
    for name, value in ours.items():
        if name.endswith("space.skip"):
            ours[name] = value.flatten()
        elif name.endswith("kernel.out") and value.ndim == 3:  # of the standalone layer
            ours[name] = value[None]
        elif name.endswith("space.mix.weight"):
            ours[name] = value.flatten(1)
    return ours


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its shapes.

    Heads, windows and rotary positions are in no file: they are those of the published model of
    this shape; raises InputError where there is none.
    """
    ours = from_published(state)
    depth = 1 + max(int(name.split(".")[2]) for name in ours if name.startswith("encoder.layers."))
    config = Config(
        width=ours["encoder.project.bias"].shape[0],
        depth=depth,
        norm="batch" if "encoder.layers.0.norm.running_mean" in ours else "layer",
        order="pre" if "encoder.norm.weight" in ours else "post",
    )
    if "encoder.layers.0.space.skip" in ours:
        out = ours["encoder.layers.0.space.kernel.out"]
        learned = "encoder.layers.0.space.kernel.into" in ours
        return dataclasses.replace(
            config,
            mixer="space",
            states=2 * out.shape[2],
            sees="both" if len(out) == 2 else "past",
            groups=ours["encoder.layers.0.space.kernel.log_decay"].shape[0] % out.shape[1],
            discretise="bilinear" if learned else "zoh",
            source="learned" if learned else "ones",
        )
    expand = ours["encoder.layers.1.feedforward.expand.weight"].shape[0] // config.width
    if (shape := (config.width, depth // 2, expand)) in HEADS:
        heads, window = HEADS[shape]
        return dataclasses.replace(
            config, depth=depth // 2, expand=expand, num_heads=heads, window=window
        )
    raise InputError(
        f"no published Transformer has {depth // 2} layers of width {config.width} with "
        f"feed-forward parts of {expand}: heads cannot be told"
    )


def load_published(state: Mapping[str, Tensor]) -> nn.Module:
    """An official file as a model: with its decoder if it has one, else the encoder."""
    ours, encoder = from_published(state), SequenceEncoder(config_from_published(state))
    if "hidden" in ours:
        model = Pretraining(encoder)
        model.load_state_dict(ours)
        return model
    encoder.load_state_dict({n.removeprefix("encoder."): ours[n] for n in ours if n[:3] == "enc"})
    return encoder
