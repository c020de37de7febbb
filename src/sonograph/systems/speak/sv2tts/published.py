"""Published files: RTVC's and Resemblyzer's encoder, RTVC's synthesizer and WaveRNN, NVIDIA's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sonograph.audio.speech_features import tacotron2_spec
from sonograph.errors import InputError
from sonograph.systems.speak.sv2tts.sizes import (
    Config,
    Encoder,
    Hybrid,
    Samples,
    Tacotron2,
    Upsampling,
    WaveRNN,
    ge2e_spec,
    rtvc_spec,
)
from sonograph.weights import rename

MARKS = {  # a weight by which a part is known
    "encoder": "similarity_weight",
    "tacotron2": "decoder.attention_rnn.weight_ih",
    "hybrid": "decoder.attn_net.L.weight",
    "wavernn": "upsample.resnet.conv_in.weight",
}


def _cbhg(theirs: str, ours: str) -> list[tuple[str, str]]:
    return [
        (f"{theirs}.conv1d_bank.{{}}.conv.weight", f"{ours}.bank.{{}}.weight"),
        (f"{theirs}.conv1d_bank.{{}}.bnorm.{{}}", f"{ours}.bank_norms.{{}}.{{}}"),
        (f"{theirs}.conv_project1.conv.weight", f"{ours}.narrow.weight"),
        (f"{theirs}.conv_project1.bnorm.{{}}", f"{ours}.narrow_norm.{{}}"),
        (f"{theirs}.conv_project2.conv.weight", f"{ours}.back.weight"),
        (f"{theirs}.conv_project2.bnorm.{{}}", f"{ours}.back_norm.{{}}"),
        (f"{theirs}.pre_highway.weight", f"{ours}.widen.weight"),
        (f"{theirs}.highways.{{}}.W1.{{}}", f"{ours}.new.{{}}.{{}}"),
        (f"{theirs}.highways.{{}}.W2.{{}}", f"{ours}.share.{{}}.{{}}"),
        (f"{theirs}.rnn.{{}}", f"{ours}.gru.{{}}"),
    ]


ENCODER = [("lstm.{}", "lstm.{}"), ("linear.{}", "linear.{}")]
HYBRID = [
    ("encoder.embedding.weight", "embed.weight"),
    ("encoder.pre_net.fc1.{}", "text_prenet.layers.0.{}"),
    ("encoder.pre_net.fc2.{}", "text_prenet.layers.1.{}"),
    *_cbhg("encoder.cbhg", "cbhg"),
    ("encoder_proj.weight", "attention.memory.weight"),
    ("decoder.prenet.fc1.{}", "prenet.layers.0.{}"),
    ("decoder.prenet.fc2.{}", "prenet.layers.1.{}"),
    ("decoder.attn_net.conv.{}", "attention.convolution.{}"),
    ("decoder.attn_net.L.weight", "attention.location.weight"),
    ("decoder.attn_net.W.{}", "attention.query.{}"),
    ("decoder.attn_net.v.weight", "attention.energy.weight"),
    ("decoder.attn_rnn.{}", "gru.{}"),
    ("decoder.rnn_input.{}", "enter.{}"),
    ("decoder.res_rnn1.{}", "first.{}"),
    ("decoder.res_rnn2.{}", "second.{}"),
    ("decoder.mel_proj.weight", "project.weight"),
    ("decoder.stop_proj.{}", "stop.{}"),
    *_cbhg("postnet", "postnet"),
    ("post_proj.weight", "refine.weight"),
]
LAYER = "decoder.attention_layer"
TACOTRON2 = [
    ("embedding.weight", "embed.weight"),
    ("encoder.convolutions.{}.0.conv.{}", "convolutions.{}.{}"),
    ("encoder.convolutions.{}.1.{}", "norms.{}.{}"),
    ("encoder.lstm.{}", "lstm.{}"),
    ("decoder.prenet.layers.{}.linear_layer.weight", "prenet.layers.{}.weight"),
    ("decoder.attention_rnn.{}", "attention_lstm.{}"),
    (f"{LAYER}.query_layer.linear_layer.weight", "attention.query.weight"),
    (f"{LAYER}.memory_layer.linear_layer.weight", "attention.memory.weight"),
    (f"{LAYER}.v.linear_layer.weight", "attention.energy.weight"),
    (f"{LAYER}.location_layer.location_conv.conv.weight", "attention.convolution.weight"),
    (f"{LAYER}.location_layer.location_dense.linear_layer.weight", "attention.location.weight"),
    ("decoder.decoder_rnn.{}", "decoder_lstm.{}"),
    ("decoder.linear_projection.linear_layer.{}", "project.{}"),
    ("decoder.gate_layer.linear_layer.{}", "stop.{}"),
    ("postnet.convolutions.{}.0.conv.{}", "postnet.convolutions.{}.{}"),
    ("postnet.convolutions.{}.1.{}", "postnet.norms.{}.{}"),
]


def part_of(state: Mapping[str, Tensor]) -> str | None:
    """Which part a published file holds, if any."""
    names = {name.removeprefix("module.") for name in state}
    if MARKS["wavernn"] in names and "rnn1.weight_ih_l0" not in names:
        return None
    return next((part for part, mark in MARKS.items() if mark in names), None)


def is_published(state: Mapping[str, Tensor]) -> bool:
    """One of the four files."""
    return part_of(state) is not None


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as ours. What similarity is scaled by (`similarity_weight`, `similarity_bias`) belongs
    to the loss and is left out, as are counters and settings.
    """
    part = part_of(state)
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    if part == "encoder":
        return rename(plain, ENCODER, ["similarity_weight", "similarity_bias"])
    if part == "hybrid":
        return rename(plain, HYBRID, ["step", "stop_threshold", "decoder.r"])
    if part == "tacotron2":
        return rename(plain, TACOTRON2)
    if part == "wavernn":
        return {name: value for name, value in plain.items() if name != "step"}
    raise InputError("these weights are of no part of SV2TTS")


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The sizes that weights tell; features and alphabets, which they do not, are the published."""
    ours: dict[str, Any] = from_published(state)
    part = part_of(state)
    shape = {name: tuple(value.shape) for name, value in ours.items()}
    if part == "encoder":
        sizes = Encoder(
            width=shape["lstm.weight_hh_l0"][1],
            layers=_count(ours, r"lstm\.weight_ih_l(\d+)$"),
            embedding=shape["linear.weight"][0],
        )
        spec = ge2e_spec().override(bins=shape["lstm.weight_ih_l0"][1])
        return Config("encoder", spec, encoder=sizes)
    if part == "wavernn":
        return _wavernn(ours, shape)
    if part == "tacotron2":
        rows, width = shape["project.weight"][0], shape["embed.weight"][1]
        if shape["postnet.convolutions.0.weight"][1] != rows:
            raise InputError(
                f"this Tacotron 2 says {rows} numbers a step for frames of "
                f"{shape['postnet.convolutions.0.weight'][1]}: take one of a frame a step "
                "(n_frames_per_step = 1, the only one that its code supports)"
            )
        tacotron = Tacotron2(
            speaker=shape["attention.memory.weight"][1] - width,
            width=width,
            kernel=shape["convolutions.0.weight"][2],
            convolutions=_count(ours, r"convolutions\.(\d+)\."),
            prenet=shape["prenet.layers.0.weight"][0],
            attention_lstm=shape["attention_lstm.weight_hh"][1],
            decoder_lstm=shape["decoder_lstm.weight_hh"][1],
            attention=shape["attention.query.weight"][0],
            filters=shape["attention.convolution.weight"][0],
            filter_kernel=shape["attention.convolution.weight"][2],
            postnet=shape["postnet.convolutions.0.weight"][0],
            postnet_kernel=shape["postnet.convolutions.0.weight"][2],
            postnet_layers=_count(ours, r"postnet\.convolutions\.(\d+)\."),
        )
        spec = tacotron2_spec().override(bins=rows)
        return Config("tacotron2", spec, "nvidia", shape["embed.weight"][0], tacotron2=tacotron)
    rows, encoder = shape["refine.weight"][0], shape["text_prenet.layers.0.weight"][0]
    hybrid = Hybrid(
        speaker=shape["attention.memory.weight"][1] - encoder,
        width=shape["embed.weight"][1],
        encoder=encoder,
        bank=_count(ours, r"cbhg\.bank\.(\d+)\."),
        highways=_count(ours, r"cbhg\.new\.(\d+)\."),
        prenet=shape["prenet.layers.0.weight"][0],
        attention=shape["attention.query.weight"][0],
        filters=shape["attention.convolution.weight"][0],
        filter_kernel=shape["attention.convolution.weight"][2],
        decoder=shape["first.weight_hh"][1],
        postnet=shape["refine.weight"][1],
        postnet_bank=_count(ours, r"postnet\.bank\.(\d+)\."),
        most_at_once=shape["project.weight"][0] // rows,
        at_once=int(state["decoder.r"]) if "decoder.r" in state else 2,
    )
    spec = rtvc_spec().override(bins=rows)
    return Config("hybrid", spec, "rtvc", shape["embed.weight"][0], hybrid=hybrid)


def _wavernn(ours: Mapping[str, Tensor], shape: Mapping[str, tuple[int, ...]]) -> Config:
    """Factors are half the smoothing kernels; a hop other than RTVC's changes the spec's."""
    width, rows, kernel = shape["upsample.resnet.conv_in.weight"]
    smooth = [name for name in shape if re.fullmatch(r"upsample\.up_layers\.\d+\.weight", name)]
    smooth.sort(key=lambda name: int(name.split(".")[2]))
    factors = tuple(shape[name][3] // 2 for name in smooth)
    hop = 1
    for factor in factors:
        hop *= factor
    classes = shape["fc3.weight"][0]
    mu_law = classes & (classes - 1) == 0
    sizes = WaveRNN(
        width=shape["rnn1.weight_hh_l0"][1],
        hidden=shape["fc1.weight"][0],
        upsampling=Upsampling(
            factors,
            width,
            _count(ours, r"upsample\.resnet\.layers\.(\d+)\."),
            kernel // 2,
            shape["upsample.resnet.conv_out.weight"][0],
        ),
        samples=Samples("mu-law", classes.bit_length() - 1)
        if mu_law
        else Samples("logistics", mixtures=classes // 3),
    )
    spec = rtvc_spec().override(bins=rows, hop_samples=hop)
    return Config("wavernn", spec, wavernn=sizes)


def _count(state: Mapping[str, Any], pattern: str) -> int:
    return 1 + max(int(found[1]) for name in state if (found := re.match(pattern, name)))
