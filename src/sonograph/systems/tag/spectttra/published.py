"""Official files: of SpecTTTra, of the ViT, and of the convolutional baselines by timm's names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.errors import InputError
from sonograph.systems.tag.spectttra.model import Config, Detector, Kind
from sonograph.weights import rename


def published_features(
    waveform: Float[Tensor, "b n"], spec: FeatureSpec
) -> Float[Tensor, "b bins frames"]:
    """Features as the official code makes them: `top_db` below the loudest of the whole batch.

    So a quiet clip's features depend on its neighbours; `Frontend` takes each clip's own loudest.
    """
    if spec.top_db is None:
        raise InputError("without top_db the official features are those of Frontend")
    raw = Frontend(spec.override(top_db=None, normalise="fixed"))(waveform).values
    raw = raw.clamp(min=float(raw.max()) - spec.top_db)
    deviation, mean = torch.std_mean(raw, (1, 2), keepdim=True)
    return (raw - mean) / (deviation + spec.normalise_eps)


TOKENIZER, BLOCK = "encoder.st_tokenizer.{}_tokenizer", "encoder.transformer.blocks.{}"
# published name, our name; what stands in braces is a number or a kind of weight
PUBLISHED_NAMES = (
    *(
        pair
        for axis in ("temporal", "spectral")
        for pair in (
            (f"{TOKENIZER.format(axis)}.conv1d.{{}}", f"encoder.{axis}.project.{{}}"),
            (f"{TOKENIZER.format(axis)}.pos_encoder.pe", f"encoder.{axis}.positions"),
            (f"{TOKENIZER.format(axis)}.norm_pre.{{}}", f"encoder.{axis}.norm.{{}}"),
        )
    ),
    ("encoder.patch_encoder.proj.{}", "encoder.patches.project.{}"),
    ("encoder.patch_encoder.norm.{}", "encoder.patch_norm.{}"),
    ("encoder.pos_encoder.pe", "encoder.positions"),
    (f"{BLOCK}.norm1.{{}}", "encoder.blocks.{}.norm1.{}"),
    (f"{BLOCK}.attn.qkv.{{}}", "encoder.blocks.{}.attention.qkv.{}"),
    (f"{BLOCK}.attn.proj.{{}}", "encoder.blocks.{}.attention.project.{}"),
    (f"{BLOCK}.norm2.{{}}", "encoder.blocks.{}.norm2.{}"),
    (f"{BLOCK}.mlp.fc1.{{}}", "encoder.blocks.{}.feedforward.expand.{}"),
    (f"{BLOCK}.mlp.fc2.{{}}", "encoder.blocks.{}.feedforward.contract.{}"),
    ("classifier.{}", "classifier.{}"),
)
# windows and filter banks, which the features hold
UNUSED = tuple("ft_extractor" + ".{}" * n for n in range(1, 6))
FRAMES = {128: 157, 3744: 3751}  # published clips of 5 and 120 s, by the columns they become
# first weights of the four kinds; the convolutional ones go by timm's names
FIRST: dict[Kind, str] = {
    "spectttra": "encoder.st_tokenizer.temporal_tokenizer.conv1d.weight",
    "vit": "encoder.pos_encoder.pe",
    "convnext": "encoder.stages.0.blocks.0.conv_dw.weight",
    "efficientvit": "encoder.stem.in_conv.conv.weight",
}
STAGE_BLOCK = "encoder.stages.{}.blocks.{}"


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official SpecTTTra file, or of one of its baselines."""
    return bool(set(FIRST.values()) & set(names)) and "classifier.weight" in names


def kind_of(names: Mapping[str, Any]) -> Kind:
    """Which of the encoders an official file holds."""
    for kind, first in FIRST.items():
        if first in names:
            return kind
    raise InputError(f"no SONICS file: none of {', '.join(FIRST.values())} is in it")


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours. Of the convolutional baselines ours depend on the stages' depths."""
    tables = {"convnext": _convnext_names, "efficientvit": _efficientvit_names}
    made = tables.get(kind_of(state))
    ours = rename(state, PUBLISHED_NAMES if made is None else made(_depths(state)), UNUSED)
    wide = ours.get("encoder.widen.0.weight")
    if wide is not None:  # there it is a convolution of single pixels
        ours["encoder.widen.0.weight"] = wide.flatten(1)
    return ours


