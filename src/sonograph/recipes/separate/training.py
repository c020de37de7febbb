"""Training of any separator on any mixtures, and what it is worth on some that were held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonograph import registry, weights
from sonograph.data.mixtures import Batch
from sonograph.losses.separation import in_order, permutation_invariant, si_snr
from sonograph.nn.separator import Separator
from sonograph.progress import Progress, silent
from sonograph.train.config import TrainConfig
from sonograph.train.trainer import Numbered, Summary, Trainer


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a training came to: held-out figures before and after, and its run."""

    before: dict[str, float]
    after: dict[str, float]
    summary: Summary

    def told(self) -> dict[str, Any]:
        """For a record."""
        return {
            "loss_before": self.before["loss"],
            "loss_after": self.after["loss"],
            "steps": self.summary.steps,
            "clips_per_s": self.summary.clips_per_s,
            "before": self.before,
            "after": self.after,
        }


def train_separator(
    separator: Separator,
    mixtures: Numbered,
    held_out: Sequence[Batch],
    folder: Path,
    plan: TrainConfig,
    card: dict[str, Any],
    progress: Progress = silent,
) -> Trained:
    """Train in place, into a folder that then loads as a model; started again it goes on.

    `folder/run` is the trainer's; what it held as best by the held-out improvement is kept.
    """
    model = objective_of(separator)

    def measure(learner: nn.Module) -> dict[str, float]:
        return held_out_figures(learner, held_out)

    model.eval()
    with torch.no_grad():
        before = measure(model)
    summary = Trainer(
        model,
        lambda learner, batch, generator: learner(batch, generator),
        mixtures,
        folder / "run",
        plan,
        measure,
        progress,
        best=("si_sdr_improvement", "max"),
    ).run()
    model.eval()
    with torch.no_grad():
        after = measure(model)
    told = {"held_out": after, "recipe": plan.to_dict()}
    weights.save_folder(folder, separator, {**card, **told})
    return Trained(before, after, dataclasses.replace(summary, folder=folder))


def objective_of(separator: Separator) -> Any:
    """The separator within the objective of its system."""
    return registry.module(separator.describe()["system"]).Pretraining(separator)


def held_out_figures(model: Any, held_out: Sequence[Batch]) -> dict[str, float]:
    """The objective's scalars, and by how many dB the estimates are better than the mixture."""
    sums: dict[str, float] = {}
    for k, batch in enumerate(held_out):
        found = dict(model(batch, torch.Generator().manual_seed(k)))
        made = model.separator(batch["mixture"])
        found["si_sdr_improvement"] = improvement(made, batch, model.separator.ordered).mean()
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + float(value) / len(held_out)
    return sums


def improvement(made: Tensor, batch: Batch, ordered: bool) -> Tensor:
    """SI-SDR of each estimate minus that of the mixture, in dB: (clips, stems).

    made: (clips, stems, channels, n); exchangeable stems count in their best order. Channels are
    taken one after the other as one signal.
    """
    stems = made.shape[1]
    wanted = batch["sources"][:, :stems].flatten(2)
    estimates = made.flatten(2)
    if not ordered:
        estimates = in_order(estimates, permutation_invariant(estimates, wanted)[1])
    mixture = batch["mixture"].flatten(1)[:, None]
    return si_snr(estimates, wanted) - si_snr(mixture, wanted)
