"""Official checkpoints: `{"cfg": ..., "model": weights, "label_dict": ...}` of microsoft/unilm."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.systems.represent.beats.model import BEATs, Config, Tagger
from sonograph.systems.represent.beats.tokenizer import Tokenizer
from sonograph.weights import part_of, rename

TABLE = "encoder.layers.{}.self_attn.relative_attention_bias.weight"
_LAYER, _BLOCK = "encoder.layers.{}", "encoder.transformer.blocks.{}"
# published name, our name; what stands in braces is a number
PUBLISHED_NAMES = (
    ("patch_embedding.{}", "encoder.patches.{}"),
    ("layer_norm.{}", "encoder.patch_norm.{}"),
    ("post_extract_proj.{}", "encoder.project.{}"),
    ("encoder.pos_conv.0.weight_g", "encoder.positions.gain"),
    ("encoder.pos_conv.0.weight_v", "encoder.positions.direction"),
    ("encoder.pos_conv.0.parametrizations.weight.original0", "encoder.positions.gain"),
    ("encoder.pos_conv.0.parametrizations.weight.original1", "encoder.positions.direction"),
    ("encoder.pos_conv.0.bias", "encoder.positions.bias"),
    ("encoder.layer_norm.{}", "encoder.norm.{}"),
    (TABLE.format(0), "encoder.transformer.relative.weight"),
    (f"{_LAYER}.self_attn.q_proj.{{}}", f"{_BLOCK}.attention.query.{{}}"),
    (f"{_LAYER}.self_attn.k_proj.{{}}", f"{_BLOCK}.attention.key.{{}}"),
    (f"{_LAYER}.self_attn.v_proj.{{}}", f"{_BLOCK}.attention.value.{{}}"),
    (f"{_LAYER}.self_attn.out_proj.{{}}", f"{_BLOCK}.attention.project.{{}}"),
    (f"{_LAYER}.self_attn.grep_linear.{{}}", f"{_BLOCK}.attention.gate.{{}}"),
    (f"{_LAYER}.self_attn.grep_a", f"{_BLOCK}.attention.gate_scale"),
    (f"{_LAYER}.self_attn_layer_norm.{{}}", f"{_BLOCK}.norm1.{{}}"),
    (f"{_LAYER}.fc1.{{}}", f"{_BLOCK}.feedforward.expand.{{}}"),
    (f"{_LAYER}.fc2.{{}}", f"{_BLOCK}.feedforward.contract.{{}}"),
    (f"{_LAYER}.final_layer_norm.{{}}", f"{_BLOCK}.norm2.{{}}"),
    ("predictor.{}", "head.{}"),
    ("quantize_layer.{}.{}", "quantise.{}.{}"),
    ("quantize.embedding.weight", "codebook.codes"),
    ("quantize.embedding.initted", "codebook.started"),
    ("quantize.cluster_size", "codebook.usage"),
)
UNUSED = (
    TABLE,  # the shared one is written once for each layer
    # sums that the official quantiser keeps and does not read
    "quantize.embedding.cluster_size",
    "quantize.embedding.embed_avg",
)
READS_NOTES = True  # `load_published` is given what else the file holds


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official BEATs file."""
    needed = {"patch_embedding.weight", "layer_norm.weight"}
    return {*needed, "encoder.layers.0.self_attn.grep_a"} <= bare(names).keys()


def bare(state: Mapping[str, Any]) -> dict[str, Any]:
    """Names without what wrappers put before them."""
    return {name.removeprefix("module."): value for name, value in state.items()}


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours: `encoder.*`, and `head.*` or `quantise.*` and `codebook.*`."""
    return rename(bare(state), PUBLISHED_NAMES, unused=UNUSED)


def config_from_published(
    state: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None
) -> Config:
    """The configuration of an official file, from its shapes, and its `cfg` where one is given.

    Shapes say nothing of the arrangement of norms and of `max_distance`; without `cfg` they are
    what every published file has. Raises InputError for a `cfg` that we have no model for.
    """
    names = bare(state)
    cfg = dict((notes or {}).get("cfg") or {})
    for name, value in (("relative_position_embedding", True), ("gru_rel_pos", True)):
        if cfg.get(name, value) != value:
            raise InputError(f"a BEATs file with {name}={cfg[name]}: only {value} is known")
    if cfg.get("activation_fn", "gelu") != "gelu":
        raise InputError(f"a BEATs file with {cfg['activation_fn']!r} layers: only gelu is known")
    if "post_extract_proj.weight" not in names:
        raise InputError(
            "a BEATs file whose patches are as wide as its layers, without a map between them "
            "(embed_dim equal to encoder_embed_dim): files with post_extract_proj are known"
        )
    layers = [name.split(".")[2] for name in names if name.startswith("encoder.layers.")]
    positions = next(
        names[name]
        for name in (
            "encoder.pos_conv.0.weight_v",
            "encoder.pos_conv.0.parametrizations.weight.original1",
        )
        if name in names
    )
    width, per_group, kernel = positions.shape
    patch = names["patch_embedding.weight"].shape
    num_buckets, num_heads = names[TABLE.format(0)].shape
    deep, pre = cfg.get("deep_norm", True), cfg.get("layer_norm_first", False)
    config = Config(
        width=width,
        depth=1 + max(map(int, layers)),
        num_heads=num_heads,
        hidden=names["encoder.layers.0.fc1.weight"].shape[0],
        patch=(patch[3], patch[2]),
        patch_width=patch[0],
        patch_bias="learned" if "patch_embedding.bias" in names else "none",
        position_kernel=kernel,
        position_groups=width // per_group,
        num_buckets=num_buckets,
        max_distance=int(cfg.get("max_distance", 800)),
        arrangement="pre" if pre else "deep" if deep else "post",  # pre-norm has no alpha
        dropout=float(cfg.get("dropout", 0.0)),
    )
    if "predictor.weight" in names:
        labels = labels_from(notes, len(names["predictor.weight"]))
        return dataclasses.replace(config, form="tagger", labels=labels)
    if "quantize.embedding.weight" in names:
        codes, code_width = names["quantize.embedding.weight"].shape
        return dataclasses.replace(config, form="tokenizer", codes=codes, code_width=code_width)
    return config


def labels_from(notes: Mapping[str, Any] | None, count: int) -> tuple[str, ...]:
    """The labels of a fine-tuned file in order of their number: identifiers of AudioSet."""
    told = {int(key): str(value) for key, value in ((notes or {}).get("label_dict") or {}).items()}
    return tuple(told.get(number, f"class {number}") for number in range(count))


def load_published(
    state: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None
) -> nn.Module:
    """An official file as a model: a Tagger, a Tokenizer, or the encoder alone."""
    names, config = bare(state), config_from_published(state, notes)
    for layer in range(1, config.depth):
        table = names.get(TABLE.format(layer))
        if table is not None and not torch.equal(table, names[TABLE.format(0)]):
            raise InputError(
                f"the relative positions of layer {layer} differ from those of layer 0: this is "
                "no BEATs file, whose layers share them"
            )
    ours = from_published(state)
    if config.form == "encoder":
        encoder = BEATs(config)
        encoder.load_state_dict(part_of(ours, "encoder."))
        return encoder
    if config.form == "tagger":
        tagger = Tagger(config)
        tagger.load_state_dict(ours)
        return tagger
    tokenizer = Tokenizer(config)
    tokenizer.load_state_dict(
        {re.sub(r"^encoder\.", "backbone.", name): value for name, value in ours.items()}
    )
    return tokenizer
