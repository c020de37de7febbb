"""MossFormer2: talkers pulled apart, or speech out of noise."""

from __future__ import annotations

from sonograph.registry import register
from sonograph.systems.separate.mossformer2.model import (
    Config,
    Learned,
    MossFormer2,
    Spectral,
    build,
)
from sonograph.systems.separate.mossformer2.net import MaskNet, Net
from sonograph.systems.separate.mossformer2.objective import Pretraining
from sonograph.systems.separate.mossformer2.published import (
    READS_NOTES,
    from_published,
    is_published,
    load_published,
)

__all__ = [
    "READS_NOTES", "Config", "Learned", "MaskNet", "MossFormer2", "Net", "Pretraining",
    "Spectral", "build", "from_published", "is_published", "load_published",
]  # fmt: skip


# --- presets -------------------------------------------------------------------------------------


@register("mossformer2-test", system="mossformer2", note="for tests: under a million parameters")
def test() -> Config:
    net = Net(width=32, depth=2, recurrent_width=32, query_width=32, group_frames=64)
    return Config(front=Learned(filters=32), net=net, window_s=4.0)


@register("mossformer2-enhancer-test", system="mossformer2", note="for tests: the enhancer")
def enhancer_test() -> Config:
    net = Net(width=32, depth=2, recurrence="plain", recurrent_width=32, query_width=32)
    front = Spectral(fft_samples=512, hop_samples=256, bands=20, spare=0, objective="waveform")
    return Config(rate_hz=16000, front=front, net=net)


@register("mossformer2-talkers", system="mossformer2", note="two talkers, for two cores")
def talkers() -> Config:
    net = Net(width=96, depth=5, recurrent_width=64, query_width=64, group_frames=128, dropout=0.0)
    return Config(front=Learned(filters=192, filter_samples=32), net=net)


@register("mossformer2-enhancer", system="mossformer2", note="16 kHz, for two cores")
def enhancer() -> Config:
    net = Net(
        width=128,
        depth=5,
        recurrence="plain",
        recurrent_width=96,
        query_width=64,
        group_frames=128,
        dropout=0.0,
    )
    front = Spectral(
        fft_samples=512,
        hop_samples=160,
        window="hann",
        answer="complex",
        spare=0,
        objective="waveform",
    )
    return Config(rate_hz=16000, front=front, net=net)


@register("mossformer2-l", system="mossformer2", parameters=55_735_410, note="two talkers, 8 kHz")
def large() -> Config:
    return Config()


@register("mossformer2-s", system="mossformer2", parameters=37_755_382, note="two talkers, 8 kHz")
def small() -> Config:
    return Config(front=Learned(filters=384), net=Net(width=384, depth=25))


@register("mossformer2-3-talkers", system="mossformer2", parameters=55_998_066, note="8 kHz")
def three() -> Config:
    return Config(front=Learned(talkers=3))


@register("mossformer2-ss-16k", system="mossformer2", parameters=55_735_410, note="16 kHz")
def ss_16k() -> Config:
    return Config(rate_hz=16000)


@register(
    "mossformer2-whamr", system="mossformer2", parameters=55_735_410, note="in noise and rooms"
)
def whamr() -> Config:
    return Config(front=Learned(answer="direct"))


@register("mossformer2-se-48k", system="mossformer2", parameters=55_262_170, note="enhancer")
def se_48k() -> Config:
    return Config(rate_hz=48000, front=Spectral(), net=Net(recurrence="plain"))
