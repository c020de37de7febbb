"""Every published size, and small ones of ours."""

from __future__ import annotations

import dataclasses

from sonograph.registry import register
from sonograph.systems.separate.universal.model import Config
from sonograph.systems.tag import panns


@register("universal-test", system="universal", note="for tests: under a million parameters")
def test() -> Config:
    tagger = dataclasses.replace(panns.presets.test(), features=panns.logmel(16000))
    return Config(
        rate_hz=16000,
        fft_samples=512,
        hop_samples=160,
        channels=(4, 8, 12, 16),
        tagger=tagger,
        asks=("speech", "music"),
        window_s=1.0,
        momentum=0.1,
    )


@register("universal-mini", system="universal", note="asked with the 25 sounds of panns-mini")
def mini() -> Config:
    """16 kHz; its query net is the bundled tagger, whose weights the recipe puts in."""
    from sonograph import weights

    described = weights.read_json(weights.BUNDLED / weights.BUNDLED_TAGGER / weights.CONFIG)
    return Config(
        rate_hz=16000,
        fft_samples=1024,
        hop_samples=320,
        channels=(8, 16, 32, 64, 96),
        momentum=0.05,
        tagger=panns.Config.from_dict(described["model"]["config"]),
    )


@register(
    "universal-resunet30",
    system="universal",
    parameters=26_595_781 + 80_753_615,
    note="ResUNet30 asked with the soft tags of CNN14",
)
def resunet30() -> Config:
    return Config()


@register(
    "universal-resunet30-embedding",
    system="universal",
    parameters=41_586_757 + 80_753_615,
    note="asked with the embedding of CNN14",
)
def resunet30_embedding() -> Config:
    return Config(query="embedding")


@register(
    "universal-resunet30-adaptive",
    system="universal",
    parameters=26_595_781 + 80_753_615 + 5_276_175,
    note="asked with the embedding of CNN14 through two layers that learn",
)
def resunet30_adaptive() -> Config:
    return Config(query="embedding", condition=527)


@register(
    "universal-audiosep",
    system="universal",
    parameters=26_447_941,
    note="AudioSep's ResUNet30: conditions of 512 are given, from CLAP",
)
def audiosep() -> Config:
    return Config(query="given", tagger=None, condition=512, window_s=5.0)
