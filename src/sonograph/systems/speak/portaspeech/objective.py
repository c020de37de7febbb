"""What PortaSpeech learns by, in two stages. Section 3.4 of the paper, and the official code.

First everything but the post-net: the mel by L1 and structural similarity, the divergence of the
autoencoder's posterior from its flow prior, the durations of words. Then the post-net alone, by
the likelihood of the mel given what the rest, frozen, says of it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph.config import Config as PlainConfig
from sonograph.errors import InputError
from sonograph.losses.mel import lift, mel_losses
from sonograph.nn.acoustic import SpeechBatch
from sonograph.nn.aligner import Aligner
from sonograph.nn.alignment import Alignment, find_durations
from sonograph.nn.couplings import Step
from sonograph.nn.word_maps import cut_to_multiple, frame_map, summed, word_map
from sonograph.systems.speak.portaspeech.model import STRIDE, PortaSpeech, Posterior

Compat = Literal["none", "published"]


@dataclasses.dataclass(frozen=True)
class Schedule(PlainConfig):
    """From which update on what is learned; the published ones. Weights beside them."""

    divergence_from: int = 10_000
    post_net_from: int = 160_000  # and from there nothing else
    binarise_from: int = 18_000  # of the aligner, where there are no durations
    mel: float = 0.5  # of each of its two losses
    divergence: float = 1.0
    forward_sum: float = 0.1

    @property
    def alignment(self) -> Alignment:
        """How the aligner learns; its paths are used from the first update on."""
        return Alignment("learned", 0, self.binarise_from, self.forward_sum)

    def shortened(self, voice: int) -> Schedule:
        """The same schedule with so many updates before the post-net's."""
        share = voice / self.post_net_from
        return dataclasses.replace(
            self,
            divergence_from=round(self.divergence_from * share),
            post_net_from=voice,
            binarise_from=round(self.binarise_from * share),
        )


def duration_loss(
    predicted: Float[Tensor, "b w"], frames: Int64[Tensor, "b w"], words: Int64[Tensor, "b"]
) -> Float[Tensor, ""]:
    """L1 between logarithms of 1 + frames, mean over the words."""
    valid = torch.arange(frames.shape[1], device=frames.device) < words[:, None]
    error = (predicted.log1p() - frames.float().log1p()).abs()
    return (error * valid).sum() / valid.sum()


def flow_loss(
    z: Float[Tensor, "b rows t"],
    log_determinant: Float[Tensor, "b"],
    mask: Float[Tensor, "b 1 t"],
    compat: Compat = "none",
) -> Float[Tensor, ""]:
    """Minus the log-likelihood of what the post-net turned into z, a value. Equation 4.

    compat: "published" counts padding in the first half, and divides the log-determinant of every
    clip by the length of every clip, so that the two halves do not make one likelihood.
    """
    log_p = -0.5 * (z.square() + math.log(2 * math.pi))
    if compat == "published":
        frames = mask.sum((1, 2))
        return -log_p.mean() - (log_determinant[None] / frames[:, None] / z.shape[1]).mean()
    return -((log_p * mask).sum() + log_determinant.sum()) / (mask.sum() * z.shape[1])


@dataclasses.dataclass(frozen=True, eq=False)
class Lesson:
    """A batch cut to whole fours of frames."""

    features: Float[Tensor, "b rows t"]
    mask: Float[Tensor, "b 1 t"]
    frames: Int64[Tensor, "b w"]  # of each word
    of_frames: Int64[Tensor, "b t"]
    words: Int64[Tensor, "b"]


