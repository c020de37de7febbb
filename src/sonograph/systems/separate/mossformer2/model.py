"""Configuration and model: samples in, talkers or speech out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec, Frontend, waveform_spec
from sonograph.audio.stft import Window, window_values
from sonograph.audio.table import Table
from sonograph.config import Config as Base
from sonograph.errors import InputError
from sonograph.nn.separator import Separator
from sonograph.systems.separate.mossformer2.net import MaskNet, Net

LEVEL = 10 ** (-25 / 20)  # -25 dB below full scale
TALKERS = ("one", "two", "three", "four", "five", "six", "seven", "eight")


@dataclass(frozen=True)
class Learned(Base):
    """A learned filter bank on the samples: for talkers."""

    talkers: int = 2
    filters: int = 512
    filter_samples: int = 16  # the step is half of it
    answer: Literal["mask", "direct"] = "mask"  # direct: not multiplied by the mixture's code

    def __post_init__(self) -> None:
        if self.filter_samples < 2 or self.filter_samples % 2:
            raise InputError(f"filters of {self.filter_samples} samples cannot step by half")
        if not 2 <= self.talkers <= len(TALKERS):
            raise InputError(f"{self.talkers} talkers: give 2 to {len(TALKERS)}")


@dataclass(frozen=True)
class Spectral(Base):
    """A short-time Fourier transform, and what the network hears of it: for enhancement."""

    fft_samples: int = 1920  # the window is as long
    hop_samples: int = 384
    window: Window = "hamming_symmetric"
    bands: int = 60  # Kaldi's log mel energies, with two orders of differences
    answer: Literal["magnitude", "complex"] = "magnitude"  # the paper's mask; ours turns phases too
    spare: int = 1  # masks that the weights hold beside the one in use
    objective: Literal["phase_sensitive", "waveform"] = "phase_sensitive"

    def __post_init__(self) -> None:
        if not 1 <= self.hop_samples <= self.fft_samples // 2:
            raise InputError(
                f"a hop of {self.hop_samples} samples leaves frames of {self.fft_samples} without "
                "overlap: give half of it or less"
            )

    def features(self, rate_hz: int) -> FeatureSpec:
        """Kaldi's filter bank at the hop of the transform, its FFT a power of two."""
        return FeatureSpec(
            rate_hz=rate_hz,
            window_samples=self.fft_samples,
            hop_samples=self.hop_samples,
            fft_samples=1 << (self.fft_samples - 1).bit_length(),
            window=self.window,
            bins=self.bands,
            high_hz=rate_hz / 2,
            waveform_scale=32768.0,
            clip_mean="keep",
            mean=0.0,
            deviation=1.0,
            deltas=2,
        )


@dataclass(frozen=True)
class Config(Base):
    """The defaults are the large separator of two talkers."""

    rate_hz: int = 8000
    front: Learned | Spectral = Learned()
    net: Net = Net()
    level: Literal["loud", "keep"] = "loud"  # loud: what is louder than average at -25 dB
    window_s: float = 8.0  # heard at once in a long sound
    # network: the last samples that fill no frame are lost, as in the published networks;
    # tool: every talker is also brought to the mixture's level, as the published tool does
    compat: Literal["none", "network", "tool"] = "none"

    def __post_init__(self) -> None:
        if self.rate_hz < 1 or self.window_s <= 0:
            raise InputError(f"a rate of {self.rate_hz} Hz and windows of {self.window_s} s")

    @property
    def features(self) -> FeatureSpec:
        """What clips are decoded to: samples at the rate."""
        return waveform_spec(self.rate_hz)


