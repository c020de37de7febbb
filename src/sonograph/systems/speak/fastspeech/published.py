"""Published weights of FastSpeech and FastSpeech 2: three community builds, by their names.

xcmyz/FastSpeech, ming024/FastSpeech2, NATSpeech (`fs`). Each joins what ours joins (queries, keys
and values are one matrix here) and leaves out what is a fact (tables of positions).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from sonograph.audio.speech_features import natspeech_spec, tacotron2_spec
from sonograph.errors import InputError
from sonograph.losses.acoustic import Losses
from sonograph.systems.speak.fastspeech.model import Config, Stack
from sonograph.systems.speak.fastspeech.variance import Variance
from sonograph.weights import rename

Build = Literal["ming024", "xcmyz", "NATSpeech"]

# published name, our name; what stands in braces is a part between dots
_FFT = tuple(
    (f"{half}.layer_stack.{{}}.{theirs}.{{}}", f"{half}.blocks.{{}}.{ours}.{{}}")
    for half in ("encoder", "decoder")
    for theirs, ours in (
        ("slf_attn.qkv", "attention.qkv"),  # joined before
        ("slf_attn.fc", "attention.project"),
        ("slf_attn.layer_norm", "norm1"),
        ("pos_ffn.w_1", "expand"),
        ("pos_ffn.w_2", "contract"),
        ("pos_ffn.layer_norm", "norm2"),
    )
)


def _predictor(theirs: str, ours: str, linear: str) -> tuple[tuple[str, str], ...]:
    return (
        *((f"{theirs}.conv_layer.conv1d_{k}.conv.{{}}", f"{ours}.convolutions.{k - 1}.{{}}")
          for k in (1, 2)),
        *((f"{theirs}.conv_layer.layer_norm_{k}.{{}}", f"{ours}.norms.{k - 1}.{{}}")
          for k in (1, 2)),
        (f"{theirs}.{linear}.{{}}", f"{ours}.project.{{}}"),
    )  # fmt: skip


MING024_NAMES = (
    ("encoder.src_word_emb.weight", "embed.weight"),
    *_FFT,
    *_predictor("variance_adaptor.duration_predictor", "duration", "linear_layer"),
    *_predictor("variance_adaptor.pitch_predictor", "pitch.predictor", "linear_layer"),
    *_predictor("variance_adaptor.energy_predictor", "energy.predictor", "linear_layer"),
    ("variance_adaptor.pitch_bins", "pitch.bins"),
    ("variance_adaptor.energy_bins", "energy.bins"),
    ("variance_adaptor.pitch_embedding.weight", "pitch.embed.weight"),
    ("variance_adaptor.energy_embedding.weight", "energy.embed.weight"),
    ("mel_linear.{}", "project.{}"),
    ("postnet.convolutions.{}.0.conv.{}", "postnet.convolutions.{}.{}"),
    ("postnet.convolutions.{}.1.{}", "postnet.norms.{}.{}"),
    ("speaker_emb.weight", "speaker.weight"),
)
XCMYZ_NAMES = (
    ("encoder.src_word_emb.weight", "embed.weight"),
    *_FFT,
    *_predictor("length_regulator.duration_predictor", "duration", "linear_layer.linear_layer"),
    ("mel_linear.linear_layer.{}", "project.{}"),
    ("postnet.conv1d_banks.{}.conv1d.{}", "postnet.bank.{}.{}"),
    ("postnet.conv1d_banks.{}.bn.{}", "postnet.bank_norms.{}.{}"),
    ("postnet.conv1d_projections.0.conv1d.{}", "postnet.narrow.{}"),
    ("postnet.conv1d_projections.0.bn.{}", "postnet.narrow_norm.{}"),
    ("postnet.conv1d_projections.1.conv1d.{}", "postnet.back.{}"),
    ("postnet.conv1d_projections.1.bn.{}", "postnet.back_norm.{}"),
    ("postnet.highways.{}.H.{}", "postnet.new.{}.{}"),
    ("postnet.highways.{}.T.{}", "postnet.share.{}.{}"),
    ("postnet.gru.{}", "postnet.gru.{}"),
    ("last_linear.linear_layer.{}", "postnet.project.{}"),
)
_NATSPEECH_FFT = tuple(
    (f"{half}.layers.{{}}.op.{theirs}.{{}}", f"{half}.blocks.{{}}.{ours}.{{}}")
    for half in ("encoder", "decoder")
    for theirs, ours in (
        ("layer_norm1", "norm1"),
        ("self_attn.out_proj", "attention.project"),
        ("layer_norm2", "norm2"),
        ("ffn.ffn_1", "expand"),
        ("ffn.ffn_2", "contract"),
    )
)
_RELATIVE = "encoder.layers"
NATSPEECH_NAMES = (
    ("encoder.emb.weight", "embed.weight"),
    ("encoder.embed_tokens.weight", "embed.weight"),
    # relative attention
    ("encoder.pre.conv_layers.{}.{}", f"{_RELATIVE}.prenet.convs.{{}}.{{}}"),
    ("encoder.pre.norm_layers.{}.gamma", f"{_RELATIVE}.prenet.norms.{{}}.weight"),
    ("encoder.pre.norm_layers.{}.beta", f"{_RELATIVE}.prenet.norms.{{}}.bias"),
    ("encoder.pre.proj.{}", f"{_RELATIVE}.prenet.project.{{}}"),
    (
        "encoder.encoder.attn_layers.{}.emb_rel_k",
        f"{_RELATIVE}.blocks.{{}}.attention.relative_keys",
    ),
    (
        "encoder.encoder.attn_layers.{}.emb_rel_v",
        f"{_RELATIVE}.blocks.{{}}.attention.relative_values",
    ),
    *(
        (
            f"encoder.encoder.attn_layers.{{}}.conv_{t}.{{}}",
            f"{_RELATIVE}.blocks.{{}}.attention.{o}.{{}}",
        )
        for t, o in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "project"))
    ),
    ("encoder.encoder.norm_layers_1.{}.gamma", f"{_RELATIVE}.blocks.{{}}.norm1.weight"),
    ("encoder.encoder.norm_layers_1.{}.beta", f"{_RELATIVE}.blocks.{{}}.norm1.bias"),
    ("encoder.encoder.norm_layers_2.{}.gamma", f"{_RELATIVE}.blocks.{{}}.norm2.weight"),
    ("encoder.encoder.norm_layers_2.{}.beta", f"{_RELATIVE}.blocks.{{}}.norm2.bias"),
    ("encoder.encoder.ffn_layers.{}.conv_1.{}", f"{_RELATIVE}.blocks.{{}}.feedforward.expand.{{}}"),
    (
        "encoder.encoder.ffn_layers.{}.conv_2.{}",
        f"{_RELATIVE}.blocks.{{}}.feedforward.contract.{{}}",
    ),
    ("encoder.encoder.last_ln.gamma", f"{_RELATIVE}.norm.weight"),
    ("encoder.encoder.last_ln.beta", f"{_RELATIVE}.norm.bias"),
    # FFT blocks
    *_NATSPEECH_FFT,
    ("encoder.layers.{}.op.self_attn.in_proj_weight", "encoder.blocks.{}.attention.qkv.weight"),
    ("decoder.layers.{}.op.self_attn.in_proj_weight", "decoder.blocks.{}.attention.qkv.weight"),
    ("decoder.pos_embed_alpha", "decoder.alpha"),
    ("encoder.layer_norm.{}", "encoder.norm.{}"),
    ("decoder.layer_norm.{}", "decoder.norm.{}"),
    # convolutions; their blocks of two are one row here, see `_flat`
    *(
        (f"{half}.rows.{{}}.{theirs}.{{}}", f"{half}.{ours}.{{}}.{{}}")
        for half in ("encoder", "decoder")
        for theirs, ours in (("0", "norms"), ("1", "expand"), ("4", "contract"))
    ),
    *(
        (f"{half}.{theirs}.{{}}", f"{half}.{ours}.{{}}")
        for half in ("encoder", "decoder")
        for theirs, ours in (("last_norm", "norm"), ("post_net1", "last"))
    ),
    ("mel_out.{}", "project.{}"),
    ("dur_predictor.conv.{}.0.{}", "duration.convolutions.{}.{}"),
    ("dur_predictor.conv.{}.2.{}", "duration.norms.{}.{}"),
    ("dur_predictor.linear.0.{}", "duration.project.{}"),
    ("pitch_embed.weight", "pitch.embed.weight"),
    ("pitch_predictor.conv.{}.0.{}", "pitch.predictor.convolutions.{}.{}"),
    ("pitch_predictor.conv.{}.2.{}", "pitch.predictor.norms.{}.{}"),
    ("pitch_predictor.linear.{}", "pitch.predictor.project.{}"),
    ("cwt_stats_layers.{}.{}", "pitch.span.{}.{}"),
    ("spk_id_proj.weight", "speaker.weight"),
)
# tables of positions; a projection of the post-net that its sizes never use
UNUSED = (
    "encoder.position_enc",
    "decoder.position_enc",
    "encoder.position_enc.weight",
    "decoder.position_enc.weight",
    "postnet.pre_highway.weight",
    "encoder.embed_positions._float_tensor",
    "decoder.embed_positions._float_tensor",
)
NAMES = {"ming024": MING024_NAMES, "xcmyz": XCMYZ_NAMES, "NATSpeech": NATSPEECH_NAMES}
MARKS: dict[Build, str] = {
    "ming024": "variance_adaptor.duration_predictor.linear_layer.weight",
    "xcmyz": "length_regulator.duration_predictor.linear_layer.linear_layer.weight",
    "NATSpeech": "dur_predictor.linear.0.weight",
}


def _bare(names: Mapping[str, Any]) -> dict[str, Any]:
    """Without what wraps a model in its file."""
    return {re.sub(r"^(module\.|model\.)+", "", name): value for name, value in names.items()}


def build_of(names: Mapping[str, Any]) -> Build | None:
    """Whose weights these are; PortaSpeech and ProDiff share NATSpeech's durations, not its fs."""
    bare = _bare(names)
    for build, mark in MARKS.items():
        if mark in bare and ("mel_out.weight" in bare or build != "NATSpeech"):
            return build
    return None


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of one of the three builds."""
    build = build_of(names)
    if build != "NATSpeech":
        return build is not None
    bare = _bare(names)
    others = ("fvae.", "word_encoder.", "denoise_fn.", "ph_encoder.", "energy_predictor.")
    return not any(name.startswith(others) for name in bare)


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their names -> ours. Raises InputError for a file of none of the builds."""
    build, bare = _require(state), _bare(state)
    if build == "NATSpeech":
        ours = rename(_flat(bare), NATSPEECH_NAMES, UNUSED)
        tables = ("relative_keys", "relative_values")
        return {
            name: value[0] if name.rsplit(".", 1)[-1] in tables else value
            for name, value in ours.items()
        }
    return rename(_joined(bare), NAMES[build], UNUSED)


