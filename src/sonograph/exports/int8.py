"""ONNX files with weights of 8 bits, where the loss is small on real sounds.

Two ways, by where the weights are: convolutions with scales measured on half of the sounds (static,
per channel), products with scales found as they run (dynamic). The front-end stays as it is: its
waves and filter banks are no weights, and 8 bits of them would be heard.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonograph.errors import InputError
from sonograph.exports.ports import Surface
from sonograph.exports.tracing import quiet

MOST_CLIPS = 32  # that are listened to: half of them to measure scales, half to measure the loss


@dataclasses.dataclass(frozen=True)
class Int8:
    """sounds: real ones, paths or `Audio` (texts for a voice are not needed). loss: the most that
    is taken, the RMS of the difference as a share of the RMS of what the model says.
    """

    sounds: Sequence[Any]
    loss: float = 0.05


def made_smaller(file: Path, surface: Surface, wanted: Int8) -> dict[str, Any]:
    """Put the model of 8 bits in place of `file`, and say what it costs.

    Raises InputError with the number where the loss on sounds is more than was wanted.
    """
    from sonograph.exports.onnx import opened

    clips = list(_inputs(surface, wanted.sounds))
    if len(clips) < 2:
        raise InputError("int8 is measured on real sounds: give two or more that are not silent")
    known, unknown = clips[::2], clips[1::2]
    whole, before = opened(file), file.stat().st_size
    small = file.with_name(f"int8-{file.name}")
    with quiet():
        way = _written(file, small, surface, known)
    run = opened(small)
    pairs = [(whole(clip), run(clip)) for clip in unknown]
    if any(a[0].shape != b[0].shape for a, b in pairs):
        raise InputError(f"with 8 bits {file.stem} speaks at another pace: leave int8 out")
    loss = _loss(pairs)
    if loss > wanted.loss:
        raise InputError(
            f"8 bits change what {file.stem} says by {loss:.1%} (RMS, {len(unknown)} real sounds), "
            f"more than {wanted.loss:.1%}: leave int8 out, or take more with --loss"
        )
    os.replace(small, file)
    told = {"way": way, "loss": loss, "sounds": len(unknown), "bytes_before": before}
    if surface.kind == "tagger":
        same = [bool((a[0].argmax(1) == b[0].argmax(1)).all()) for a, b in pairs]
        told["same_first_label"] = sum(same) / len(same)
    return told


def _inputs(surface: Surface, sounds: Sequence[Any]) -> Iterator[tuple[Tensor, ...]]:
    """The middle of each sound as the model takes it."""
    from sonograph.audio.feature_spec import FeatureSpec, Frontend
    from sonograph.infer.windows import blocks_of
    from sonograph.outputs import Audio

    if surface.kind == "voice":
        generator = torch.Generator().manual_seed(1)
        for _ in range(MOST_CLIPS):
            yield surface.draw(1, surface.length.usual, generator)
        return
    about, size = surface.about, surface.length.usual
    for sound in list(sounds)[:MOST_CLIPS]:
        heard = sound if isinstance(sound, Audio) else None
        blocks = list(blocks_of(heard if heard is not None else sound, about["rate_hz"]))
        import numpy as np

        mono = torch.from_numpy(np.concatenate(blocks, axis=1))
        if surface.kind == "vocoder":
            spec = FeatureSpec.from_dict(about["features"])
            need = spec.samples(size)
        else:
            need = size
        start = max(0, (mono.shape[1] - need) // 2)
        part = mono[:, start : start + need]
        if float(part.abs().max()) < 1e-4:
            continue
        part = torch.nn.functional.pad(part, (0, need - part.shape[1]))
        if surface.kind == "vocoder":
            drawn = surface.draw(1, size, torch.Generator().manual_seed(1))
            yield (Frontend(spec)(part).values[..., :size], *drawn[1:])
        elif len(surface.inputs[0].shape) == 3:
            yield (part.expand(about["channels"], -1)[None],)
        else:
            yield (part,)


def _written(file: Path, small: Path, surface: Surface, known: Sequence[tuple[Tensor, ...]]) -> str:
    """Write the smaller model; which way was taken."""
    import onnx
    from onnxruntime import quantization as q

    graph = onnx.load(file).graph
    weighty = {"conv": 0, "product": 0}
    sizes = {one.name: int(_product(one.dims)) for one in graph.initializer}
    spared = []
    for node in graph.node:
        held = max((sizes.get(name, 0) for name in node.input), default=0)
        if not _of_layer(node):
            spared.append(node.name)
        elif node.op_type == "Conv":
            weighty["conv"] += held
        elif node.op_type in ("MatMul", "Gemm"):
            weighty["product"] += held
    if weighty["conv"] <= weighty["product"]:
        q.quantize_dynamic(
            file,
            small,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=q.QuantType.QInt8,
            nodes_to_exclude=spared,
            extra_options={"MatMulConstBOnly": True},
        )
        return "dynamic"
    q.quantize_static(
        file,
        small,
        _Reader([port.name for port in surface.inputs], known),
        quant_format=q.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
        per_channel=True,
        activation_type=q.QuantType.QUInt8,
        weight_type=q.QuantType.QInt8,
        nodes_to_exclude=spared,
    )
    return "static"


def _of_layer(node: Any) -> bool:
    """Whether a node is a layer of the model with weights, told from where it was followed; not a
    transform or a filter bank.
    """
    told = {entry.key: entry.value for entry in node.metadata_props}
    return "torch.nn.modules." in told.get("pkg.torch.onnx.class_hierarchy", "")


def _product(numbers: Sequence[int]) -> int:
    total = 1
    for number in numbers:
        total *= number
    return total


class _Reader:
    """Inputs one after the other, as onnxruntime asks for them."""

    def __init__(self, names: Sequence[str], clips: Sequence[tuple[Tensor, ...]]):
        self.rest = iter(
            {name: value.numpy() for name, value in zip(names, clip, strict=True)} for clip in clips
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self.rest, None)


def _loss(pairs: Sequence[tuple[Sequence[Tensor], Sequence[Tensor]]]) -> float:
    """RMS of the difference of the first outputs as a share of their RMS, over all clips."""
    apart = sum(float((a[0].double() - b[0].double()).square().sum()) for a, b in pairs)
    said = sum(float(a[0].double().square().sum()) for a, _ in pairs)
    return (apart / max(said, 1e-30)) ** 0.5