def _depths(state: Mapping[str, Any]) -> list[int]:
    """How many blocks each stage of a convolutional baseline has."""
    found: dict[int, int] = {}
    for name in state:
        if inside := re.match(r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.", name):
            stage, block = int(inside[1]), int(inside[2])
            found[stage] = max(found.get(stage, 0), block + 1)
    return [found[stage] for stage in sorted(found)]


def _convnext_names(depths: Sequence[int]) -> list[tuple[str, str]]:
    """(timm's name, ours) of a ConvNeXt."""
    rows = [
        ("encoder.stem.0.{}", "encoder.steps.0.{}"),
        ("encoder.stem.1.{}", "encoder.steps.1.{}"),
        ("encoder.head.norm.{}", "encoder.norm.{}"),
        ("classifier.{}", "classifier.{}"),
    ]
    parts = {"conv_dw": "depthwise", "norm": "norm", "mlp.fc1": "expand", "mlp.fc2": "contract"}
    place = 2
    for stage, depth in enumerate(depths):
        if stage:
            for k in range(2):
                down = f"encoder.stages.{stage}.downsample.{k}"
                rows.append((f"{down}.{{}}", f"encoder.steps.{place + k}.{{}}"))
            place += 2
        for k in range(depth):
            theirs, ours = STAGE_BLOCK.format(stage, k), f"encoder.steps.{place}"
            rows.append((f"{theirs}.gamma", f"{ours}.scale"))
            rows += [(f"{theirs}.{a}.{{}}", f"{ours}.{b}.{{}}") for a, b in parts.items()]
            place += 1
    return rows


def _efficientvit_names(depths: Sequence[int]) -> list[tuple[str, str]]:
    """(timm's name, ours) of an EfficientViT: two stages without attention, two with it."""
    rows = [
        ("encoder.stem.in_conv.conv.{}", "encoder.trunk.0.{}"),
        ("encoder.stem.in_conv.norm.{}", "encoder.trunk.1.{}"),
        ("encoder.head.in_conv.conv.{}", "encoder.widen.0.{}"),
        ("encoder.head.in_conv.norm.{}", "encoder.widen.1.{}"),
        ("encoder.head.classifier.0.{}", "encoder.summary.0.{}"),
        ("encoder.head.classifier.1.{}", "encoder.summary.1.{}"),
        ("classifier.{}", "classifier.{}"),
    ]

    def add(theirs: str, place: str, parts: Mapping[str, str]) -> None:
        for a, b in parts.items():
            rows.append((f"{theirs}.main.{a}.{{}}", f"encoder.trunk.{place}.{b}.{{}}"))

    stem = {"depth_conv.conv": "0", "depth_conv.norm": "1"}
    stem |= {"point_conv.conv": "3", "point_conv.norm": "4"}
    add("encoder.stem.res0", "3.part", stem)
    normed = {"inverted_conv.conv": "0", "inverted_conv.norm": "1", "depth_conv.conv": "3"}
    normed |= {"depth_conv.norm": "4", "point_conv.conv": "6", "point_conv.norm": "7"}
    plain = {"inverted_conv.conv": "0", "depth_conv.conv": "2"}
    plain |= {"point_conv.conv": "4", "point_conv.norm": "5"}
    attention = {"qkv.conv": "qkv", "aggreg.0.0": "gather.0", "aggreg.0.1": "gather.1"}
    attention |= {"proj.conv": "project.0", "proj.norm": "project.1"}
    place = 4
    for stage, depth in enumerate(depths):
        attends = stage >= len(depths) - 2
        for k in range(depth):
            theirs = STAGE_BLOCK.format(stage, k)
            if k and attends:
                add(f"{theirs}.context_module", f"{place}.part", attention)
                add(f"{theirs}.local_module", f"{place + 1}.part", plain)
                place += 2
                continue
            add(theirs, f"{place}.part" if k else str(place), plain if attends else normed)
            place += 1
    return rows


def config_from_published(
    state: Mapping[str, Tensor], settings: Mapping[str, Any] | None = None
) -> Config:
    """The configuration of an official file, read from its shapes.

    settings: the group `model` of the official configuration. A convolutional baseline's weights
    fit every length: without settings it is one of five seconds. Raises InputError for tokens
    without a norm or with sinusoids, and for a map of no published size.
    """
    said, kind = settings or {}, kind_of(state)
    for name in ("pre_norm", "patch_norm", "pe_learnable"):
        if not said.get(name, True):
            raise InputError(f"a SONICS file with {name}={said[name]}: only True is known")
    if kind in ("convnext", "efficientvit"):
        return _convolutional(state, kind, said)
    depth = 1 + max(int(n.split(".")[3]) for n in state if ".transformer.blocks." in n)
    hidden, width = state["encoder.transformer.blocks.0.mlp.fc1.weight"].shape
    # the hidden width is rounded down from a ratio; half a unit more gives it again
    ratio = 2.67 if int(width * 2.67) == hidden else (hidden + 0.5) / width
    heads = int(said.get("num_heads", max(1, width // 64)))
    config = Config(width=width, depth=depth, num_heads=heads, mlp_ratio=ratio)
    if kind == "vit":
        rows, step = (int(n) for n in state["encoder.patch_encoder.proj.weight"].shape[2:])
        columns = state["encoder.pos_encoder.pe"].shape[1] // (config.size[0] // rows) * step
        config = dataclasses.replace(config, kind="vit", patch=(rows, step))
    else:
        _, _, time_clip = state[f"{TOKENIZER.format('temporal')}.conv1d.weight"].shape
        _, columns, clip = state[f"{TOKENIZER.format('spectral')}.conv1d.weight"].shape
        config = dataclasses.replace(config, time_clip=time_clip, frequency_clip=clip)
    return dataclasses.replace(config, frames=_frames(columns), size=(config.size[0], columns))


def _convolutional(state: Mapping[str, Tensor], kind: Kind, said: Mapping[str, Any]) -> Config:
    depths, columns = _depths(state), int(said.get("input_shape", (128, 128))[1])
    config = Config(kind=kind, frames=_frames(columns), size=(128, columns))
    if kind == "convnext":
        width = state[f"encoder.stages.{len(depths) - 1}.blocks.0.conv_dw.weight"].shape[0]
        return dataclasses.replace(config, width=width, stages=tuple(depths))
    wide, width = state["encoder.head.in_conv.conv.weight"].shape[:2]
    summary = wide, state["encoder.head.classifier.0.weight"].shape[0]
    last = len(depths) - 2  # where attention begins: a head of it is as wide as its groups are
    gather = state[f"encoder.stages.{last}.blocks.1.context_module.main.aggreg.0.1.weight"]
    # a first bottleneck of a stage with attention is no block of ours
    blocks = (1, *(n if k < last else n - 1 for k, n in enumerate(depths)))
    return dataclasses.replace(
        config, width=width, stages=blocks, head_width=gather.shape[1], summary=summary
    )


def _frames(columns: int) -> int:
    if columns not in FRAMES:
        raise InputError(f"a file for {columns} columns is none of 5 or 120 s: {[*FRAMES]}")
    return FRAMES[columns]


READS_NOTES = True  # the configuration lies beside the weights


def load_published(state: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None) -> Detector:
    """An official file as a model that tags; `notes` is what lies beside its weights."""
    said = (notes or {}).get("model")
    model = Detector(config_from_published(state, said if isinstance(said, Mapping) else None))
    model.load_state_dict(from_published(state))
    return model
