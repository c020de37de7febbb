"""The exact recipe of a model's input, and the module that follows it.

`FeatureSpec` travels with every acoustic model: two parts that meet must have equal ones.
`Frontend` turns waveforms of any lengths into features; a padded sample never touches a valid
frame.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from sonograph.audio.cqt import ConstantQ
from sonograph.audio.deltas import with_deltas
from sonograph.audio.mel import MelNorm, MelScale, mel_bank
from sonograph.audio.mfcc import Cosines
from sonograph.audio.spectrum import BandFrames, Ends, pad_ends
from sonograph.audio.stft import Window, window_values
from sonograph.config import Config
from sonograph.errors import InputError


@dataclass(frozen=True)
class FeatureSpec(Config):
    """How a waveform becomes what a model sees. The defaults are SSAST's and AST's Kaldi fbank.

    Steps, in this order: level, scale, clip mean, ends, frames, frame mean, pre-emphasis, window,
    FFT, |X|^power, bands, log, top_db, DCT (mfcc), deltas, normalise. The samples themselves are
    features too: `waveform_spec`.
    """

    kind: Literal["kaldi_fbank", "log_mel", "mfcc", "cqt", "waveform"] = "kaldi_fbank"
    rate_hz: int = 16000
    window_samples: int = 400
    hop_samples: int = 160
    fft_samples: int = 512
    window: Window = "hann_symmetric"
    bins: int = 128  # mel bands, or bins of the CQT
    low_hz: float = 20.0
    high_hz: float = 8000.0  # the CQT goes up from low_hz instead
    mel_scale: MelScale = "kaldi"
    mel_norm: MelNorm = "none"
    power: float = 2.0
    power_offset: float = 0.0  # added to |X|^2 before the root that `power` takes of it
    log: Literal["ln", "log10", "db", "none"] = "ln"
    log_floor: float = 1.1920929e-07  # values below are raised to it before the logarithm
    log_offset: float = 0.0  # added before the logarithm; the floor is then taken for nothing
    top_db: float | None = None  # how far below the clip's loudest value others may lie; log = db
    center: Literal["none", "reflect", "constant", "hops"] = (
        "none"  # frames centred on t hop, ends so padded; hops: mirrored by (FFT - hop) / 2 only,
        # as vocoders want it: n samples are n / hop frames, centred on (t + 1/2) hop
    )
    preemphasis: float = 0.97
    remove_dc: Literal["none", "frame"] = "frame"
    level: Literal["keep", "rms", "deviation"] = "keep"  # of each clip, brought to `level_to`
    level_to: float = 1.0
    waveform_scale: float = 1.0
    clip_mean: Literal["keep", "subtract"] = "subtract"
    normalise: Literal["fixed", "clip", "bands"] = (
        "fixed"  # by mean and deviation below, or by those of the clip, or of each of its bands
    )
    normalise_eps: float = 1e-10  # clip, bands: added to the (unbiased) deviation
    mean: float = -4.2677393
    deviation: float = 9.1379948  # SSAST divides by twice the standard deviation
    coefficients: int = 20  # mfcc: how many are kept
    deltas: int = 0  # orders of differences over time, as more rows below
    bins_per_octave: int = 12  # cqt

    def __post_init__(self) -> None:
        def need(fine: bool, message: str) -> None:
            if not fine:
                raise InputError(f"FeatureSpec: {message}")

        for name in ("rate_hz", "window_samples", "hop_samples", "bins", "bins_per_octave"):
            value = getattr(self, name)
            need(value >= 1, f"{name} is {value}: give 1 or more")
        need(
            self.window_samples <= self.fft_samples,
            f"window_samples {self.window_samples} is more than fft_samples {self.fft_samples}",
        )
        need(
            self.deltas >= 0 and (self.deltas == 0 or self.kind != "waveform"),
            f"deltas is {self.deltas}: give 0 or more, and 0 to a waveform",
        )
        need(self.power > 0, f"power is {self.power}: give more than 0")
        need(self.power_offset >= 0, f"power_offset is {self.power_offset}: give 0 or more")
        need(
            self.center != "hops" or self.hop_samples <= self.fft_samples,
            "center 'hops' needs a hop that is not longer than the FFT",
        )
        need(self.deviation > 0, f"deviation is {self.deviation}: give more than 0")
        need(
            self.log == "none" or self.log_floor > 0 or self.log_offset > 0,
            "log_floor or log_offset must be more than 0",
        )
        need(
            self.normalise == "fixed" or (self.mean, self.deviation) == (0, 1),
            f"normalise {self.normalise!r} takes mean and deviation from the clip: give 0 and 1",
        )
        need(self.top_db is None or self.log == "db", "top_db needs log 'db'")
        if self.kind == "waveform":
            samples = (self.window_samples, self.hop_samples, self.fft_samples, self.bins)
            need(samples == (1, 1, 1, 1), "of a waveform window, hop, FFT and bins are 1")
            need(self.center == "none", "a waveform's frames are its samples: center 'none'")
            need(self.log == "none" and self.top_db is None, "a waveform has no logarithm")
        elif self.kind == "cqt":
            top = self.low_hz * 2 ** ((self.bins - 1) / self.bins_per_octave)
            need(self.low_hz > 0 and top < self.rate_hz / 2, f"the CQT reaches {top:.6g} Hz")
            need(
                self.center in ("constant", "reflect"),
                "the CQT's frames are centred: center 'constant' or 'reflect'",
            )
        else:
            need(
                0 <= self.low_hz < self.high_hz <= self.rate_hz / 2,
                f"bands from {self.low_hz} to {self.high_hz} Hz do not fit {self.rate_hz} Hz",
            )
        need(
            self.kind != "kaldi_fbank" or self.center == "none",
            "Kaldi's frames are not centred: center 'none', or kind 'log_mel'",
        )
        need(
            self.kind != "mfcc" or 1 <= self.coefficients <= self.bins,
            f"{self.coefficients} coefficients of {self.bins} bins",
        )

    @property
    def rows(self) -> int:
        """Height of the features: bands, or coefficients of an MFCC, and their deltas."""
        return (self.coefficients if self.kind == "mfcc" else self.bins) * (1 + self.deltas)

    @property
    def frame_samples(self) -> int:
        """How many samples a frame asks for: Kaldi counts the window, others the FFT.

        The bins of a CQT each have their own length, which its frames do not ask for.
        """
        if self.kind == "cqt":
            return 0
        return self.window_samples if self.kind == "kaldi_fbank" else self.fft_samples

    @property
    def margin_samples(self) -> int:
        """How many samples are put before a clip, and as many after it."""
        if self.center == "hops":
            return (self.frame_samples - self.hop_samples) // 2
        return 0 if self.center == "none" else self.frame_samples // 2

    @property
    def frame_rate_hz(self) -> float:
        return self.rate_hz / self.hop_samples

    def frames(self, samples: int) -> int:
        """Number of frames of a clip.

        >>> FeatureSpec().frames(160000), FeatureSpec().frames(399)
        (998, 0)
        """
        if samples <= 0:
            return 0
        samples += 2 * self.margin_samples
        return max(0, 1 + (samples - self.frame_samples) // self.hop_samples)

    def samples(self, frames: int) -> int:
        """The shortest clip that has so many frames.

        >>> FeatureSpec().samples(998)
        159920
        """
        if frames <= 0:
            return 0
        need = self.frame_samples - 2 * self.margin_samples + (frames - 1) * self.hop_samples
        return max(1, need)

    def require_equal(self, other: FeatureSpec, here: str, there: str) -> None:
        """Raise InputError naming the fields in which `here`'s recipe (this) and `there`'s
        (other) differ.
        """
        differing = [
            f"{field.name} {getattr(self, field.name)!r} / {getattr(other, field.name)!r}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        ]
        if differing:
            raise InputError(f"{here} and {there} need different features: {', '.join(differing)}")


def log_mel_spec(
    rate_hz: int,
    fft_samples: int,
    hop_samples: int,
    bins: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    mel_scale: MelScale = "slaney",
    mel_norm: MelNorm = "slaney",
    log: Literal["ln", "log10", "db", "none"] = "db",
    log_floor: float = 1e-10,
    top_db: float | None = None,
) -> FeatureSpec:
    """The usual log-mel, by default librosa's: centred Hann frames, power, Slaney bands, decibels.

    Nothing else is done to the waveform or the values; `override` changes the rest.
    """
    return FeatureSpec(
        kind="log_mel",
        rate_hz=rate_hz,
        window_samples=fft_samples,
        hop_samples=hop_samples,
        fft_samples=fft_samples,
        window="hann",
        bins=bins,
        low_hz=low_hz,
        high_hz=rate_hz / 2 if high_hz is None else high_hz,
        mel_scale=mel_scale,
        mel_norm=mel_norm,
        log=log,
        log_floor=log_floor,
        top_db=top_db,
        center="reflect",
        preemphasis=0.0,
        remove_dc="none",
        clip_mean="keep",
        mean=0.0,
        deviation=1.0,
    )


def waveform_spec(rate_hz: int) -> FeatureSpec:
    """The samples as they are: one row, one frame a sample. `override` sets level and mean."""
    plain = log_mel_spec(rate_hz, 1, 1, 1, log="none")
    return plain.override(kind="waveform", center="none", mel_norm="none")


def cqt_spec(
    rate_hz: int, hop_samples: int, low_hz: float, bins: int, bins_per_octave: int = 12
) -> FeatureSpec:
    """The magnitude of a constant-Q transform (Hann, ends zero-padded), no logarithm."""
    plain = log_mel_spec(rate_hz, 512, hop_samples, bins, log="none")
    return plain.override(
        kind="cqt", low_hz=low_hz, bins_per_octave=bins_per_octave, power=1.0, center="constant"
    )


class Features(NamedTuple):
    """values: (b, rows, frames) float32; lengths: (b,) how many frames of each clip are valid."""

    values: Float[Tensor, "b rows frames"]
    lengths: Int64[Tensor, "b"]


class Frontend(nn.Module):
    """Waveforms to features by a `FeatureSpec`; no parameters, nothing in the state dict, always
    float32 or better.

    waveform: (b, n) at spec.rate_hz, lengths: (b,) samples or None for all n. Frames beyond a
    clip's length hold what a raw value of 0 becomes, (0 - mean) / deviation.

    >>> Frontend(FeatureSpec())(torch.randn(2, 16000), torch.tensor([16000, 8000])).lengths
    tensor([98, 48])
    """

    def __init__(self, spec: FeatureSpec):
        super().__init__()
        self.spec = spec
        self.energies: BandFrames | ConstantQ | None = None
        if spec.kind == "cqt":
            self.energies = ConstantQ(
                spec.rate_hz,
                spec.hop_samples,
                spec.low_hz,
                spec.bins,
                spec.bins_per_octave,
                spec.waveform_scale,
                spec.window,
                spec.power,
            )
        elif spec.kind != "waveform":
            self.energies = BandFrames(
                spec.waveform_scale * window_values(spec.window, spec.window_samples),
                mel_bank(
                    spec.bins,
                    spec.fft_samples,
                    spec.rate_hz,
                    spec.low_hz,
                    spec.high_hz,
                    spec.mel_scale,
                    spec.mel_norm,
                ),
                hop_samples=spec.hop_samples,
                fft_samples=spec.fft_samples,
                first_sample=(spec.frame_samples - spec.window_samples) // 2,
                power=spec.power,
                preemphasis=spec.preemphasis,
                remove_dc=spec.remove_dc,
                power_offset=spec.power_offset,
            )
        self.cosines = Cosines(spec.bins, spec.coefficients) if spec.kind == "mfcc" else None

    def forward(
        self, waveform: Float[Tensor, "b n"], lengths: Int64[Tensor, "b"] | None = None
    ) -> Features:
        if waveform.ndim != 2:
            raise InputError(f"a front-end takes (clips, samples), not {tuple(waveform.shape)}")
        if waveform.dtype != torch.float64:
            waveform = waveform.float()
        with torch.autocast(waveform.device.type, enabled=False):
            return self._features(waveform, lengths)

    def _features(self, waveform: Tensor, lengths: Tensor | None) -> Features:
        spec = self.spec
        n = waveform.shape[1]
        if spec.level != "keep" and n > 0:
            waveform = _levelled(waveform, lengths, spec.level, spec.level_to)
        # what frames lose with their own mean need not be taken from the clip
        if spec.clip_mean == "subtract" and spec.remove_dc == "none" and n > 0:
            waveform = waveform - _clip_mean(waveform, lengths)
        if self.energies is None:
            return self._finished(waveform[:, None] * spec.waveform_scale, lengths, n)
        width = spec.margin_samples
        ends: Ends = "reflect" if spec.center == "hops" else spec.center
        energies: Callable[[Tensor, int, Callable[[Tensor], Tensor]], Tensor] = self.energies
        if isinstance(self.energies, ConstantQ):
            waveform = pad_ends(waveform, lengths, self.energies.reach, ends)
        elif lengths is not None or n <= width:
            waveform = pad_ends(waveform, lengths, width, ends)
        else:  # ends that all clips share need no padded copy
            energies = functools.partial(self.energies, width=width, ends=ends)
        frames = spec.frames(n)
        whole = spec.top_db is not None or self.cosines is not None or spec.deltas
        if not whole and spec.normalise == "fixed":
            values = energies(waveform, frames, lambda block: self._normal(*self._log(block)))
            return self._padded(values, lengths, frames)
        values = energies(waveform, frames, lambda block: torch.mul(*self._log(block)))
        return self._finished(values, lengths, frames)

    def _finished(self, values: Tensor, lengths: Tensor | None, frames: int) -> Features:
        """What needs the whole clip: top_db, DCT, deltas, normalisation."""
        spec = self.spec
        inside = self._inside(lengths, frames, values.device)
        if spec.top_db is not None and frames > 0:
            heard = values if inside is None else torch.where(inside, values, -torch.inf)
            values = torch.maximum(values, heard.amax((1, 2), keepdim=True) - spec.top_db)
        if self.cosines is not None:
            values = self.cosines(values)
        if spec.deltas:
            counts = None if lengths is None else self.frame_lengths(lengths)
            values = with_deltas(values, counts, spec.deltas)
        if spec.normalise == "fixed":
            values = self._normal(values, 1.0)
        elif frames > 0:
            axes = (2,) if spec.normalise == "bands" else (1, 2)
            values = _standardised(values, inside, axes, spec.normalise_eps)
        return self._padded(values, lengths, frames)

    def _padded(self, values: Tensor, lengths: Tensor | None, frames: int) -> Features:
        """With the counts of frames; beyond them lies what a raw value of 0 becomes."""
        inside = self._inside(lengths, frames, values.device)
        if lengths is None or inside is None:
            return Features(values, torch.full((len(values),), frames, device=values.device))
        values = torch.where(inside, values, -self.spec.mean / self.spec.deviation)
        return Features(values, self.frame_lengths(lengths))

    def _inside(
        self, lengths: Tensor | None, frames: int, device: torch.device
    ) -> Bool[Tensor, "b 1 frames"] | None:
        if lengths is None:
            return None
        return (torch.arange(frames, device=device) < self.frame_lengths(lengths)[:, None])[:, None]

    def frame_lengths(self, lengths: Int64[Tensor, "b"]) -> Int64[Tensor, "b"]:
        """`spec.frames` of a tensor of lengths."""
        spec = self.spec
        last = lengths + 2 * spec.margin_samples - spec.frame_samples
        counts = 1 + torch.div(last, spec.hop_samples, rounding_mode="floor")
        return torch.where(lengths > 0, counts.clamp(min=0), 0)

    def _log(self, energies: Tensor) -> tuple[Tensor, float]:
        """The raw values as natural logarithms, and what these must be multiplied by."""
        spec = self.spec
        if spec.log == "none":
            return energies, 1.0
        unit = {"ln": 1.0, "log10": 1 / math.log(10), "db": 20 / (spec.power * math.log(10))}
        if spec.log_offset:
            return (energies + spec.log_offset).log(), unit[spec.log]
        return energies.clamp(min=spec.log_floor).log(), unit[spec.log]

    def _normal(self, values: Tensor, unit: float) -> Tensor:
        """(unit values - mean) / deviation, in one pass."""
        offset = torch.full((), -self.spec.mean / self.spec.deviation, device=values.device)
        return torch.add(offset.to(values.dtype), values, alpha=unit / self.spec.deviation)


def _levelled(
    waveform: Float[Tensor, "b n"],
    lengths: Int64[Tensor, "b"] | None,
    level: Literal["rms", "deviation"],
    to: float,
) -> Float[Tensor, "b n"]:
    """Each clip with its own samples at an RMS, or at a standard deviation (unbiased), of `to`.

    Silence stays silence: levels below 1e-6 count as that.
    """
    n = waveform.shape[1]
    if lengths is None:
        lengths = torch.full((len(waveform),), n, device=waveform.device)
    valid = torch.arange(n, device=waveform.device) < lengths[:, None]
    count = lengths[:, None].clamp(min=1)
    own = torch.where(valid, waveform, 0)
    if level == "deviation":
        own = torch.where(valid, own - own.sum(1, keepdim=True) / count, 0)
        count = (count - 1).clamp(min=1)
    loudness = (own.square().sum(1, keepdim=True) / count).sqrt()
    return waveform * (to / loudness.clamp(min=1e-6))


def _standardised(
    values: Float[Tensor, "b rows frames"],
    inside: Bool[Tensor, "b 1 frames"] | None,
    axes: tuple[int, ...],
    eps: float,
) -> Float[Tensor, "b rows frames"]:
    """(value - mean) / (unbiased deviation + eps), over the valid values along the axes."""
    valid = torch.ones_like(values) if inside is None else inside.expand_as(values).to(values.dtype)
    count = valid.sum(axes, keepdim=True)
    mean = (values * valid).sum(axes, keepdim=True) / count.clamp(min=1)
    apart = (values - mean) * valid
    deviation = (apart.square().sum(axes, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return apart / (deviation + eps)


def _clip_mean(
    waveform: Float[Tensor, "b n"], lengths: Int64[Tensor, "b"] | None
) -> Float[Tensor, "b 1"]:
    """The mean of each clip's own samples."""
    if lengths is None:
        return waveform.mean(1, keepdim=True)
    valid = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
    total = torch.where(valid, waveform, 0).sum(1, keepdim=True)
    return total / lengths[:, None].clamp(min=1)
