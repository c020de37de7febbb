"""iSTFTNet: a mel vocoder whose last upsampling stages are an inverse short-time Fourier transform.

For whoever wants speech out of a mel spectrogram on a small processor. Kaneko, Tanaka, Kameoka and
Seki, "iSTFTNet: Fast and Lightweight Mel-Spectrogram Vocoder Incorporating Inverse Short-Time
Fourier Transform", ICASSP 2022. Its baseline is its own trunk: HiFi-GAN (Kong, Kim and Bae, NeurIPS
2020), whose V1, V2 and V3 are presets of this file; `fft_samples` is what makes the difference.

    mel -> conv -> [leaky ReLU, transposed conv, mean of residual blocks] x stages
        -> leaky ReLU, conv, tanh                            HiFi-GAN    (fft_samples = 0)
        -> leaky ReLU, conv -> exp | sin -> inverse STFT     iSTFTNet

A name lists the upsampling that is kept: C8C8I upsamples 8 and 8 times and leaves the last 4 to an
inverse STFT of 16 points. Shape legend: b clips, t frames, c channels, k bins, n samples.

Published (LJSpeech, one CPU core, opinion of 20 listeners): V1 MOS 4.22 at 1.34 times real time;
V1-C8C8I 4.26 at 2.33; V1-C8I 3.32 at 7.57.

Ours, where the paper is silent: the phase is sin(.) in radians as in the public re-implementation,
so that it spans [-1, 1] only; `phase_scale` widens it. C8C1I's second convolution has 3 taps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.audio.speech_features import hifigan_spec, voice_spec
from sonograph.audio.stft import InverseStft
from sonograph.config import Config as Base
from sonograph.errors import InputError
from sonograph.losses.adversarial import discriminator_loss, feature_loss, generator_loss
from sonograph.losses.spectral import MelDistance, MultiResolutionStft
from sonograph.nn.discriminators import Critics, Discriminators
from sonograph.nn.hifigan import SLOPE, PairedBlock, SingleBlock
from sonograph.nn.quick_convs import QuickConv, QuickTransposed
from sonograph.nn.vocoder import Vocoder
from sonograph.nn.weight_norm import old_names, weight_norm
from sonograph.registry import About, register

BLOCKS = {"paired": PairedBlock, "single": SingleBlock}
QUARTERS = ((512, 128, 512), (1024, 256, 1024), (2048, 512, 2048))  # FFT, hop, window samples
THRICE = ((1, 3, 5), (1, 3, 5), (1, 3, 5))


@dataclass(frozen=True)
class Config(Base):
    """Sizes of a generator; the defaults are HiFi-GAN V1's."""

    features: FeatureSpec = hifigan_spec()
    channels: int = 512  # after the first convolution; halved at every stage
    rates: tuple[int, ...] = (8, 8, 2, 2)
    kernels: tuple[int, ...] = (16, 16, 4, 4)  # of the transposed convolutions
    block: Literal["paired", "single"] = "paired"
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[tuple[int, ...], ...] = THRICE
    fft_samples: int = 0  # of the inverse STFT; 0: the last stage gives samples
    phase_scale: float = 1.0
    critics: Critics = Critics()

    def __post_init__(self) -> None:
        hop = self.features.hop_samples
        if hop % math.prod(self.rates) or (not self.fft_samples and hop != math.prod(self.rates)):
            raise InputError(f"rates {self.rates} do not fit a hop of {hop} samples")
        if len(self.rates) != len(self.kernels):
            raise InputError(f"{len(self.rates)} rates need as many kernels")
        if self.channels % 2 ** len(self.rates):
            raise InputError(f"{self.channels} channels cannot be halved {len(self.rates)} times")

    @property
    def hop_samples(self) -> int:
        """Of the inverse STFT: what the upsampling stages leave to it."""
        return self.features.hop_samples // math.prod(self.rates)


