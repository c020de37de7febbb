"""What ProDiff learns by: clean features (or noise) at every level, a teacher's two steps in one.

Section 4 of the paper, and the official code's weights of what is predicted beside mels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph.audio.pitch import filled
from sonograph.errors import InputError
from sonograph.losses.durations import duration_losses, mean_over
from sonograph.losses.mel import lift, mel_losses
from sonograph.nn import diffusion
from sonograph.nn.acoustic import SpeechBatch, Text
from sonograph.nn.aligner import Aligner
from sonograph.nn.alignment import find_durations
from sonograph.systems.speak.prodiff.model import Config, ProDiff, Read


def energy_of(features: Float[Tensor, "b rows t"]) -> Float[Tensor, "b t"]:
    """Norm of the exponential of each frame's log-mel; of log10 mels too, as in official code."""
    return features.exp().square().sum(1).sqrt()


def pitch_of(pitch_hz: Float[Tensor, "b t"], config: Config) -> Float[Tensor, "b t 2"]:
    """Normalised F0, on straight lines over unvoiced stretches, and 1 where unvoiced."""
    rows = np.stack([filled(row) for row in pitch_hz.cpu().numpy()])
    level = (torch.from_numpy(rows).to(pitch_hz) - config.pitch_mean) / config.pitch_deviation
    silent = (pitch_hz <= 0).all(1, keepdim=True)  # nothing to draw a line from
    return torch.stack([level.masked_fill(silent, 0.0), (pitch_hz <= 0).to(level)], dim=2)


