"""The speaker encoder: a recording of anybody becomes a vector that says who speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.errors import InputError
from sonograph.nn.pretrained import Pretrained
from sonograph.systems.speak.sv2tts.sizes import Config, Encoder

if TYPE_CHECKING:
    from sonograph.outputs import Audio

VOICE_DBFS = -30.0  # level that quieter recordings are raised to
WINDOW_S = 0.03  # of the voice activity detector
SMOOTH, REACH = 8, 3  # windows its decisions are averaged over, and spread to each side
QUIET_DB = 30.0  # below the loudest window: no voice
COVERED = 0.75  # share of a last partial window that has to be sound


class SpeakerEncoder(nn.Module, Pretrained):
    """LSTM layers over a window of features; the last state, made a vector of length 1.

    RTVC's ends in a linear layer and a ReLU (its vectors have no negative part), the paper's in the
    projection of its top layer. features: (b, rows, t) -> (b, d).
    """

    card: dict[str, Any]
    name: str

    def __init__(self, config: Config):
        super().__init__()
        sizes = config.encoder
        self.whole, self.config, self.spec = config, sizes, config.features
        self.lstm = nn.LSTM(
            self.spec.rows, sizes.width, sizes.layers, batch_first=True, proj_size=sizes.projection
        )
        self.linear = None if sizes.projection else nn.Linear(sizes.width, sizes.embedding)

    def forward(self, features: Float[Tensor, "b rows t"]) -> Float[Tensor, "b d"]:
        x = self.last_state(features)
        if self.linear is not None:
            x = self.linear(x).relu()
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        # a vector of zeros has no direction: it stays, where Resemblyzer would give NaN
        return x / (length + self.config.norm_eps).clamp(min=1e-12)

    def last_state(self, features: Float[Tensor, "b rows t"]) -> Float[Tensor, "b w"]:
        """Of the top layer, after the last frame."""
        if features.shape[1] != self.spec.rows:
            raise InputError(
                f"features of {features.shape[1]} rows: this speaker encoder takes {self.spec.rows}"
            )
        return self.lstm(features.transpose(1, 2))[1][0][-1]

    @torch.no_grad()
    def embed(self, recording: Audio | Float[np.ndarray, " n"]) -> Float[Tensor, " d"]:
        """Who speaks in a recording: the mean over its partial windows, of length 1.

        recording: audio of any rate, or samples at `spec.rate_hz`. Raises InputError for silence.
        """
        samples = prepared(_samples(recording, self.spec.rate_hz), self.spec.rate_hz)
        mean = self.partials(samples).mean(0)
        return mean / torch.linalg.vector_norm(mean).clamp(min=1e-12)

    @torch.no_grad()
    def partials(self, samples: Float[np.ndarray, " n"]) -> Float[Tensor, "k d"]:
        """A vector for each partial window of samples that are prepared already."""
        hop, size = self.spec.hop_samples, self.config.partial_frames
        starts = starts_of(len(samples), self.config, self.spec)
        need = (starts[-1] + size) * hop
        padded = np.pad(samples, (0, max(0, need - len(samples)))).astype(np.float32)
        features = Frontend(self.spec)(torch.from_numpy(padded)[None]).values[0]
        windows = torch.stack([features[:, start : start + size] for start in starts])
        return self(windows.to(next(self.parameters()).device)).cpu()

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "speaker", "system": "sv2tts", "config": self.whole.to_dict()}


def starts_of(samples: int, config: Encoder, spec: FeatureSpec) -> list[int]:
    """First frames of the partial windows of an utterance, at least one.

    The last window counts if three quarters of it are sound.

    >>> from sonograph.systems.speak.sv2tts.sizes import ge2e_spec
    >>> starts_of(16000 * 3, Encoder(), ge2e_spec()), starts_of(100, Encoder(), ge2e_spec())
    ([0, 80, 160], [0])
    """
    hop, size = spec.hop_samples, config.partial_frames
    step = round(size * 0.5) if config.partials == "overlap" else round(spec.rate_hz / 1.3 / hop)
    step = max(1, step)
    frames = -(-(samples + 1) // hop)
    starts = list(range(0, max(1, frames - size + step + 1), step))
    if len(starts) > 1 and (samples - starts[-1] * hop) / (size * hop) < COVERED:
        starts.pop()
    return starts


def prepared(samples: Float[np.ndarray, " n"], rate_hz: int) -> Float[np.ndarray, " m"]:
    """Raised to -30 dBFS where it is quieter, and without long silences.

    Raises InputError where there is no sound, or values that are none.
    """
    if not np.isfinite(samples).all():
        raise InputError("the recording holds values that are not finite")
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    if level < 1e-7:
        raise InputError("the recording is silent: give some seconds of one voice")
    gain = max(1.0, 10 ** (VOICE_DBFS / 20) / level)
    return without_silence((samples * gain).astype(np.float32), rate_hz)


def without_silence(samples: Float[np.ndarray, " n"], rate_hz: int) -> Float[np.ndarray, " m"]:
    """Windows of 30 ms with voice, and 90 ms to each side of a stretch of it; never nothing.

    RTVC asks WebRTC's detector; ours goes by energy: no voice is what lies 30 dB below the loudest
    window. Decisions are smoothed as there, by the mean of eight and a dilation by seven.
    """
    size = round(WINDOW_S * rate_hz)
    count = len(samples) // size
    if count == 0:
        return samples
    power = np.square(samples[: count * size].reshape(count, size), dtype=np.float64).mean(1)
    voiced = spread(power > power.max() * 10 ** (-QUIET_DB / 10))
    return samples[: count * size][np.repeat(voiced, size)] if voiced.any() else samples


def spread(flags: Bool[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
    """Decisions smoothed by a mean of eight (half is no), then spread by three to each side.

    >>> int(spread(np.array([0] * 9 + [1] * 9 + [0] * 9, bool)).sum())
    14
    """
    padded = np.pad(flags.astype(float), ((SMOOTH - 1) // 2, SMOOTH // 2))
    mean = np.convolve(padded, np.ones(SMOOTH) / SMOOTH, "valid")
    chosen = np.round(mean, 9) > 0.5
    return np.convolve(np.pad(chosen, REACH), np.ones(2 * REACH + 1), "valid") > 0.5


def published_encoder() -> SpeakerEncoder:
    """The published encoder where it is at hand: in the package `resemblyzer`, of which its file
    of weights alone is read.

    Raises InputError where it is not installed.
    """
    import importlib.util
    from pathlib import Path

    from sonograph import weights

    found = importlib.util.find_spec("resemblyzer")
    path = Path(found.origin).parent / "pretrained.pt" if found and found.origin else None
    if path is None or not path.is_file():
        raise InputError(
            "no speaker encoder is at hand: `pip install resemblyzer` brings the published one, or "
            "give your own"
        )
    model = weights.load(path)
    assert isinstance(model, SpeakerEncoder)
    return model


def fictitious(size: int, generator: torch.Generator | None = None) -> Float[Tensor, " d"]:
    """A speaker that does not exist: a random vector of length 1 (the paper, section 3.8).

    It has no negative part, since the published encoder's have none.
    """
    drawn = torch.randn(size, generator=generator).abs()
    return drawn / torch.linalg.vector_norm(drawn)


def mean_speaker(vectors: Sequence[Float[Tensor, " d"]]) -> Float[Tensor, " d"]:
    """One speaker of several recordings: the mean vector, of length 1."""
    mean = torch.stack(list(vectors)).mean(0)
    return mean / torch.linalg.vector_norm(mean).clamp(min=1e-12)


def _samples(recording: Audio | np.ndarray, rate_hz: int) -> np.ndarray:
    if isinstance(recording, np.ndarray):
        return recording
    from sonograph.audio.resample import resample

    mono = recording.samples.mean(0, keepdims=True)
    return resample(mono, recording.rate_hz, rate_hz)[0]
