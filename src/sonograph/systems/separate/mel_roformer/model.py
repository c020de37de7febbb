"""The separator of Mel-RoFormer and BS-RoFormer: configuration, model, objective."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn

from sonograph.audio.stft import window_values
from sonograph.audio.table import Table
from sonograph.config import Config as BaseConfig
from sonograph.errors import InputError
from sonograph.losses.complex_stft import HOPS, WINDOWS, ComplexStft
from sonograph.nn.mel_bands import (
    BandMasks,
    Bands,
    BandSplit,
    hand_made_bands,
    mel_bands,
    side_by_side,
)
from sonograph.nn.roformer import L2Norm, Roformer
from sonograph.nn.separator import Separator


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """Sizes are those of the vocal model that is most in use (six layers, 44.1 kHz stereo)."""

    rate_hz: int = 44_100
    channels: int = 2
    stems: tuple[str, ...] = ("vocals",)
    rest: str | None = "accompaniment"  # what the mixture minus all stems is called
    fft_samples: int = 2048
    hop_samples: int = 441
    bands: Literal["mel", "hand"] = "mel"  # overlapping mel bands, or BS-RoFormer's side by side
    num_bands: int = 60
    band_bins: tuple[int, ...] = ()  # widths of other hand-made bands, in bins
    width: int = 384
    depth: int = 6  # layers, each along time and then along frequency
    time_depth: int = 1  # blocks a layer
    frequency_depth: int = 1
    num_heads: int = 8
    head_width: int = 64
    gates: bool = True  # a sigmoid a head
    norm: Literal["each", "last"] = "each"  # after every transformer, or once before the masks
    mask_depth: int = 2  # hidden layers of the mask heads
    mask_times: int = 4  # their units, as a multiple of the width
    skips: bool = False  # each layer also hears the sum of what all earlier ones said
    zero_dc: bool = False  # silence at 0 Hz
    attention_dropout: float = 0.0
    dropout: float = 0.0
    window_frames: int = 800  # hops heard at once in a long sound
    loss_windows: tuple[int, ...] = WINDOWS
    loss_hops: tuple[int, ...] = HOPS  # samples, one a window

    def __post_init__(self) -> None:
        if self.head_width % 2:
            raise InputError(f"rotary positions turn pairs: head_width {self.head_width} is odd")
        if not 0 < self.hop_samples <= self.fft_samples // 2:
            raise InputError(
                f"hop_samples {self.hop_samples} must lie between 1 and half the FFT "
                f"({self.fft_samples // 2}): frames have to overlap"
            )
        if not self.stems:
            raise InputError("stems is empty: name at least one")
        if self.band_bins and sum(self.band_bins) != self.fft_samples // 2 + 1:
            raise InputError(
                f"band_bins sum to {sum(self.band_bins)}, an FFT of {self.fft_samples} has "
                f"{self.fft_samples // 2 + 1} bins"
            )

    @property
    def layout(self) -> Bands:
        """(first, end) in bins of every band."""
        if self.band_bins:
            return side_by_side(self.band_bins)
        layouts = {"mel": mel_bands, "hand": hand_made_bands}
        return layouts[self.bands](self.num_bands, self.fft_samples, self.rate_hz)


# --- model ---------------------------------------------------------------------------------------


class MelRoformer(Separator):
    """The separator: band split, transformers along time and frequency in turns, masks.

    mixture (b, channels, n) -> (b, stems, channels, n).

    >>> small = Config(width=16, depth=1, num_bands=20, channels=1, mask_times=1)
    >>> build(small)(torch.zeros(1, 1, 8000)).shape
    torch.Size([1, 1, 1, 8000])
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.rate_hz, self.channels, self.stems = config.rate_hz, config.channels, config.stems
        self.rest = config.rest
        self.step_samples = config.hop_samples
        self.window_samples = config.window_frames * config.hop_samples
        bands, numbers = config.layout, 2 * config.channels
        self.window = Table(window_values("hann", config.fft_samples))
        self.split = BandSplit(bands, numbers, config.width)
        along = ("first", "second")
        self.layers = nn.ModuleList(
            nn.ModuleList(
                Roformer(
                    config.width,
                    depth,
                    config.num_heads,
                    config.head_width,
                    axis,  # type: ignore[arg-type]
                    config.gates,
                    config.attention_dropout,
                    config.dropout,
                    norm=config.norm == "each",
                )
                for axis, depth in zip(along, (config.time_depth, config.frequency_depth))
            )
            for _ in range(config.depth)
        )
        self.norm = L2Norm(config.width) if config.norm == "last" else nn.Identity()
        self.heads = nn.ModuleList(
            BandMasks(
                bands, numbers, config.width, config.mask_times * config.width, config.mask_depth
            )
            for _ in config.stems
        )

    def forward(
        self, mixture: Float[Tensor, "b channels n"]
    ) -> Float[Tensor, "b stems channels n"]:
        n = mixture.shape[-1]
        spectrum = self.spectrum(mixture)
        tokens = self.encode(spectrum)
        made = torch.stack([spectrum * self.mask(head, tokens) for head in self.heads], dim=1)
        return self.waveform(made, n)

    def spectrum(
        self, mixture: Float[Tensor, "b channels n"]
    ) -> Complex[Tensor, "b channels t bins"]:
        """Centred frames, t = 1 + n // hop; short clips are padded with silence."""
        config, (b, channels, n) = self.config, mixture.shape
        if channels != config.channels:
            raise InputError(
                f"a mixture of {channels} channels; this model hears {config.channels}"
            )
        flat = mixture.reshape(b * channels, n)
        if n <= config.fft_samples // 2:  # too short to be mirrored
            flat = F.pad(flat, (0, config.fft_samples // 2 + 1 - n))
        found = torch.stft(
            flat, config.fft_samples, config.hop_samples, window=self.window.values,
            return_complex=True,
        )  # fmt: skip
        return found.mT.unflatten(0, (b, channels))

    def encode(
        self, spectrum: Complex[Tensor, "b channels t bins"]
    ) -> Float[Tensor, "t b bands d"]:
        """Tokens of every frame and band, after all layers: what heads of any kind start from."""
        x = self.split(torch.view_as_real(spectrum).permute(2, 0, 3, 1, 4).flatten(-2))
        shape = x.shape
        earlier: Tensor | None = None
        for layer in self.layers:
            time, frequency = layer.children()
            if self.config.skips and earlier is not None:
                x = x + earlier
            x = time(x.flatten(1, 2)).view(shape)
            x = frequency(x.flatten(0, 1)).view(shape)
            if self.config.skips:
                earlier = x if earlier is None else earlier + x
        return self.norm(x)

    def mask(
        self, head: nn.Module, tokens: Float[Tensor, "t b bands d"]
    ) -> Complex[Tensor, "b channels t bins"]:
        """The complex mask of one stem; it is not bounded."""
        parts = head(tokens).unflatten(-1, (self.config.channels, 2))  # (t, b, bins, channels, 2)
        return torch.view_as_complex(parts.float()).permute(1, 3, 0, 2)

    def waveform(
        self, spectrum: Complex[Tensor, "b stems channels t bins"], samples: int
    ) -> Float[Tensor, "b stems channels n"]:
        """Inverse STFT, of the length of the mixture."""
        config, lead = self.config, spectrum.shape[:3]
        if config.zero_dc:
            spectrum = torch.cat((torch.zeros_like(spectrum[..., :1]), spectrum[..., 1:]), dim=-1)
        long = max(samples, config.fft_samples // 2 + 1)
        made = torch.istft(
            spectrum.flatten(0, 2).mT, config.fft_samples, config.hop_samples,
            window=self.window.values, length=long,
        )  # fmt: skip
        return made[:, :samples].unflatten(0, lead)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "separator", "system": "mel_roformer", "config": self.config.to_dict()}


def build(config: Config) -> MelRoformer:
    return MelRoformer(config)


# --- objective -----------------------------------------------------------------------------------


class Pretraining(nn.Module):
    """Mean absolute error of the waveforms plus that of their complex spectra, summed over windows.

    batch: "mixture" (b, channels, n), "sources" (b, s, channels, n), the separator's stems first.
    """

    def __init__(self, separator: MelRoformer):
        super().__init__()
        self.separator = separator
        config = separator.config
        self.stft = ComplexStft(config.fft_samples, config.loss_windows, config.loss_hops)

    def forward(
        self, batch: dict[str, Tensor], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        made = self.separator(batch["mixture"])
        wanted = batch["sources"][:, : made.shape[1]]
        l1, spectral = (made - wanted).abs().mean(), self.stft(made, wanted)
        return {"loss": l1 + spectral, "l1": l1, "spectral": spectral}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {
            "kind": "pretraining",
            "system": "mel_roformer",
            "encoder": self.separator.describe(),
        }