class Pretraining(nn.Module):
    """The objective around a model, and its aligner for recordings without durations.

    (batch, generator) -> {"loss", parts}. `updates` counts the training batches seen: the
    aligner's schedule.
    """

    updates: Tensor

    def __init__(self, acoustic: ProDiff):
        super().__init__()
        self.acoustic, self.config, self.spec = acoustic, acoustic.config, acoustic.spec
        self.lift = lift(self.spec)
        self.aligner: Aligner | None = None
        if self.config.alignment.source == "learned":
            self.aligner = Aligner(
                self.config.width,
                self.spec.rows,
                temperature=self.config.alignment.temperature,
            )
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(
        self, batch: SpeechBatch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        parts = self.parts(batch, generator)
        if self.training:
            self.updates += 1
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def parts(
        self, batch: SpeechBatch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Every loss, weighted."""
        durations, attention, parts = self.durations(batch)
        read, pitch, energy = self.read(batch, durations, attention)
        level = self.drawn_levels(len(read.lengths), generator)
        noise = torch.randn(batch.features.shape, generator=generator).to(batch.features)
        parts |= self.diffusion(read, batch.features, level, noise)
        return parts | self.beside(read, batch.text, pitch, energy)

    def read(
        self,
        batch: SpeechBatch,
        durations: Int64[Tensor, "b n"],
        attention: Tensor | None = None,
    ) -> tuple[Read, Float[Tensor, "b t 2"], Float[Tensor, "b t"]]:
        """A text with the rhythm, pitch and energy of its recording; the latter two beside it."""
        if batch.pitch_hz is None:
            raise InputError("this model learns pitch: the batch has none")
        if bool((durations.sum(1) != batch.lengths).any()):
            row = int((durations.sum(1) != batch.lengths).nonzero()[0, 0])
            raise InputError(
                f"clip {row} of the batch has {int(batch.lengths[row])} frames, but its durations "
                f"sum up to {int(durations[row].sum())}"
            )
        pitch, energy = pitch_of(batch.pitch_hz, self.config), energy_of(batch.features)
        read = self.acoustic.read(batch.text, durations, pitch, energy, attention=attention)
        return read, pitch, energy

    def drawn_levels(self, count: int, generator: torch.Generator | None) -> Int64[Tensor, "b"]:
        """Any level for a teacher; for a student those that its steps begin at."""
        config = self.config
        first, last = (0, config.teacher_steps) if config.stride == 1 else (1, config.steps)
        drawn = torch.randint(first, last + 1, (count,), generator=generator)
        return (config.stride * drawn).to(self.updates.device)

    def diffusion(
        self,
        read: Read,
        features: Float[Tensor, "b rows t"],
        level: Int64[Tensor, "b"],
        noise: Float[Tensor, "b rows t"],
    ) -> dict[str, Tensor]:
        """How well the denoiser says what it has to, at these levels."""
        model, config, mask = self.acoustic, self.config, read.mask
        x = model.schedule.noised(model.normalised(features), level, noise) * mask
        said = model.predict(x, model.code(level), read.condition, mask)
        if config.prediction == "noise":
            off = ((said - noise).abs() * mask).sum() / (mask.sum() * self.spec.rows)
            return {"noise": off}
        clean = model.restored(said) * mask
        found = mel_losses(clean, features * mask, mask, config.compat, self.lift)
        share = 0.5 if config.losses.mel == "l1 and ssim" else 1.0
        if config.losses.mel == "l1":
            del found["ssim"]
        return {name: share * value for name, value in found.items()}

    def beside(self, read: Read, text: Text, pitch: Tensor, energy: Tensor) -> dict[str, Tensor]:
        """What durations, F0, voicing and energy lack."""
        plan, inside = self.config.losses, read.mask[:, 0] > 0
        voiced = inside & (pitch[..., 1] == 0)
        voicing = nn.functional.binary_cross_entropy_with_logits(
            read.pitch[..., 1], pitch[..., 1], reduction="none"
        )
        found = {
            "pitch": mean_over((read.pitch[..., 0] - pitch[..., 0]).abs(), voiced),
            "voicing": mean_over(voicing, inside),
            "energy": mean_over((read.energy - energy).square(), inside),
            **duration_losses(plan, read.predicted, read.durations, text),
        }
        return {name: getattr(plan, name) * value for name, value in found.items()}

    # -- durations ------------------------------------------------------------------------------

    def durations(
        self, batch: SpeechBatch
    ) -> tuple[Int64[Tensor, "b n"], Tensor | None, dict[str, Tensor]]:
        """Frames of each token, as given or as the aligner finds them; soft weights while it is
        young; what it learns by.
        """
        if batch.durations is not None:
            return batch.durations, None, {}
        if self.aligner is None:
            raise InputError(
                'the batch has no durations: give them, or set alignment.source to "learned"'
            )
        plan = self.config.alignment
        embedded = (self.acoustic.scale * self.acoustic.embed(batch.text.ids)).transpose(1, 2)
        durations, attention, losses = find_durations(
            self.aligner, plan, int(self.updates), embedded, batch
        )
        return durations, attention, {n: getattr(plan, n) * value for n, value in losses.items()}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this objective again."""
        return {"kind": "pretraining", "encoder": self.acoustic.describe()}


class Distillation(Pretraining):
    """A student learns to do in one step what its teacher does in two. Section 4.3, equation 9.

    Only its denoiser learns. The teacher, with the aligner that its durations come from, is no part
    of what is saved.
    """

    def __init__(self, student: ProDiff, teacher: Pretraining):
        if student.config.stride != 2 * teacher.config.stride:
            raise InputError(
                f"a student of stride {student.config.stride} cannot learn from a teacher of "
                f"stride {teacher.config.stride}: it takes two of its steps at once"
            )
        super().__init__(student)
        self._teacher = (teacher.eval().requires_grad_(False),)
        student.requires_grad_(False)
        student.denoiser.requires_grad_(True)

    @property
    def teacher(self) -> Pretraining:
        return self._teacher[0]

    def train(self, mode: bool = True) -> Distillation:
        """Nothing of the frozen text side is dropped out."""
        super().train(mode)
        self.acoustic.eval()
        self.acoustic.denoiser.train(mode)
        return self

    def parts(
        self, batch: SpeechBatch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            durations, _, _ = self.teacher.durations(batch)
            read, _, _ = self.read(batch, durations)
        level = self.drawn_levels(len(read.lengths), generator)
        noise = torch.randn(batch.features.shape, generator=generator).to(batch.features)
        return {"distillation": self.distilled(read, batch.features, level, noise)}

    def distilled(
        self,
        read: Read,
        features: Float[Tensor, "b rows t"],
        level: Int64[Tensor, "b"],
        noise: Float[Tensor, "b rows t"],
    ) -> Float[Tensor, ""]:
        """Mean distance of the student's clean features from what the teacher's steps ask for."""
        model, mask = self.acoustic, read.mask
        x = model.schedule.noised(model.normalised(features), level, noise) * mask
        target = self.target(x, level, read)
        said = model.predict(x, model.code(level), read.condition, mask)
        off = ((said - target).abs() * mask).sum()
        if self.config.compat == "published":  # padding counts as frames without a distance
            return off / said.numel()
        return off / (mask.sum() * self.spec.rows)

    @torch.no_grad()
    def target(
        self, x: Float[Tensor, "b rows t"], level: Int64[Tensor, "b"], read: Read
    ) -> Float[Tensor, "b rows t"]:
        """What the student has to say of x, row by row at its level."""
        teacher, condition, mask = self.teacher.acoustic, read.condition, read.mask

        def clean(x: Tensor, level: diffusion.Time) -> Tensor:
            return teacher.clean(x, level, condition, mask) * mask

        stride, schedule = self.config.stride, teacher.schedule
        middle = level - stride // 2
        half = schedule.ddim_step(x, level, clean(x, level), middle)
        later = schedule.ddim_step(half, middle, clean(half, middle), level - stride)
        return schedule.distilled(x, level, later, level - stride) * mask
