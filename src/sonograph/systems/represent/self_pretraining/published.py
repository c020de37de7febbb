"""Official files: backbones of IdoAmos/not-from-scratch, with input map and decoder.

Saved by the official trainer, or their parts alone: "encoder.0.weight" or "encoder.weight".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.encoder import Pooling
from sonograph.nn.heads import Classifier, HeadKind
from sonograph.nn.s4 import LowRankKernel
from sonograph.systems.represent.self_pretraining.model import Config, SequenceEncoder
from sonograph.systems.represent.self_pretraining.objective import Pretraining
from sonograph.weights import part_of, rename

# of the published Transformers, by (width, layers, size of feed-forward parts): (heads, window)
HEADS = {(64, 3, 2): (4, 0), (128, 4, 1): (8, 0), (128, 8, 4): (4, 8192), (128, 4, 4): (4, 0)}

_LAYER, _OURS = "model.layers.{}.", "encoder.layers.{}."
_KERNEL = {"C": "out", "log_dt": "log_step", "B": "into", "A_imag": "frequency"}
_KERNEL |= {"inv_A_real": "log_decay", "log_A_real": "log_decay"}
# of S4, diagonal plus a rank one
_KERNEL |= {"inv_w_real": "log_decay", "w_imag": "frequency", "P": "low_rank"}
_REACH = "model.layers.{}.layer.kernel.kernel.L"  # places of a kernel; 0: C is not cut off yet
# how the official trainer wraps what comes before and after the backbone
_WRAPPED = (("encoder.0.", "encoder."), ("decoder.0.output_transform.", "decoder."))
# published name, our name, once queries, keys and values are joined and the input map is divided
_NAMES = (
    (_LAYER + "layer.qkv.{}", _OURS + "attention.qkv.{}"),
    (_LAYER + "layer.linears.3.{}", _OURS + "attention.project.{}"),
    # of the layer that wraps torch's
    (_LAYER + "layer.mha.in_proj_weight", _OURS + "attention.qkv.weight"),
    (_LAYER + "layer.mha.in_proj_bias", _OURS + "attention.qkv.bias"),
    (_LAYER + "layer.mha.out_proj.{}", _OURS + "attention.project.{}"),
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
    ("decoder.0.{}", "head.hidden.{}"),
    ("decoder.2.{}", "head.project.{}"),
)


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official file."""
    return bool({"encoder.weight", "encoder.0.weight"} & set(names)) and any(
        re.fullmatch(r"model\.layers\.0\.layer\.(linears\.0\.weight|mha\.in_proj_weight|D)", name)
        for name in names
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours: `encoder.*`, and `hidden` and `decode.*` of a pre-trained file, or
    `head.*` of a fine-tuned one.

    The last column of the input map is the flag of hidden inputs: what it adds to the bias is
    `hidden`. Fine-tuning cuts that column off, as the official code does. Of S4 the kernels are
    of as many places as the file says: see `fill`.
    """
    joined = _unwrapped(state)
    _refuse(joined)
    for name in tuple(joined):
        if found := re.fullmatch(r"(.*\.layer\.)linears\.0\.(weight|bias)", name):
            parts = [joined.pop(f"{found[1]}linears.{k}.{found[2]}") for k in range(3)]
            joined[f"{found[1]}qkv.{found[2]}"] = torch.cat(parts)
    if "decoder.weight" in joined and joined["encoder.weight"].shape[1] > 1:
        flag = joined["encoder.weight"][:, -1]
        joined["hidden"] = (flag + joined["encoder.bias"])[None, None]
        joined["encoder.weight"] = joined["encoder.weight"][:, :-1]
    ours = rename(joined, _NAMES, (_REACH,))
    if "hidden" not in ours:
        for part in ("weight", "bias"):
            if f"decode.{part}" in ours:
                ours[f"head.{part}"] = ours.pop(f"decode.{part}")
    for name, value in ours.items():
        if name.endswith("space.skip"):
            ours[name] = value.flatten()
        elif name.endswith("kernel.out") and value.ndim == 3:  # of the standalone layer
            ours[name] = value[None]
        elif name.endswith("kernel.into") and value.ndim == 4:  # of S4
            ours[name] = value[0]
        elif name.endswith("kernel.low_rank"):
            if len(value) != 1:
                raise InputError(f"of S4 a term of rank 1 is known, not one of rank {len(value)}")
            ours[name] = value[0]
        elif name.endswith("space.mix.weight"):
            ours[name] = value.flatten(1)
    return ours


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = dict(state)
    for wrapped, plain in _WRAPPED:
        found = {
            plain + name.removeprefix(wrapped) if name.startswith(wrapped) else name: value
            for name, value in found.items()
        }
    return found


def _refuse(names: Mapping[str, Any]) -> None:
    """Raise InputError for what the official code can make and no published arm has."""
    first = "model.layers.0.layer."
    attends = first + "linears.0.weight", first + "mha.in_proj_weight"
    if any(name in names for name in attends) and not (
        {first + "linears.0.bias", first + "mha.in_proj_bias"} & names.keys()
    ):
        raise InputError("a file whose attention has no biases: only attention with them is known")
    if first + "D" in names and any(".layer.ff." in name for name in names):
        raise InputError(
            "a file with feed-forward parts between its state spaces: only state spaces alone are "
            "known"
        )


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its shapes.

    Heads, windows and rotary positions are in no file: they are those of the published model of
    this shape; raises InputError where there is none. Nor is the activation of feed-forward parts:
    it is taken for GELU, which every published one has.
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
        low_rank = "encoder.layers.0.space.kernel.low_rank" in ours
        return dataclasses.replace(
            config,
            mixer="space",
            form="nplr" if low_rank else "diagonal",
            frames=(low_rank and int(state.get(_REACH.format(0), 0))) or config.frames,
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


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put an official file into the model that it is of, whatever that has around the encoder.

    Kernels of S4 hold C (1 - A'^places), of as many places as the official model had heard by
    then: it is made that of the places of this model.
    """
    ours = from_published(state)
    encoder = model if isinstance(model, SequenceEncoder) else model.get_submodule("encoder")
    assert isinstance(encoder, SequenceEncoder)
    model.load_state_dict(part_of(ours, "encoder.") if encoder is model else ours)
    if encoder.config.form == "nplr":
        count = len(encoder.layers)
        _carry(encoder, [int(state.get(_REACH.format(number), 0)) for number in range(count)])


def refit(encoder: SequenceEncoder, frames: int) -> SequenceEncoder:
    """The same encoder of S4 for inputs of up to `frames` places: its kernels go on as they were.

    Raises InputError for others, whose inputs have no such bound or a table of positions.
    """
    if encoder.config.form != "nplr" or encoder.config.mixer != "space":
        raise InputError("only kernels of S4 are carried to another length: this encoder has none")
    longer = SequenceEncoder(dataclasses.replace(encoder.config, frames=frames))
    longer.load_state_dict(encoder.state_dict())
    _carry(longer, [encoder.config.frames] * len(encoder.layers))
    return longer.to(next(encoder.parameters()).device)


def _carry(encoder: SequenceEncoder, places: Sequence[int]) -> None:
    """Kernels whose weights are of so many places, made those of the encoder's own."""
    for layer, so_far in zip(encoder.layers, places):
        kernel = layer.get_submodule("space.kernel")
        assert isinstance(kernel, LowRankKernel)
        kernel.reach(kernel.frames, so_far)


def load_published(state: Mapping[str, Tensor]) -> nn.Module:
    """An official file as a model: with its decoder, as objective or as classifier, if it has one.

    The names of classes are in no file: they are numbers.
    """
    ours, encoder = from_published(state), SequenceEncoder(config_from_published(state))
    model: nn.Module = encoder
    if "hidden" in ours:
        model = Pretraining(encoder)
    elif kind := head_of(ours):
        classes = len(ours["head.bias" if kind == "linear" else "head.project.bias"])
        pool: Pooling = "largest" if encoder.config.window else "tokens"  # of PathX
        model = Classifier(encoder, [str(n) for n in range(classes)], pool, head=kind)
    fill(model, state)
    return model


def head_of(ours: Mapping[str, Any]) -> HeadKind | None:
    """The kind of head among weights by our names."""
    if "head.weight" in ours:
        return "linear"
    return "network" if "head.project.weight" in ours else None
