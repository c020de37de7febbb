"""Official files of PANNs: their names and ours, and which network a file holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from sonograph.errors import InputError
from sonograph.systems.tag.panns.labels import LABELS
from sonograph.systems.tag.panns.model import Config, PANNs, logmel
from sonograph.systems.tag.panns.presets import (
    dainet19,
    leenet11,
    leenet24,
    mobilenetv1,
    mobilenetv2,
    on_waveform,
    res1dnet31,
    resnet22,
)
from sonograph.weights import rename


def _published_names() -> tuple[tuple[str, str], ...]:
    """(official name, our name); `{}` stands for one part between dots."""
    rows = [
        ("bn0.{}", "encoder.norm.{}"),
        ("conv0.weight", "encoder.stem.weight"),
        ("fc1.{}", "encoder.embedding.{}"),
        ("fc_audioset.{}", "head.{}"),
        ("att_block.att.{}", "head.attend.{}"),
        ("att_block.cla.{}", "head.classify.{}"),
        ("att_block.bn_att.{}", "head.idle_norm.{}"),
        ("pre_conv0.weight", "encoder.wavegram.conv.weight"),
        ("pre_bn0.{}", "encoder.wavegram.norm.{}"),
        ("pre_block4.{}.{}", "encoder.wavegram.last.{}.{}"),
        ("conv_block_after1.{}.{}", "encoder.blocks.last.{}.{}"),
    ]
    rows += [(f"pre_block{n + 1}.{{}}.{{}}", f"encoder.wavegram.blocks.{n}.{{}}.{{}}")
             for n in range(3)]  # fmt: skip
    for n in range(1, 10):
        ours = f"encoder.blocks.{n}"
        rows += [
            (f"conv_block{n}.downsample.weight", f"{ours}.shortcut.weight"),
            (f"conv_block{n}.bn_downsample.{{}}", f"{ours}.shortcut_norm.{{}}"),
            (f"conv_block{n}.{{}}.{{}}", f"{ours}.{{}}.{{}}"),
        ]
    for n in range(1, 8):  # the first stage has no pooling in its shortcut
        unit, ours = f"resnet.layer{n}.{{}}", f"encoder.blocks.stage{n}.units.{{}}"
        conv, norm = (0, 1) if n == 1 else (1, 2)
        rows += [
            (f"{unit}.downsample.{conv}.{{}}", f"{ours}.shortcut.conv.{{}}"),
            (f"{unit}.downsample.{norm}.{{}}", f"{ours}.shortcut.norm.{{}}"),
            (f"{unit}.{{}}.{{}}", f"{ours}.{{}}.{{}}"),
        ]
    first = ("depthwise", "", "depthwise_norm", "", "project", "project_norm")
    rows += [(f"features.1.conv.{k}.{{}}", f"encoder.blocks.layer1.{name}.{{}}")
             for k, name in enumerate(first) if name]  # fmt: skip
    places = {"expand": 0, "expand_norm": 1, "depthwise": 3, "depthwise_norm": 5}
    places |= {"project": 7, "project_norm": 8}
    rows += [(f"features.{{}}.conv.{k}.{{}}", f"encoder.blocks.layer{{}}.{name}.{{}}")
             for name, k in places.items()]  # fmt: skip
    rows += [("features.18.1.{}", "encoder.blocks.layer18.bn1.{}")]
    for k, name in {0: "conv1", 2: "bn1", 4: "conv2", 5: "bn2"}.items():
        rows.append((f"features.{{}}.{k}.{{}}", f"encoder.blocks.layer{{}}.{name}.{{}}"))
    return tuple(rows)


PUBLISHED_NAMES = _published_names()
# the front-end, which we make ourselves
UNUSED = ("spectrogram_extractor.stft.conv_real.weight", "logmel_extractor.melW",
          "spectrogram_extractor.stft.conv_imag.weight")  # fmt: skip
STFT, MEL = UNUSED[:2]


def _bare(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("module."): value for name, value in state.items()}


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official file, whichever network it holds."""
    bare = _bare(names)
    heads = {"fc_audioset.weight", "att_block.att.weight"}
    starts = ("conv_block1.", "features.", "resnet.")
    return (
        "fc1.weight" in bare
        and bool(heads & bare.keys())
        and any(name.startswith(starts) for name in bare)
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours, of the tagger."""
    return rename(_bare(state), PUBLISHED_NAMES, unused=UNUSED)


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its names and shapes.

    The sample rate is told by the window of its front-end; without one it is 32 kHz. Files of
    decision-level Max and Avg look like CNN14 and are taken for it: see `load_published`.
    """
    bare = _bare(state)
    head = "att_block.att" if "att_block.att.weight" in bare else "fc_audioset"
    labels = len(bare[f"{head}.bias"])
    config = dataclasses.replace(
        _network(bare),
        embedding=len(bare["fc1.bias"]),
        labels=LABELS if labels == len(LABELS) else tuple(f"class {n}" for n in range(labels)),
        decision="attention" if head == "att_block.att" else "clip",
    )
    if config.features.kind == "waveform":
        return config
    rate_hz = 32000 * bare[STFT].shape[-1] // 1024 if STFT in bare else 32000
    return dataclasses.replace(config, features=logmel(rate_hz, len(bare["bn0.bias"])))


def _network(bare: Mapping[str, Tensor]) -> Config:
    """Family and sizes of the network of an official file."""
    if "features.1.conv.0.weight" in bare:
        return mobilenetv2()
    if "features.1.0.weight" in bare:
        return mobilenetv1()
    units = [
        len({name.split(".")[2] for name in bare if name.startswith(f"resnet.layer{n}.")})
        for n in range(1, 8)
    ]
    if "conv0.weight" in bare:
        return dataclasses.replace(res1dnet31(), layers=tuple(units)) if units[0] else dainet19()
    if units[0]:
        unit: Literal["basic", "bottleneck"] = (
            "bottleneck" if "resnet.layer1.0.conv3.weight" in bare else "basic"
        )
        return dataclasses.replace(resnet22(), layers=tuple(units[:4]), unit=unit)
    if "conv_block9.conv1.weight" in bare:
        return leenet24() if "conv_block9.conv2.weight" in bare else leenet11()
    blocks = [n for n in range(1, 7) if f"conv_block{n}.conv1.weight" in bare]
    weight = [bare[f"conv_block{n}.conv1.weight"] for n in blocks]
    channels = tuple(len(one) for one in weight)
    pools = (2, 2, 2, 2, 2, 1) if len(blocks) == 6 else (2,) * len(blocks)
    config = Config(channels=channels, pools=pools, kernel=weight[0].shape[-1])
    if "pre_conv0.weight" not in bare:
        return config
    waves = [bare["pre_conv0.weight"], *(bare[f"pre_block{n}.conv1.weight"] for n in (1, 2, 3))]
    both = weight[1].shape[1] == 2 * channels[0]
    return dataclasses.replace(
        on_waveform(config),
        front="both" if both else "wavegram",
        wave_channels=tuple(len(one) for one in waves),
        wave_bins=len(bare["bn0.bias"]) // 2,
    )


ALIKE = ("max", "mean")  # decisions that leave no trace in a file


def load_published(state: Mapping[str, Tensor], name: str | None = None) -> PANNs:
    """An official file as a model: the variant that it looks like, or the preset of this name.

    Raises InputError where the file holds another network than the preset, and names it.
    """
    found = config_from_published(state)
    if name is not None:
        from sonograph.registry import preset

        asked = preset(name).make()
        if not isinstance(asked, Config):
            raise InputError(f"{name} is no preset of PANNs")
        if STFT not in _bare(state) and asked.features.kind == found.features.kind:
            found = dataclasses.replace(found, features=asked.features)
        if found.decision == "clip" and asked.decision in ALIKE:
            found = dataclasses.replace(found, decision=asked.decision)
        if dataclasses.replace(asked, labels=found.labels, frames=found.frames) != found:
            raise InputError(
                f"the file looks like {look_of(found)}, not {name}: load it as what it is"
            )
    model = PANNs(found)
    ours = from_published(state)
    own = model.state_dict()
    missing = sorted(own.keys() - ours.keys())
    wrong = [n for n in own.keys() & ours.keys() if own[n].shape != ours[n].shape]
    if missing or wrong:
        raise InputError(
            f"the file looks like {look_of(found)}, but {(missing or wrong)[0]} is "
            f"{'missing' if missing else 'of another shape'}"
        )
    model.load_state_dict({name: ours[name] for name in own})
    return model


def look_of(config: Config) -> str:
    """The name of the preset that has this network, or what network it is."""
    from sonograph.registry import presets

    for preset in presets("panns-*"):
        made: Any = preset.make()
        if dataclasses.replace(made, labels=config.labels, frames=config.frames) == config:
            return preset.name
    return f"a {config.family} with channels {config.channels} and front {config.front!r}"
