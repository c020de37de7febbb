"""What FastSpeech and FastSpeech 2 learn from: losses, and durations from their own aligner."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.losses.acoustic import Losses
from sonograph.losses.durations import duration_losses, mean_over
from sonograph.losses.ssim import ssim_loss
from sonograph.nn.acoustic import SpeechBatch
from sonograph.nn.aligner import Aligner
from sonograph.nn.alignment import aligned, find_durations
from sonograph.nn.length_regulator import average
from sonograph.nn.monotonic import Durations
from sonograph.nn.pitch_wavelets import SCALES, Compat, wavelets
from sonograph.systems.speak.fastspeech.model import FastSpeech, Said
from sonograph.systems.speak.fastspeech.teacher import TransformerTTS, teacher_losses
from sonograph.systems.speak.fastspeech.variance import Binned, WaveletPitch


class Pretraining(nn.Module):
    """The objective around a model: of FastSpeech, with an aligner where its config asks for one,
    or of the autoregressive teacher.

    forward(batch, generator) -> {"loss": ..., its parts}. The losses are sums of means over valid
    frames and tokens. `updates` counts the training batches seen: the aligner's schedule.
    """

    updates: Tensor

    def __init__(self, acoustic: FastSpeech | TransformerTTS):
        super().__init__()
        self.acoustic, self.config, self.spec = acoustic, acoustic.config, acoustic.spec
        self.aligner: Aligner | None = None
        plan = self.config.alignment
        if plan.source == "learned" and isinstance(acoustic, FastSpeech):
            self.aligner = Aligner(
                self.config.width, self.spec.rows, 80, temperature=plan.temperature
            )
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(
        self, batch: SpeechBatch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        step = int(self.updates)
        if self.training:
            self.updates += 1
        if isinstance(self.acoustic, TransformerTTS):
            return teacher_losses(self.acoustic, batch, generator)
        model, plan = self.acoustic, self.config.alignment
        durations, attention = batch.durations, None
        parts: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        if self.aligner is not None:
            durations, attention, parts = find_durations(
                self.aligner, plan, step, self.embedded(batch), batch
            )
            weights = {name: getattr(plan, name) for name in parts}
        if durations is None:
            raise InputError(
                'the batch has no durations: give them, or set alignment.source to "learned"'
            )
        given = targets(model, batch, durations)
        said = model(
            batch.text, durations, given.get("pitch"), given.get("energy"), attention=attention
        )
        found, factors = losses(model, said, batch, given)
        parts, weights = parts | found, weights | factors
        total = sum((weights[name] * value for name, value in parts.items()), torch.zeros(()))
        return {"loss": total} | parts

    def embedded(self, batch: SpeechBatch) -> Float[Tensor, "b d n"]:
        """The tokens as the aligner sees them."""
        assert isinstance(self.acoustic, FastSpeech)
        return (self.acoustic.scale * self.acoustic.embed(batch.text.ids)).transpose(1, 2)

    @torch.no_grad()
    def durations_of(self, batch: SpeechBatch) -> Durations:
        """What the aligner says of recordings: durations, and how well text and sound agree."""
        if self.aligner is None:
            raise InputError('this objective has no aligner: alignment.source is "given"')
        every = aligned(self.aligner, self.embedded(batch), batch, self.config.alignment.prior)
        return self.aligner.align(every, batch.text.lengths, batch.lengths)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this objective again."""
        return {"kind": "pretraining", "encoder": self.acoustic.describe()}


def targets(
    model: FastSpeech, batch: SpeechBatch, durations: Int64[Tensor, "b n"]
) -> dict[str, Tensor]:
    """Normalised pitch and energy of tokens or frames, as far as the model has them.

    Of a token: the mean over its voiced frames (a token without one counts as 0, the mean of all),
    the mean energy of all its frames.
    """
    out: dict[str, Tensor] = {}
    given = {"pitch": batch.pitch_hz, "energy": batch.energy}
    for name, values in given.items():
        module = getattr(model, name)
        if module is None:
            continue
        if values is None:
            raise InputError(f"this model learns {name}: the batch has none")
        level = getattr(model.config, name).level
        if not isinstance(module, Binned):  # log2 over the gaps, and voicing
            octaves, unvoiced = log2_over_gaps(values), (values <= 0).to(values.dtype)
            if isinstance(module, WaveletPitch):
                out["wavelets"], out["span"] = wavelets_of(
                    octaves * math.log(2), batch.lengths, model.config.compat
                )
            if level == "tokens":
                octaves = average(octaves, durations)
                unvoiced = torch.zeros_like(octaves)
            out[name] = torch.stack([octaves, unvoiced], dim=2)
            continue
        counted = values > 0 if name == "pitch" else None
        normal = module.normalised(values)
        if counted is not None:
            normal = torch.where(counted, normal, 0.0)
        out[name] = average(normal, durations, counted) if level == "tokens" else normal
    return out