def _require(state: Mapping[str, Any]) -> Build:
    build = build_of(state)
    if build is None:
        raise InputError("these are not the weights of a published FastSpeech or FastSpeech 2")
    return build


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values of a layer as one."""
    out = {}
    for name, value in state.items():
        if ".slf_attn.w_qs." in name:
            parts = [state[name.replace("w_qs", part)] for part in ("w_qs", "w_ks", "w_vs")]
            out[name.replace("w_qs", "qkv")] = torch.cat(parts)
        elif not re.search(r"\.slf_attn\.w_[kv]s\.", name):
            out[name] = value
    return out


def _flat(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Residual convolutions of NATSpeech: (block, layer in it) -> one number."""
    pattern = re.compile(r"(encoder|decoder)\.res_blocks\.(\d+)\.blocks\.(\d+)\.(\d)\.(\w+)")
    found = [pattern.fullmatch(name) for name in state]
    inner = 1 + max((int(match[3]) for match in found if match), default=0)
    out = {}
    for (name, value), match in zip(state.items(), found):
        if match:
            row = int(match[2]) * inner + int(match[3])
            name = f"{match[1]}.rows.{row}.{match[4]}.{match[5]}"
        out[name] = value
    return out


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of a file, read from its shapes; heads are two where they do not show."""
    build, bare = _require(state), _bare(state)
    if build == "NATSpeech":
        return _natspeech(bare)
    embed = bare["encoder.src_word_emb.weight"]
    halves = []
    for half in ("encoder", "decoder"):
        first = bare[f"{half}.layer_stack.0.pos_ffn.w_1.weight"]
        second = bare[f"{half}.layer_stack.0.pos_ffn.w_2.weight"]
        halves.append(
            Stack(
                depth=_count(bare, rf"{half}\.layer_stack\.(\d+)\."),
                hidden=first.shape[0],
                kernels=(first.shape[2], second.shape[2]),
                dropout=0.2 if build == "ming024" else 0.1,
                first_position=0 if build == "ming024" else 1,
            )
        )
    config = Config(
        features=tacotron2_spec(),
        alphabet=build,
        tokens=embed.shape[0],
        width=embed.shape[1],
        encoder=halves[0],
        decoder=halves[1],
        compat="published",
    )
    if build == "xcmyz":
        predictor = bare["length_regulator.duration_predictor.conv_layer.conv1d_1.conv.weight"]
        return config.override(
            predictor_width=predictor.shape[0],
            predictor_kernel=predictor.shape[2],
            durations="relu",
            postnet="cbhg",
            losses=Losses(duration="l1"),
        )
    predictor = bare["variance_adaptor.duration_predictor.conv_layer.conv1d_1.conv.weight"]
    speakers = bare["speaker_emb.weight"].shape[0] if "speaker_emb.weight" in bare else 0
    return config.override(
        features=config.features.override(bins=bare["mel_linear.weight"].shape[0]),
        speakers=speakers,
        predictor_width=predictor.shape[0],
        predictor_kernel=predictor.shape[2],
        predictor_dropout=0.5,
        pitch=_binned(bare, "pitch"),
        energy=_binned(bare, "energy"),
        postnet="tacotron2",
        losses=Losses(mel="l1"),
    )


def _binned(state: Mapping[str, Tensor], name: str) -> Variance:
    edges = state[f"variance_adaptor.{name}_bins"].double()
    steps = edges.diff()
    low, high = float(edges[0]), float(edges[-1])
    even = bool((steps - steps.mean()).abs().max() < 1e-3 * steps.mean().abs())
    linear = even or low <= 0
    return Variance(
        "tokens", bins=len(edges) + 1, low=low, high=high, spacing="linear" if linear else "log"
    )


def _natspeech(state: Mapping[str, Tensor]) -> Config:
    tables = ("encoder.emb.weight", "encoder.embed_tokens.weight")
    found = [state[name] for name in tables if name in state]
    if not found:
        raise InputError(
            "the encoder of this NATSpeech model is of a kind that is not built here: relative "
            "attention, FFT blocks and convolutions are"
        )
    embed = found[0]
    width = embed.shape[1]
    predictor = state["dur_predictor.conv.0.0.weight"]
    pitched, waved = "pitch_embed.weight" in state, "cwt_stats_layers.0.weight" in state
    speakers = state["spk_id_proj.weight"].shape[0] if "spk_id_proj.weight" in state else 0
    return Config(
        features=natspeech_spec().override(bins=state["mel_out.weight"].shape[0]),
        alphabet="NATSpeech",
        tokens=embed.shape[0],
        speakers=speakers,
        width=width,
        embedding_scale="root of width",
        encoder=_natspeech_stack(state, "encoder", width),
        decoder=_natspeech_stack(state, "decoder", width),
        predictor_width=predictor.shape[0],
        predictor_layers=_count(state, r"dur_predictor\.conv\.(\d+)\."),
        predictor_kernel=predictor.shape[2],
        predictor_dropout=0.5,
        predictor_gradient=0.1,
        durations="softplus",
        pitch=Variance("frames" if pitched else "none"),
        pitch_code="wavelet" if waved else "mel",
        losses=dataclasses.replace(NATSPEECH_LOSSES, mel="l1") if waved else NATSPEECH_LOSSES,
        compat="published",
    )


NATSPEECH_LOSSES = Losses(
    mel="l1 and ssim", token_duration=0.1, word_duration=1.0, sentence_duration=1.0
)


def _natspeech_stack(state: Mapping[str, Tensor], half: str, width: int) -> Stack:
    if f"{half}.encoder.attn_layers.0.emb_rel_k" in state:
        expand = state[f"{half}.encoder.ffn_layers.0.conv_1.weight"]
        contract = state[f"{half}.encoder.ffn_layers.0.conv_2.weight"]
        return Stack(
            "relative",
            depth=_count(state, rf"{half}\.encoder\.attn_layers\.(\d+)\."),
            hidden=expand.shape[0],
            kernels=(expand.shape[2], contract.shape[2]),
            num_heads=width // state[f"{half}.encoder.attn_layers.0.emb_rel_k"].shape[2],
            dropout=0.0,
            prenet=f"{half}.pre.proj.weight" in state,
            pre_norm=f"{half}.encoder.last_ln.gamma" in state,
        )
    if f"{half}.res_blocks.0.blocks.0.1.weight" in state:
        expand = state[f"{half}.res_blocks.0.blocks.0.1.weight"]
        return Stack(
            "convolutions",
            depth=_count(state, rf"{half}\.res_blocks\.(\d+)\."),
            layers_in_block=_count(state, rf"{half}\.res_blocks\.0\.blocks\.(\d+)\."),
            hidden=expand.shape[0],
            kernels=(expand.shape[2], state[f"{half}.post_net1.weight"].shape[2]),
            dropout=0.0,
        )
    if f"{half}.layers.0.op.ffn.ffn_1.weight" in state:
        expand = state[f"{half}.layers.0.op.ffn.ffn_1.weight"]
        return Stack(
            "pre-norm",
            depth=_count(state, rf"{half}\.layers\.(\d+)\."),
            hidden=expand.shape[0],
            kernels=(expand.shape[2], 1),
            dropout=0.0,
        )
    raise InputError(
        f"the {half} of this NATSpeech model is of a kind that is not built here: relative "
        "attention, FFT blocks and convolutions are"
    )


def _count(state: Mapping[str, Any], pattern: str) -> int:
    found = [re.match(pattern, name) for name in state]
    return 1 + max(int(match[1]) for match in found if match)