class Generator(Vocoder):
    """HiFi-GAN's generator, with iSTFTNet's head where the configuration has an FFT.

    Weights are named as published. features: (b, bands, t) -> waveform (b, t hop).
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.spec = config, config.features
        widths = [config.channels // 2**i for i in range(len(config.rates) + 1)]
        self.conv_pre = weight_norm(QuickConv(self.spec.rows, widths[0], 7))
        self.ups = nn.ModuleList(
            _begun(QuickTransposed(c, d, k, u, (k - u) // 2))
            for c, d, u, k in zip(widths, widths[1:], config.rates, config.kernels)
        )
        self.resblocks = nn.ModuleList(
            BLOCKS[config.block](width, kernel, dilations)
            for width in widths[1:]
            for kernel, dilations in zip(config.block_kernels, config.dilations)
        )
        made = config.fft_samples + 2 if config.fft_samples else 1
        self.conv_post = _begun(QuickConv(widths[-1], made, 7))
        if config.fft_samples:
            self.inverse = InverseStft(config.fft_samples, config.hop_samples, config.fft_samples)

    def forward(
        self, features: Float[Tensor, "b rows t"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b n"]:
        x = self.trunk(features)
        if not self.config.fft_samples:
            return torch.tanh(self.conv_post(F.leaky_relu(x)))[:, 0]
        magnitude, phase = self.polar(x)
        return self.inverse(magnitude * phase.cos(), magnitude * phase.sin())

    def trunk(self, features: Float[Tensor, "b rows t"]) -> Float[Tensor, "b c m"]:
        """What the head sees: m = t times the rates' product."""
        each = len(self.config.block_kernels)
        x = self.conv_pre(features)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            blocks = self.resblocks[each * stage : each * (stage + 1)]
            total = blocks[0](x)
            for block in blocks[1:]:
                total += block(x)
            x = total / each
        return x

    def polar(self, x: Float[Tensor, "b c m"]) -> tuple[Tensor, Tensor]:
        """Magnitude and phase (radians) of the inverse STFT's m + 1 frames, each (b, k, m + 1).

        One frame is mirrored at the left, so that m frames of hops come out of m + 1 centred ones.
        """
        x = self.conv_post(F.pad(F.leaky_relu(x), (1, 0), mode="reflect"))
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # phases are not told in half
        magnitude, phase = x.split(self.config.fft_samples // 2 + 1, dim=1)
        return magnitude.exp(), self.config.phase_scale * torch.sin(phase)

    @property
    def context_frames(self) -> int:  # type: ignore[override]
        """Reach of the convolutions and of the inverse STFT, in frames."""
        config, rate, reach = self.config, 1, 3.0
        for u, k in zip(config.rates, config.kernels):
            reach += math.ceil(k / u / 2) / rate + 1 / rate
            rate *= u
            widest = max(
                sum((k - 1) // 2 * (d + (1 if config.block == "paired" else 0)) for d in dilations)
                for k, dilations in zip(config.block_kernels, config.dilations)
            )
            reach += widest / rate
        reach += (4 + config.fft_samples / config.hop_samples) / rate
        return math.ceil(reach)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "vocoder", "system": "istftnet", "config": self.config.to_dict()}


def build(config: Config) -> Generator:
    return Generator(config)


def _begun(conv: nn.Conv1d | nn.ConvTranspose1d) -> nn.Module:
    nn.init.normal_(conv.weight, 0.0, 0.01)
    return weight_norm(conv)


# --- training ------------------------------------------------------------------------------------


class Pretraining(nn.Module):
    """A vocoder and its discriminators: what learns a mapping from features back to sound.

    waveform: (b, n) crops, n a multiple of the hop. Works on any vocoder of the house.
    """

    TURNS = ("discriminators.", "vocoder.")

    def __init__(self, vocoder: Vocoder, critics: Critics | None = None):
        super().__init__()
        self.vocoder = vocoder
        critics = critics or getattr(vocoder, "config", Config()).critics
        self.discriminators = Discriminators(critics)
        self.spec = vocoder.spec
        self.frontend = Frontend(self.spec)
        self.mel = MelDistance.full_band(self.spec)
        self.stft = MultiResolutionStft(QUARTERS)

    def turns(
        self, waveform: Float[Tensor, "b n"], generator: torch.Generator | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """First the discriminators' loss, then the vocoder's (HiFi-GAN, equations 1 to 7)."""
        with torch.no_grad():
            features = self.frontend(waveform).values
        made = self.vocoder(features, generator)
        real, fake = self.discriminators(waveform), self.discriminators(made.detach())
        yield {"loss": discriminator_loss(real.scores, fake.scores)}
        with torch.no_grad():
            real = self.discriminators(waveform)
        fake = self.discriminators(made)
        adversarial, mel = generator_loss(fake.scores), self.mel(made, waveform)
        matching = feature_loss(real.maps, fake.maps)
        loss = adversarial + 2 * matching + 45 * mel
        yield {"loss": loss, "adversarial": adversarial, "features": matching, "mel": mel}

    def regression(
        self, waveform: Float[Tensor, "b n"], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Distances of spectra alone, without discriminators: a cheap beginning, and what held-out
        sound is measured by.
        """
        with torch.no_grad():
            features = self.frontend(waveform).values
        made = self.vocoder(features, generator)
        mel, stft = self.mel(made, waveform), self.stft(made, waveform)
        return {"loss": mel + stft, "mel": mel, "stft": stft}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {
            "kind": "pretraining",
            "system": "istftnet",
            "encoder": self.vocoder.describe(),
        }


# --- published weights ---------------------------------------------------------------------------


def is_published(state: Mapping[str, Tensor]) -> bool:
    """A generator of jik876/hifi-gan, of its re-implementations, or of iSTFTNet's."""
    cut = {name.removeprefix("module.").removeprefix("generator.") for name in state}
    parts = ("conv_pre.", "resblocks.0.convs", "conv_post.")
    return all(any(name.startswith(part) for name in cut) for part in parts) and any(
        name.startswith(("ups.0.", "upsampler.0.")) for name in cut
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their names are ours, but for newer names of weight norm and what lies before the names.

    Files without weight norm, and those of the Hugging Face class (`upsampler`, with a mean and a
    scale of the features), are read too. Raises InputError where that mean is not 0 or the scale
    not 1: such a generator takes other features.
    """
    ours: dict[str, Tensor] = {}
    for name, value in old_names(state).items():
        name = name.removeprefix("module.").removeprefix("generator.")
        name = name.replace("upsampler.", "ups.")
        if name in ("mean", "scale"):
            if not bool((value == (1 if name == "scale" else 0)).all()):
                raise InputError(f"this generator normalises its features first ({name} is set)")
        elif name.endswith(".weight") and value.ndim == 3:
            ours[name + "_g"] = torch.linalg.vector_norm(value, dim=(1, 2), keepdim=True)
            ours[name + "_v"] = value
        else:
            ours[name] = value
    return ours


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The sizes that a generator's weights tell.

    Rates are half the kernels, as in all published files; the hop is their product, times the
    quarter of an FFT; the features are else HiFi-GAN's at 22.05 kHz (an n-band file: n bands),
    which no weight can tell.
    """
    ours = from_published(state)
    stages = sum(n.startswith("ups.") and n.endswith("weight_v") for n in ours)
    kernels = tuple(ours[f"ups.{i}.weight_v"].shape[2] for i in range(stages))
    paired = any("convs1" in name for name in ours)
    first = "convs1" if paired else "convs"
    blocks = sum(n.endswith(f".{first}.0.weight_v") for n in ours) // stages
    depth = sum(n.startswith(f"resblocks.0.{first}.") and n.endswith("weight_v") for n in ours)
    out = ours["conv_post.weight_v"].shape[0]
    rates = tuple(max(1, k // 2) for k in kernels)
    spec = hifigan_spec(bins=ours["conv_pre.weight_v"].shape[1])
    spec = spec.override(hop_samples=math.prod(rates) * (1 if out == 1 else (out - 2) // 4))
    single = ((1, 2), (2, 6), (3, 12))
    return Config(
        features=spec,
        channels=ours["conv_pre.weight_v"].shape[0],
        rates=rates,
        kernels=kernels,
        block="paired" if paired else "single",
        block_kernels=tuple(
            ours[f"resblocks.{i}.{first}.0.weight_v"].shape[2] for i in range(blocks)
        ),
        dilations=tuple((1, 3, 5)[:depth] for _ in range(blocks)) if paired else single[:blocks],
        fft_samples=0 if out == 1 else out - 2,
    )


def load_published(state: Mapping[str, Tensor]) -> Generator:
    """The generator of a published file."""
    model = build(config_from_published(state))
    model.load_state_dict(from_published(state))
    return model


# --- presets -------------------------------------------------------------------------------------

V3 = Config(
    channels=256,
    rates=(8, 8, 4),
    kernels=(16, 16, 8),
    block="single",
    block_kernels=(3, 5, 7),
    dilations=((1, 2), (2, 6), (3, 12)),
)


def inverse(base: Config, rates: tuple[int, ...], kernels: tuple[int, ...]) -> Config:
    """The base with the stages that are kept; 4 hops an FFT."""
    hop = base.features.hop_samples // math.prod(rates)
    return base.override(rates=rates, kernels=kernels, fft_samples=4 * hop)


@register("hifigan-v1", system="istftnet", parameters=13_936_130)
def hifigan_v1() -> Config:
    return Config()


@register("hifigan-v2", system="istftnet", parameters=928_514)
def hifigan_v2() -> Config:
    return Config(channels=128)


@register("hifigan-v3", system="istftnet", parameters=1_464_322)
def hifigan_v3() -> Config:
    return V3


@register("istftnet-v1-c8c8c2i", system="istftnet", parameters=13_801_940)
def v1_c8c8c2i() -> Config:
    return inverse(hifigan_v1(), (8, 8, 2), (16, 16, 4))


@register("istftnet-v1-c8c8i", system="istftnet", parameters=13_262_244, note="the paper's choice")
def v1_c8c8i() -> Config:
    return inverse(hifigan_v1(), (8, 8), (16, 16))


@register("istftnet-v1-c8i", system="istftnet", parameters=10_885_636)
def v1_c8i() -> Config:
    return inverse(hifigan_v1(), (8,), (16,))


@register("istftnet-v1-c8c1i", system="istftnet", note="two residual stages, one upsamples")
def v1_c8c1i() -> Config:
    return inverse(hifigan_v1(), (8, 1), (16, 3))


@register("istftnet-v2-c8c8c2i", system="istftnet")
def v2_c8c8c2i() -> Config:
    return inverse(hifigan_v2(), (8, 8, 2), (16, 16, 4))


@register("istftnet-v2-c8c8i", system="istftnet", parameters=888_708)
def v2_c8c8i() -> Config:
    return inverse(hifigan_v2(), (8, 8), (16, 16))


@register("istftnet-v2-c8i", system="istftnet")
def v2_c8i() -> Config:
    return inverse(hifigan_v2(), (8,), (16,))


@register("istftnet-v3-c8c8i", system="istftnet")
def v3_c8c8i() -> Config:
    return inverse(V3, (8, 8), (16, 16))


@register("istftnet-v3-c8i", system="istftnet")
def v3_c8i() -> Config:
    return inverse(V3, (8,), (16,))


SMALL_CRITICS = Critics(
    periods=(2, 3, 5, 7, 11),
    scales=0,
    resolutions=((512, 128, 512), (1024, 256, 1024)),
    width=0.125,
)


@register("istftnet-voice", system="istftnet", note="16 kHz, small critics: for two cores")
def voice() -> Config:
    small = Config(features=voice_spec(), channels=64, critics=SMALL_CRITICS)
    return inverse(small, (8, 8), (16, 16))


@register("istftnet-test", system="istftnet")
def test() -> Config:
    tiny = Config(
        features=voice_spec(),
        channels=16,
        block_kernels=(3, 5),
        dilations=((1, 3), (1, 3)),
        critics=Critics(periods=(2, 3), scales=2, resolutions=((256, 64, 256),), width=0.03),
    )
    return inverse(tiny, (8, 8), (16, 16))


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A mel vocoder whose last stages are an inverse STFT; HiFi-GAN is its baseline.",
    use=(
        "Speech out of the mels of any acoustic model here, on a processor: one pass, no loop.",
        "HiFi-GAN weights that are published: their generators load by themselves.",
        "Training on a small corpus: the generator is small and the discriminators can be.",
    ),
    avoid=(
        "Music or many voices at full band: the published sizes were tuned on one reader.",
        "More than the first two upsampling stages replaced (C8I): audibly worse, as published.",
    ),
    paper="T. Kaneko, K. Tanaka, H. Kameoka, S. Seki, ICASSP 2022; trunk: J. Kong, J. Kim, J. Bae, "
    "NeurIPS 2020",
    figures=(
        "HiFi-GAN V1: MOS 4.22, 1.34 times real time on a CPU, 143.6 on a GPU, 13.94 M",
        "V1-C8C8I: MOS 4.26, 2.33 times real time on a CPU, 245.7 on a GPU, 13.26 M",
        "V1-C8I: MOS 3.32, 7.57 times real time; V3-C8C8I: 3.41 where V3 has 3.78",
    ),
    code_licence="MIT (HiFi-GAN); Apache-2.0 (iSTFTNet re-implemented; none by its authors)",
    weights_licence="MIT (HiFi-GAN); no weights of iSTFTNet are published",
    deviations=(
        "The phase is sin(.) in radians, in [-1, 1], as in the public re-implementation; the paper "
        "does not say. `phase_scale` widens it.",
        "C8C1I's second transposed convolution has 3 taps: the paper gives none.",
        "Samples beyond full scale are cut where sound is written: exp(.) has no bound.",
        "Training may begin with distances of spectra alone (`recipes/vocode/training.py`), which "
        "is not in the paper; the plan says so.",
        "AdamW and betas (0.8, 0.99) as in HiFi-GAN's code; the paper says Adam and (0.5, 0.9).",
    ),
    faults=(
        "Official code multiplies the output by 32768 without a guard: loud passages wrap around.",
        "The re-implementation offers C8C8I only, and 80 bands are written into its trunk.",
    ),
    verbs=("vocode", "train"),
    golden=("HiFi-GAN generator", "HiFi-GAN MPD", "HiFi-GAN MSD", "iSTFTNet generator"),
    checks=("tests/parity/test_hifigan_transformers.py",),
)
