"""What the three parts learn by, each on its own: speakers told apart, speech, samples."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import Frontend
from sonograph.errors import InputError
from sonograph.losses.ge2e import GE2E
from sonograph.nn.acoustic import Acoustic, SpeechBatch
from sonograph.nn.vocoder import Vocoder
from sonograph.systems.speak.sv2tts.sampling import emphasised
from sonograph.systems.speak.sv2tts.speaker import SpeakerEncoder
from sonograph.systems.speak.sv2tts.speaking import Synthesizer, Taught
from sonograph.systems.speak.sv2tts.wavernn import Conditioned


def Pretraining(model: nn.Module) -> nn.Module:
    """The objective around a part: `Telling` speakers apart, `Speaking`, or `Sounding`."""
    if isinstance(model, SpeakerEncoder):
        return Telling(model)
    if isinstance(model, Vocoder):
        return Sounding(model)
    if isinstance(model, Acoustic):
        return Speaking(model)
    raise InputError(f"{type(model).__name__} is no part of SV2TTS: an encoder, voice or vocoder")


class Telling(nn.Module):
    """A speaker encoder within the GE2E loss; the clips of a batch are its speakers."""

    def __init__(self, speaker: SpeakerEncoder):
        super().__init__()
        self.speaker, self.spec, self.ge2e = speaker, speaker.spec, GE2E()

    def forward(
        self,
        batch: Float[Tensor, "s u rows t"] | dict[str, Any],
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """batch: windows of u utterances of each of s speakers, or a dict with "features"."""
        features = batch["features"] if isinstance(batch, dict) else batch
        judged = self.ge2e(self.speaker(features.flatten(0, 1)).unflatten(0, features.shape[:2]))
        own = torch.arange(len(features), device=features.device)[:, None]
        right = (judged.similarity.argmax(2) == own).float().mean()
        return {"loss": judged.loss, "accuracy": right.detach()}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return _described(self.speaker.describe())


class Speaking(nn.Module):
    """A synthesizer and its losses: both mels, and when to stop."""

    def __init__(self, acoustic: Acoustic):
        super().__init__()
        if not isinstance(acoustic, Synthesizer):
            raise InputError(f"{type(acoustic).__name__} is no synthesizer of SV2TTS")
        self.acoustic, self.spec = acoustic, acoustic.spec

    def forward(
        self,
        batch: SpeechBatch,
        generator: torch.Generator | None = None,
        speakers: Float[Tensor, "b d"] | None = None,
    ) -> dict[str, Tensor]:
        """speakers: a vector for each text, `acoustic.voice` for all if there is none."""
        said = self.acoustic(batch.text, batch.features, batch.lengths, generator, speakers)
        return losses(self.acoustic, said, batch)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return _described(self.acoustic.describe())


def losses(model: Synthesizer, said: Taught, batch: SpeechBatch) -> dict[str, Tensor]:
    """Means over the frames of the texts. Squared errors of both mels; absolute ones of the first
    (RTVC) or of both (the paper); cross-entropy of the stop, which the last frame says.

    What is said beyond the frames that are given is not asked.

    As published (`compat`) they are means over the padding too: of zeros in Tacotron 2, of what
    the model says in RTVC's, whose stop is 1 there.
    """
    sizes: Any = model.sizes
    published, paper = sizes.compat == "published", getattr(sizes, "loss", "rtvc")
    place = torch.arange(batch.features.shape[2], device=batch.features.device)
    inside = (place < batch.lengths[:, None]).to(said.stop.dtype)
    stop = (place >= batch.lengths[:, None] - 1).to(said.stop.dtype)
    target = batch.features.transpose(1, 2)
    frames = target.shape[1]
    seen = inside
    if published:
        seen = inside if paper != "rtvc" else torch.ones_like(inside)
        count = torch.full((), float(inside.numel()))
    else:
        count = inside.sum().clamp(min=1)

    def mean(each: Tensor) -> Tensor:
        return (each * seen).sum() / count

    mel, refined = said.mel[:, :frames] - target, said.refined[:, :frames] - target
    parts = {"mel": mean(mel.square().mean(2)), "refined": mean(refined.square().mean(2))}
    if paper != "mse":
        parts["mel_l1"] = mean(mel.abs().mean(2))
    if paper == "mse and l1":
        parts["refined_l1"] = mean(refined.abs().mean(2))
    told = F.binary_cross_entropy_with_logits
    parts["stop"] = mean(told(said.stop[:, :frames], stop, reduction="none"))
    return {"loss": sum(parts.values(), torch.zeros(()))} | parts


class Sounding(nn.Module):
    """An autoregressive vocoder: the likelihood of each sample after those before it.

    waveform: (b, n) crops, n a multiple of the hop.
    """

    def __init__(self, vocoder: Vocoder):
        super().__init__()
        if not isinstance(vocoder, Conditioned):
            raise InputError(f"{type(vocoder).__name__} is no autoregressive vocoder")
        self.vocoder, self.spec, self.frontend = vocoder, vocoder.spec, Frontend(vocoder.spec)

    def forward(
        self,
        batch: Float[Tensor, "b n"] | dict[str, Any],
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """loss in nats a sample."""
        waveform = batch["waveform"] if isinstance(batch, dict) else batch
        frames = waveform.shape[1] // self.spec.hop_samples
        with torch.no_grad():
            features = self.frontend(waveform).values[:, :, :frames]
            target = emphasised(waveform, self.spec.preemphasis)
            target = self.vocoder.said.encode(target[:, : frames * self.spec.hop_samples])
        before = F.pad(target, (1, 0))[:, :-1]
        return {"loss": self.vocoder.said.loss(self.vocoder.logits(before, features), target)}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return _described(self.vocoder.describe())


def _described(inner: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "pretraining", "system": "sv2tts", "encoder": inner}
