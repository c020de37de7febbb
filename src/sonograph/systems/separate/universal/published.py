"""Official files of USS and AudioSep: their names and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sonograph.errors import InputError
from sonograph.systems.separate.universal.model import Config, Universal
from sonograph.systems.tag import panns
from sonograph.weights import load_state, part_of, rename

BLOCKS = 6  # encoder and decoder blocks of ResUNet30
NORMS = {"bn1": "norm1", "bn2": "norm2", "conv1": "conv1", "conv2": "conv2", "shortcut": "shortcut"}


def _published_names() -> tuple[tuple[str, str], ...]:
    """(official name, our name); `{}` stands for one part between dots."""
    rows = [("base.bn0.{}", "net.norm.{}"), ("base.pre_conv.{}", "net.unet.pre.{}")]
    rows += [("base.after_conv.{}", "net.unet.after.{}")]
    rows += [
        (f"base.conv_block7a.conv_block1.{old}.{{}}", f"net.unet.middle.{new}.{{}}")
        for old, new in NORMS.items()
    ]
    for n in range(BLOCKS):
        encoder, decoder = f"base.encoder_block{n + 1}", f"base.decoder_block{n + 1}"
        for old, new in NORMS.items():
            rows += [
                (f"{encoder}.conv_block1.{old}.{{}}", f"net.unet.encoders.{n}.{new}.{{}}"),
                (f"{decoder}.conv_block2.{old}.{{}}", f"net.unet.decoders.{n}.block.{new}.{{}}"),
            ]
        for old, new in {"bn1": "norm", "bn2": "idle_norm", "conv1": "up"}.items():
            rows.append((f"{decoder}.{old}.{{}}", f"net.unet.decoders.{n}.{new}.{{}}"))
    return tuple(rows)


def _shifts() -> list[str]:
    """The official names of the maps of FiLM, in our order; arrows stand inside of the names."""
    blocks = [f"encoder_block{n + 1}->conv_block1" for n in range(BLOCKS)]
    blocks.append("conv_block7a->conv_block1")
    for n in range(BLOCKS):
        blocks += [f"decoder_block{n + 1}", f"decoder_block{n + 1}->conv_block2"]
    return [f"film.{block}->beta{k}" for block in blocks for k in (1, 2)]


PUBLISHED_NAMES = _published_names()
SHIFTS = _shifts()
# matrices of the Fourier transform, which we make ourselves
UNUSED = ("base.stft.{}.weight", "base.istft.{}.weight", "base.istft.{}")
ADAPTOR = (("fc1.{}", "first.{}"), ("fc2.{}", "second.{}"))


def _parts(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(separator, query net) of an official file, without their prefixes."""
    if any(name.startswith("ss_model.") for name in state):
        return part_of(state, "ss_model."), part_of(state, "query_net.")
    return dict(state), {}


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official file of USS or AudioSep."""
    separator, _ = _parts(names)
    return {f"{SHIFTS[0]}.weight", "base.bn0.weight"} <= separator.keys()


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours; of a query net only what the file has.

    Raises InputError for names that no rule knows and for a missing map of the condition.
    """
    separator, query = _parts(state)
    ours = {}
    for part in ("weight", "bias"):
        lacks = [name for name in SHIFTS if f"{name}.{part}" not in separator]
        if lacks:
            raise InputError(f"the checkpoint lacks {lacks[0]}.{part}, a map of the condition")
        ours[f"net.film.map.{part}"] = torch.cat([separator.pop(f"{n}.{part}") for n in SHIFTS])
    ours |= rename(separator, PUBLISHED_NAMES, unused=UNUSED)
    adaptor = {name: value for name, value in query.items() if not name.startswith("base.")}
    ours |= {f"query.adaptor.{n}": v for n, v in rename(adaptor, ADAPTOR).items()}
    tagger = part_of(query, "base.")
    if tagger:
        ours |= {f"query.tagger.{n}": v for n, v in panns.from_published(tagger).items()}
    return ours


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its names and shapes.

    Without a query net inside, conditions are given, as in AudioSep.
    """
    separator, query = _parts(state)
    condition = separator[f"{SHIFTS[0]}.weight"].shape[1]
    if separator["base.pre_conv.weight"].shape[0] != Config.channels[0]:
        raise InputError(
            f"the file's first layer has {separator['base.pre_conv.weight'].shape[0]} channels, "
            f"ResUNet30 has {Config.channels[0]}: only ResUNet30 is read"
        )
    audio = separator["base.pre_conv.weight"].shape[1]
    tagger = part_of(query, "base.")
    if not tagger:
        window_s = 5.0 if condition == 512 else 2.0
        return Config(audio_channels=audio, query="given", tagger=None, condition=condition,
                      window_s=window_s)  # fmt: skip
    found = panns.config_from_published(tagger)
    adaptor = "fc1.weight" in query
    told = query["fc1.weight"].shape[1] if adaptor else condition
    kinds = {len(found.labels): "soft_tags", found.embedding: "embedding"}
    if told not in kinds:
        raise InputError(
            f"the file's separator is asked with {told} numbers, its query net tells "
            f"{len(found.labels)} tags or a vector of {found.embedding}"
        )
    kind = "soft_tags" if kinds[told] == "soft_tags" else "embedding"
    return Config(
        audio_channels=audio,
        query=kind,  # type: ignore[arg-type]
        tagger=found,
        condition=condition if adaptor else 0,
    )


def load_published(state: Mapping[str, Tensor]) -> Universal:
    """An official file as a model."""
    model = Universal(config_from_published(state))
    ours = from_published(state)
    if model.classes:  # which official files do not have
        ours["typical"] = model.typical
    load_state(model, ours, "the checkpoint")
    return model
