"""Every published size of PANNs, and small ones of ours."""

from __future__ import annotations

import dataclasses
from typing import Any

from sonograph.audio.feature_spec import waveform_spec
from sonograph.registry import register
from sonograph.systems.tag.panns.model import Config, Family, logmel


@register("panns-test", system="panns", note="for tests: under a million parameters")
def test() -> Config:
    return Config(
        channels=(8, 16, 32),
        pools=(2, 2, 2),
        embedding=48,
        labels=("speech", "music", "noise"),
        frames=101,
    )


@register("panns-demo", system="panns", note="the claim's: CNN10, a quarter as wide, one second")
def demo() -> Config:
    return _slim(4, frames=101)


@register("panns-mini", system="panns", note="CNN10, half as wide, at 16 kHz, five seconds")
def mini() -> Config:
    return _slim(2, frames=501)


def _slim(share: int, frames: int) -> Config:
    full = cnn10()
    return dataclasses.replace(
        full,
        channels=tuple(width // share for width in full.channels),
        embedding=full.embedding // share,
        features=logmel(16000),
        frames=frames,
    )


@register("panns-cnn6", system="panns", parameters=4_837_455)
def cnn6() -> Config:
    return dataclasses.replace(cnn10(), kernel=5)


@register("panns-cnn10", system="panns", parameters=5_219_279)
def cnn10() -> Config:
    return Config(channels=(64, 128, 256, 512), pools=(2, 2, 2, 2), embedding=512)


@register("panns-cnn14", system="panns", parameters=80_753_615)
def cnn14() -> Config:
    return Config()


def _variant(name: str, parameters: int, base: Any, changes: dict[str, Any], note: str) -> None:
    """A preset that differs from another in a field or two."""
    make = lambda: dataclasses.replace(base(), **changes)  # noqa: E731
    register(f"panns-{name}", system="panns", parameters=parameters, note=note)(make)


_variant("cnn14-16k", 80_753_615, cnn14, {"features": logmel(16000)}, "sound at 16 kHz")
_variant("cnn14-8k", 80_753_615, cnn14, {"features": logmel(8000)}, "sound at 8 kHz")
_variant("cnn14-mel32", 80_753_551, cnn14, {"features": logmel(bins=32)}, "32 mel bands")
_variant("cnn14-mel128", 80_753_743, cnn14, {"features": logmel(bins=128)}, "128 mel bands")
_variant("cnn14-emb512", 76_796_879, cnn14, {"embedding": 512}, "vectors of 512")
_variant("cnn14-emb128", 75_807_695, cnn14, {"embedding": 128}, "vectors of 128")
_variant("cnn14-emb32", 75_560_399, cnn14, {"embedding": 32}, "vectors of 32")
_variant("cnn14-decision-max", 80_753_615, cnn14, {"decision": "max"}, "the clip is its best step")
_variant("cnn14-decision-avg", 80_753_615, cnn14, {"decision": "mean"}, "the mean of its steps")
_variant("cnn14-decision-att", 81_834_492, cnn14, {"decision": "attention"}, "steps attended to")


@register("panns-resnet22", system="panns", parameters=63_675_087)
def resnet22() -> Config:
    return Config(
        family="resnet",
        channels=(64, 64, 128, 256, 512, 2048),
        pools=(2, 1, 2, 2, 2, 1),
        layers=(2, 2, 2, 2),
    )


_variant("resnet38", 73_783_247, resnet22, {"layers": (3, 4, 6, 3)}, "")
_variant(
    "resnet54", 104_318_159, resnet22, {"layers": (3, 4, 6, 3), "unit": "bottleneck"}, "bottlenecks"
)


@register("panns-mobilenetv1", system="panns", parameters=4_796_303)
def mobilenetv1() -> Config:
    return Config(
        family="mobilenetv1",
        channels=(32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024),
        pools=(2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
        embedding=1024,
    )


@register("panns-mobilenetv2", system="panns", parameters=4_075_343)
def mobilenetv2() -> Config:
    return Config(
        family="mobilenetv2",
        channels=(32, 16, *(24,) * 2, *(32,) * 3, *(64,) * 4, *(96,) * 3, *(160,) * 3, 320, 1280),
        pools=(2, 1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 2, *(1,) * 7),
        embedding=1024,
    )


def on_waveform(config: Config) -> Config:
    """The same on the waveform: ten seconds at 32 kHz."""
    return dataclasses.replace(config, front="both", features=waveform_spec(32000), frames=320_000)


@register("panns-wavegram-logmel-cnn14", system="panns", parameters=81_065_487)
def wavegram_logmel_cnn14() -> Config:
    return on_waveform(cnn14())


_variant(
    "wavegram-cnn14", 80_991_759, wavegram_logmel_cnn14, {"front": "wavegram"}, "waveform alone"
)
_variant(
    "wavegram-logmel128-cnn14",
    81_262_735,
    wavegram_logmel_cnn14,
    {"wave_bins": 64, "wave_channels": (64, 64, 128, 256)},
    "128 bands in both branches",
)


def _raw(family: Family, channels: tuple[int, ...], pools: tuple[int, ...], embedding: int,
         layers: tuple[int, ...] = ()) -> Config:  # fmt: skip
    """A one-dimensional network on the waveform."""
    return Config(
        family=family,
        channels=channels,
        pools=pools,
        layers=layers,
        embedding=embedding,
        features=waveform_spec(32000),
        frames=320_000,
    )


@register("panns-leenet11", system="panns", parameters=748_367)
def leenet11() -> Config:
    channels = (64, 64, 64, *(128,) * 5, 256)
    return _raw("leenet", channels, (1, *(3,) * 8), 512, (1,) * 9)


@register("panns-leenet24", system="panns", parameters=10_003_791)
def leenet24() -> Config:
    channels = (64, 96, 128, 128, 256, 256, 512, 512, 1024)
    return _raw("leenet", channels, (1, *(3,) * 7, 1), 1024, (2,) * 9)


@register("panns-dainet19", system="panns", parameters=4_385_807)
def dainet19() -> Config:
    return _raw("dainet", (64, 128, 256, 512), (4, 4, 4, 1), 512)


@register("panns-res1dnet31", system="panns", parameters=80_464_463)
def res1dnet31() -> Config:
    channels = (64, 128, 256, 512, 1024, 1024, 2048)
    return _raw("res1dnet", channels, (1, *(4,) * 6), 2048, (2,) * 7)


_variant("res1dnet51", 106_538_063, res1dnet31, {"layers": (2, 3, 4, 6, 4, 3, 2)}, "")
