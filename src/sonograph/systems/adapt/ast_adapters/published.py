"""Names of the Hugging Face AST, the backbone of PETL_AST, and of what PETL_AST adds to it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.systems.represent import ssast
from sonograph.weights import rename

# published name, our name; what stands in braces is a number or a word
LAYER, BLOCK = "encoder.layer.{}", "blocks.{}"
BACKBONE = (
    ("embeddings.position_embeddings", "positions"),
    ("embeddings.patch_embeddings.projection.{}", "patches.project.{}"),
    (f"{LAYER}.attention.attention.qkv.{{}}", f"{BLOCK}.attention.qkv.{{}}"),
    (f"{LAYER}.attention.output.dense.{{}}", f"{BLOCK}.attention.project.{{}}"),
    (f"{LAYER}.intermediate.dense.{{}}", f"{BLOCK}.feedforward.expand.{{}}"),
    (f"{LAYER}.output.dense.{{}}", f"{BLOCK}.feedforward.contract.{{}}"),
    (f"{LAYER}.layernorm_before.{{}}", f"{BLOCK}.norm1.{{}}"),
    (f"{LAYER}.layernorm_after.{{}}", f"{BLOCK}.norm2.{{}}"),
    ("layernorm.{}", "norm.{}"),
)
# inside an adapter: the bottleneck's, the conformer's, the convpass's
ADAPTER = (
    ("linear_downsample.{}", "down.{}"),
    ("linear_upsample.{}", "up.{}"),
    ("lnorm.{}", "norm.{}"),
    ("pwise_conv1.{}", "down.{}"),
    ("dwise_conv.{}", "depthwise.{}"),
    ("bnorm.{}", "batch_norm.{}"),
    ("pwise_conv2.{}", "up.{}"),
    ("adapter_down.{}", "down.{}"),
    ("adapter_conv.{}", "convolve.{}"),
    ("adapter_up.{}", "up.{}"),
)
# inside a mixture of them
MIXTURE = (
    ("slot_params", "slots"),
    ("scale", "scale"),
    ("ff.{}", "router.{}"),
    *((f"moa.{{}}.{theirs}", f"adapters.{{}}.{ours}") for theirs, ours in ADAPTER),
)
# modules that PETL_AST adds to a layer, and where they say they stand
ADDED = re.compile("(adapter|moa|router)(?:_module)?_?(ffn|mhsa)?", re.IGNORECASE)
PLACES = {"FFN": "feedforward", "MHSA": "attention"}
PREFIXES = ("module.", "audio_spectrogram_transformer.", "model.")
HEADS = {
    "classifier.layernorm.weight": "norm.weight",
    "classifier.layernorm.bias": "norm.bias",
    "classifier.dense.weight": "project.weight",
    "classifier.dense.bias": "project.bias",
    "classification_head.weight": "project.weight",
    "classification_head.bias": "project.bias",
}


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of a Hugging Face AST, adapted or not."""
    bare = {_bare(name) for name in names}
    query = "encoder.layer.0.attention.attention.query.weight"
    return {query, "embeddings.distillation_token"} <= bare