class FilterBank(nn.Module):
    """Encoder, mask network, decoder: (b, n) -> (b, talkers, n). The paper, figure 1.

    `encode` and `decode` are the strided convolution and its transposed one as matrix products.
    """

    def __init__(self, front: Learned, net: Net):
        super().__init__()
        self.size, self.answer = front.filter_samples, front.answer
        self.encoder = nn.Linear(front.filter_samples, front.filters, bias=False)
        self.net = MaskNet(front.filters, front.filters, front.talkers, net)
        self.decoder = nn.Linear(front.filters, front.filter_samples, bias=False)

    def padding(self, n: int) -> tuple[int, int]:
        """Zeros before and after n samples, so that all of them lie in frames."""
        step = self.size // 2
        return 0, max(0, self.size - n) or -(n - self.size) % step

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b talkers n"]:
        code = self.encode(waveform)
        return self.decode(self.answers(code))

    def encode(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b t filters"]:
        return F.relu(self.encoder(waveform.unfold(1, self.size, self.size // 2)))

    def masks(self, code: Float[Tensor, "b t filters"]) -> Float[Tensor, "b talkers t filters"]:
        return F.relu(self.net(code))

    def answers(self, code: Float[Tensor, "b t filters"]) -> Float[Tensor, "b talkers t filters"]:
        masks = self.masks(code)
        return masks if self.answer == "direct" else masks * code[:, None]

    def decode(self, code: Float[Tensor, "b talkers t filters"]) -> Float[Tensor, "b talkers n"]:
        first, second = self.decoder(code).chunk(2, dim=-1)  # halves of frames that overlap
        return (F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))).flatten(2)


class SpectralMask(nn.Module):
    """Features, mask network, masked spectrum: (b, n) -> (b, 1, n)."""

    def __init__(self, front: Spectral, net: Net, rate_hz: int):
        super().__init__()
        self.size, self.hop, self.answer = front.fft_samples, front.hop_samples, front.answer
        self.spec = front.features(rate_hz)
        self.frontend = Frontend(self.spec)
        self.window = Table(window_values(front.window, front.fft_samples))
        bins = front.fft_samples // 2 + 1
        outputs = bins if front.answer == "magnitude" else 2 * bins
        self.net = MaskNet(self.spec.rows, outputs, 1, net, front.spare)

    def padding(self, n: int) -> tuple[int, int]:
        """Zeros before and after n samples, so that all lie in as many frames as fit over one."""
        margin = self.size - self.hop
        return margin, margin + -(n + margin) % self.hop

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b 1 n"]:
        return self.masked(waveform, self.masks(waveform))[:, None]

    def masks(self, waveform: Float[Tensor, "b n"]) -> Tensor:
        """(b, t, bins), real from 0 up or complex."""
        with torch.no_grad():
            features = self.frontend(waveform).values.mT
        return self.rectified(self.net(features)[:, 0])

    def rectified(self, answer: Float[Tensor, "b t outputs"]) -> Tensor:
        if self.answer == "magnitude":
            return F.relu(answer)
        return torch.complex(*answer.float().chunk(2, dim=-1))

    def spectrum(self, waveform: Float[Tensor, "b n"]) -> Tensor:
        """(b, t, bins) complex."""
        frames = waveform.unfold(1, self.size, self.hop)
        return torch.fft.rfft(frames * self.window.values)

    def masked(self, waveform: Float[Tensor, "b n"], masks: Tensor) -> Float[Tensor, "b n"]:
        """The least-squares inverse (Griffin and Lim 1984) of the masked spectrum."""
        frames = torch.fft.irfft(self.spectrum(waveform) * masks, n=self.size)
        values = self.window.values
        total = _overlapped(frames * values, self.hop)
        weight = _overlapped(values.square().expand(1, frames.shape[1], -1), self.hop)
        return total / weight.clamp(min=1e-11)


def _overlapped(frames: Float[Tensor, "b t size"], hop: int) -> Float[Tensor, "b n"]:
    _, t, size = frames.shape
    n = size + hop * (t - 1)
    return F.fold(frames.mT, (1, n), (1, size), stride=(1, hop))[:, 0, 0]


class MossFormer2(Separator):
    """One channel of a mixture -> its talkers, in no order, or its speech.

    >>> model = build(Config(front=Learned(filters=8), net=Net(width=8, depth=1)))
    >>> model(torch.randn(1, 1, 1001)).shape
    torch.Size([1, 2, 1, 1001])
    """

    channels = 1

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.rate_hz = config.rate_hz
        self.window_samples = round(config.window_s * config.rate_hz)
        self.inside: FilterBank | SpectralMask
        if isinstance(config.front, Learned):
            self.stems = tuple(f"talker {n}" for n in TALKERS[: config.front.talkers])
            self.ordered, self.rest = False, None
            self.inside = FilterBank(config.front, config.net)
        else:
            self.stems, self.ordered, self.rest = ("speech",), True, "noise"
            self.inside = SpectralMask(config.front, config.net, config.rate_hz)

    def forward(
        self, mixture: Float[Tensor, "b channels n"]
    ) -> Float[Tensor, "b stems channels n"]:
        if mixture.ndim != 3 or mixture.shape[1] != 1 or mixture.shape[2] < 1:
            raise InputError(
                f"MossFormer2 takes mixtures of (clips, 1, samples), not {tuple(mixture.shape)}"
            )
        waveform = mixture[:, 0]
        n, scale = waveform.shape[1], self.scale(waveform)
        before, after = self.inside.padding(n)
        if self.config.compat != "none":  # only what is shorter than one frame is made longer
            before, after = 0, max(0, self.inside.size - n)
        made = self.inside(F.pad(waveform * scale, (before, after)))[..., before : before + n]
        made = F.pad(made, (0, n - made.shape[-1])) / scale[:, None]
        if self.config.compat == "tool":
            level = waveform.square().mean(1)[:, None, None].sqrt()
            made = made * (level / made.square().mean(2, keepdim=True).sqrt().clamp(min=1e-12))
        silent = (waveform == 0).all(1)[:, None, None]
        return torch.where(silent, 0, made)[:, :, None]

    def scale(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b 1"]:
        """What brings the samples louder than the clip's average to an RMS of -25 dB.

        The published tool gets there in two passes: all samples first, then those.
        """
        if self.config.level == "keep":
            return torch.ones_like(waveform[:, :1])
        power = waveform.square()
        loud = power >= power.mean(1, keepdim=True)
        loudness = ((power * loud).sum(1, keepdim=True) / loud.sum(1, keepdim=True)).sqrt()
        return torch.where(loudness > 1e-8, LEVEL / loudness.clamp(min=1e-8), 1.0)

    @property
    def level_is_open(self) -> bool:  # type: ignore[override]
        """Whether -SI-SNR teaches it, and its last map is linear."""
        front = self.config.front
        return isinstance(front, Learned) or (
            front.objective == "waveform" and front.answer == "complex"
        )

    @torch.no_grad()
    def rescale(self, gain: float) -> None:
        """By the decoder, or by the last map to a complex mask."""
        inside = self.inside
        last = inside.decoder if isinstance(inside, FilterBank) else inside.net.leave
        last.weight.mul_(gain)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "separator", "system": "mossformer2", "config": self.config.to_dict()}


def build(config: Config) -> MossFormer2:
    return MossFormer2(config)


def spectral_part(model: MossFormer2) -> SpectralMask:
    """The enhancer's inside. Raises InputError for a separator of talkers."""
    if not isinstance(model.inside, SpectralMask):
        raise InputError("this model separates talkers: it has no spectral mask")
    return cast(SpectralMask, model.inside)