class Pretraining(nn.Module):
    """The objective around a model, and its aligner for recordings without durations.

    (batch, generator) -> {"loss", parts}. Counts its updates, in `updates`, to know the stage.
    Frames that do not make up four at a clip's end are left out.
    """

    updates: Tensor

    def __init__(self, acoustic: PortaSpeech, schedule: Schedule = Schedule()):
        super().__init__()
        self.acoustic, self.schedule = acoustic, schedule
        self.lift = lift(acoustic.spec)
        self.aligner = Aligner(acoustic.config.width, acoustic.spec.rows)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def stage(self) -> Literal["voice", "post_net"]:
        """What the next update is of."""
        return "voice" if int(self.updates) < self.schedule.post_net_from else "post_net"

    def forward(self, batch: SpeechBatch, generator: torch.Generator) -> dict[str, Tensor]:
        losses = self.voice if self.stage == "voice" else self.post_net
        parts = losses(batch, generator)
        if self.training:
            self.updates += 1
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def voice(self, batch: SpeechBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """The parts of the first stage's loss."""
        model, schedule = self.acoustic, self.schedule
        durations, parts = self.durations(batch)
        lesson = self.lesson(batch, durations)
        read = model.read(batch.text)
        told, _ = model.linguistic(read, lesson.of_frames)
        condition = model.vae.condition(told)
        posterior = self.posterior(lesson, told, condition, generator)
        divergence, _ = model.vae.divergence(posterior, condition)
        if int(self.updates) < schedule.divergence_from:
            divergence = divergence.detach()
        else:
            divergence = divergence.clamp(min=0)  # one draw of it may lie below
        smooth = model.vae.decoder(posterior.z, lesson.mask, told)
        mel = mel_losses(smooth, lesson.features, lesson.mask, model.config.compat, self.lift)
        parts |= {name: schedule.mel * value for name, value in mel.items()}
        parts["divergence"] = schedule.divergence * divergence
        parts["duration"] = duration_loss(read.word_wishes, lesson.frames, lesson.words)
        return parts

    def post_net(self, batch: SpeechBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of the second stage; nothing but the post-net learns."""
        model = self.acoustic
        with torch.no_grad():
            durations, _ = self.durations(batch)
            lesson = self.lesson(batch, durations)
            told, _ = model.linguistic(model.read(batch.text), lesson.of_frames)
            condition = model.vae.condition(told)
            posterior = self.posterior(lesson, told, condition, generator)
            smooth = model.vae.decoder(posterior.z, lesson.mask, told)
            around = torch.cat([smooth, told], dim=1)
        z, log_determinant = model.post_net(lesson.features, lesson.mask, around)
        return {"post_net": flow_loss(z, log_determinant, lesson.mask, model.config.compat)}

    def posterior(
        self, lesson: Lesson, told: Tensor, condition: Tensor, generator: torch.Generator
    ) -> Posterior:
        shape = (len(told), self.acoustic.config.latent, told.shape[2] // STRIDE)
        noise = torch.randn(shape, generator=generator).to(told)
        return self.acoustic.vae.encode(lesson.features, lesson.mask, condition, noise)

    def durations(self, batch: SpeechBatch) -> tuple[Int64[Tensor, "b n"], dict[str, Tensor]]:
        """Frames of each token, as given or as the aligner finds them, and what it learns by."""
        if batch.durations is not None:
            return batch.durations, {}
        embedded = self.acoustic.embedding(batch.text.ids).transpose(1, 2)
        scaled = embedded * math.sqrt(self.acoustic.config.width)
        plan = self.schedule.alignment
        found = find_durations(self.aligner, plan, int(self.updates), scaled, batch)
        return found.durations, {n: getattr(plan, n) * value for n, value in found.losses.items()}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this objective again."""
        return {"kind": "pretraining", "encoder": self.acoustic.describe()}

    def lesson(self, batch: SpeechBatch, durations: Int64[Tensor, "b n"]) -> Lesson:
        """The batch in whole fours of frames; InputError where durations and frames differ."""
        if bool((durations.sum(1) != batch.lengths).any()):
            row = int((durations.sum(1) != batch.lengths).nonzero()[0, 0])
            raise InputError(
                f"clip {row} of the batch has {int(batch.lengths[row])} frames, but its durations "
                f"sum up to {int(durations[row].sum())}"
            )
        if bool((batch.lengths < STRIDE).any()):
            raise InputError(f"a clip has less than {STRIDE} frames: leave it out")
        of_tokens = word_map(batch.text.words, batch.text.mask)
        words = of_tokens.max(1).values
        most = int(words.max())
        frames = cut_to_multiple(summed(durations, of_tokens, most), STRIDE)
        of_frames = frame_map(frames)
        mask = (of_frames > 0)[:, None].float()
        features = batch.features[:, :, : of_frames.shape[1]] * mask
        return Lesson(features, mask, frames, of_frames, words)


@torch.no_grad()
def begin_at(model: PortaSpeech, mean: Tensor, deviation: Tensor) -> None:
    """Let an untrained model begin at the mean spectrum of a corpus, and its post-net at its scale.

    mean, deviation: (rows,). The official code begins at 0; most of a short training would go by
    on the way from there.
    """
    bias = model.vae.decoder.project.bias
    assert bias is not None
    bias.copy_(mean)
    first = model.post_net.steps[0]
    assert isinstance(first, Step)
    twice = model.post_net.squeezing
    first.norm.log_scale.copy_(-deviation.log().repeat(twice)[None, :, None])
    first.norm.shift.copy_((-mean / deviation).repeat(twice)[None, :, None])