# the names of transformers 5, and what the published files have
RENAMED = (
    ("layers.", "encoder.layer."),
    (".attention.q_proj.", ".attention.attention.query."),
    (".attention.k_proj.", ".attention.attention.key."),
    (".attention.v_proj.", ".attention.attention.value."),
    (".attention.o_proj.", ".attention.output.dense."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
)


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    if name.startswith("layers."):
        for new, old in RENAMED:
            name = name.replace(new, old, 1)
    return name


@dataclasses.dataclass(frozen=True)
class Published:
    """A file in its parts, under our names: the encoder's weights, the head's, the adaptation's."""

    encoder: dict[str, Tensor]
    head: dict[str, Tensor]
    delta: dict[str, Tensor]


def from_published(state: Mapping[str, Tensor], location: str = "FFN") -> Published:
    """Published names -> ours; queries, keys and values are joined.

    location: "FFN" or "MHSA", where adapters stand whose names do not say so (those of the ablation
    and of mixtures). The names of an adaptation are those in a model that `adapt` prepared with the
    same method.
    """
    bare = {_bare(name): value for name, value in state.items()}
    head = {HEADS[name]: bare.pop(name) for name in list(bare) if name in HEADS}
    delta: dict[str, Tensor] = {}
    for name in list(bare):
        if (found := _of_adaptation(name, location)) is not None:
            value = bare.pop(name)
            delta[found] = value.squeeze(0) if ".prefix." in found else value
    if deep := [name for name in bare if name.endswith("prompt_embeddings")]:
        deep.sort(key=lambda name: name.startswith("deep"))
        sets = [bare.pop(name).flatten(0, -3) for name in deep]
        delta["prompts.tokens"] = torch.cat(sets)
    for n in range(_depth(bare)):
        root = f"encoder.layer.{n}.attention.attention"
        for part in ("weight", "bias"):
            parts = [bare.pop(f"{root}.{name}.{part}") for name in ("query", "key", "value")]
            bare[f"{root}.qkv.{part}"] = torch.cat(parts)
    special = [bare.pop(f"embeddings.{name}_token") for name in ("cls", "distillation")]
    encoder = {"special": torch.cat(special, dim=1), **rename(bare, BACKBONE)}
    return Published(encoder, head, delta)


def _of_adaptation(name: str, location: str) -> str | None:
    """Our name of a weight that an adaptation added; None for others."""
    if not name.startswith("encoder.layer."):
        return None
    number, _, rest = name.removeprefix("encoder.layer.").partition(".")
    block = f"blocks.{number}"
    module, _, inner = rest.partition(".")
    if found := ADDED.fullmatch(module):
        place = PLACES[(found[2] or location).upper()]
        (ours,) = rename({inner: torch.empty(0)}, ADAPTER if found[1] == "adapter" else MIXTURE)
        return f"{block}.{place}.adapter.{ours}"
    last = rest.removeprefix("attention.").split(".", 1)[-1]
    if last in ("key_tokens", "value_tokens"):
        return f"{block}.attention.prefix.{last.removesuffix('_tokens')}s"
    if last.startswith("lora_"):
        _, way, letter = last.removesuffix(".weight").lower().split("_")
        part = {"q": "query", "k": "key", "v": "value"}.get(letter)
        if part is None:
            return f"{block}.attention.project.additions.lora.{way}"
        return f"{block}.attention.qkv.additions.lora_{part}.{way}"
    return None


def _depth(bare: Mapping[str, Any]) -> int:
    found = [int(n.split(".")[2]) for n in bare if n.startswith("encoder.layer.")]
    if not found:
        raise InputError("the checkpoint has no layers")
    return 1 + max(found)


def config_from_published(
    state: Mapping[str, Tensor], stride: tuple[int, int] = (10, 10), bins: int = 128
) -> ssast.Config:
    """The encoder's configuration, read from shapes, but for what the published ones have alike.

    stride: of patches, in bins and frames. The front-end is the feature extractor's: no mean is
    taken off the waveform.
    """
    bare = {_bare(name): value for name, value in state.items()}
    width, _, rows, columns = bare["embeddings.patch_embeddings.projection.weight"].shape
    places = bare["embeddings.position_embeddings"].shape[1] - 2
    high = (bins - rows) // stride[0] + 1
    if places % high:
        raise InputError(
            f"{places} positions are no grid of {high} rows: another stride than {stride[0]}"
        )
    longest = places // high * stride[1] + columns - 1
    return ssast.Config(
        width=width,
        depth=_depth(bare),
        num_heads=max(1, width // 64),
        patch=(rows, columns),
        stride=stride,
        frames=1024 if longest == 1025 else longest,
        features=dataclasses.replace(FeatureSpec(), clip_mean="keep", bins=bins),
    )


def load_published(state: Mapping[str, Tensor]) -> nn.Module:
    """A Hugging Face AST file: a Classifier if it has a head, else the encoder."""
    found = from_published(state)
    if found.delta:
        raise InputError(
            "the file holds an adaptation of PETL_AST, whose layout does not say how it was made: "
            "`from_published` gives its parts"
        )
    encoder = ssast.SSAST(config_from_published(state))
    encoder.load_state_dict(found.encoder)
    if not found.head:
        return encoder
    labels = [f"class {n}" for n in range(len(found.head["project.bias"]))]
    model = Classifier(encoder, labels, "special", norm_eps=1e-12)
    model.head.load_state_dict(found.head)
    return model