def log2_over_gaps(f0: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """log2 of F0, on straight lines over unvoiced stretches."""
    import numpy as np

    from sonograph.audio.pitch import filled

    rows = []
    for row in f0.cpu().numpy():
        rows.append(filled(np.where(row > 0, np.log2(np.maximum(row, 1e-8)), 0.0)))
    return torch.from_numpy(np.stack(rows)).to(f0)


def wavelets_of(
    logs: Float[Tensor, "b t"], lengths: Int64[Tensor, "b"], compat: Compat
) -> tuple[Float[Tensor, "b t scales"], Float[Tensor, "b 2"]]:
    """The wavelets of each clip's contour of ln F0, normalised; its mean and deviation."""
    rows, spans = logs.new_zeros(*logs.shape, SCALES), []
    for row, (x, t) in enumerate(zip(logs, lengths.tolist())):
        mean, deviation = x[:t].mean(), x[:t].std(correction=0)
        rows[row, :t] = wavelets((x[:t] - mean) / deviation.clamp(min=1e-6), compat)
        spans.append(torch.stack([mean, deviation]))
    return rows, torch.stack(spans)


def losses(
    model: FastSpeech, said: Said, batch: SpeechBatch, given: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """(parts, their weights) of the model's own loss."""
    plan = model.config.losses
    frames = torch.arange(said.mel.shape[1], device=said.mel.device) < said.lengths[:, None]
    target = batch.features.transpose(1, 2)[:, : said.mel.shape[1]]
    parts = mel_losses(plan, said.mel, target, frames, "mel")
    if model.postnet is not None:
        parts |= mel_losses(plan, said.refined, target, frames, "refined")
    weights = dict.fromkeys(parts, 0.5 if plan.mel == "l1 and ssim" else 1.0)
    found = duration_losses(
        plan,
        said.predicted,
        said.durations,
        batch.text,
        "log" if model.config.durations == "log" else "frames",
    )
    parts |= found
    for name in found:
        weights[name] = getattr(plan, name)
    for name in ("pitch", "energy"):
        predicted = getattr(said, name)
        if predicted is None:
            continue
        valid = batch.text.mask if getattr(model.config, name).level == "tokens" else frames
        weights[name] = getattr(plan, name)
        if said.voicing is not None and name == "pitch":
            unvoiced = given[name][..., 1]
            if model.config.pitch.level == "frames":
                wrong = nn.functional.binary_cross_entropy_with_logits(
                    said.voicing, unvoiced, reduction="none"
                )
                parts["voicing"] = mean_over(wrong, valid)
                weights["voicing"] = plan.voicing
            voiced = valid & (unvoiced == 0)
            if said.wavelets is not None:
                assert said.span is not None
                parts |= wavelet_losses(said.wavelets, said.span, given, valid, voiced.any(1))
                weights |= dict.fromkeys(("wavelets", "pitch_mean", "pitch_deviation"), plan.pitch)
                continue
            parts[name] = mean_over((predicted - given[name][..., 0]).abs(), voiced)
        else:
            parts[name] = mean_over((predicted - given[name]).square(), valid)
    return parts, weights


def wavelet_losses(
    rows: Float[Tensor, "b t scales"],
    span: Float[Tensor, "b 2"],
    given: dict[str, Tensor],
    frames: Bool[Tensor, "b t"],
    voiced: Bool[Tensor, "b"],
) -> dict[str, Tensor]:
    """Absolute errors, as NATSpeech takes them; of a clip without any voice there are none."""
    mean, deviation = (span - given["span"]).abs().unbind(1)
    return {
        "wavelets": mean_over((rows - given["wavelets"]).abs().mean(2), frames & voiced[:, None]),
        "pitch_mean": mean_over(mean, voiced),
        "pitch_deviation": mean_over(deviation, voiced),
    }


def mel_losses(
    plan: Losses,
    mel: Float[Tensor, "b t rows"],
    target: Float[Tensor, "b t rows"],
    frames: Bool[Tensor, "b t"],
    name: str,
) -> dict[str, Tensor]:
    off = mel - target
    if plan.mel == "mse":
        return {name: mean_over(off.square().mean(2), frames)}
    found = {name: mean_over(off.abs().mean(2), frames)}
    if plan.mel == "l1 and ssim":
        silent = ~frames[:, :, None]
        found[f"{name}_ssim"] = ssim_loss(
            mel.masked_fill(silent, 0.0), target.masked_fill(silent, 0.0), frames
        )
    return found
