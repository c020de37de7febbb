"""Training of any separator on any mixtures, and what it is worth on some that were held out.

Which mixtures follows from the separator and from what the clips tell: stems of songs (label
"stem", see `data/layouts.py`), talkers (clips with a speaker), or speech among other sounds.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonograph import registry, weights
from sonograph.config import Config
from sonograph.data import mix
from sonograph.data.clips import Clips
from sonograph.data.mixtures import (
    Batch,
    Mixtures,
    Pool,
    SpeechInNoise,
    Stems,
    Talkers,
    pools_of,
    songs,
)
from sonograph.data.rooms import Rooms
from sonograph.errors import InputError
from sonograph.losses.separation import in_order, permutation_invariant, si_snr
from sonograph.nn.separator import Separator
from sonograph.outputs import Audio
from sonograph.progress import Progress, silent
from sonograph.recipes.pretraining import data_of, divided
from sonograph.train.config import TrainConfig
from sonograph.train.trainer import Numbered, Summary, Trainer

SHORTEST_S = 0.3  # of an utterance that is mixed
HISS_S, HISS_SHARE = 20.0, 0.2  # of made noise of each colour; how often it is the noise
CALIBRATED = 10  # batches that tell at which level stems come out


@dataclasses.dataclass(frozen=True)
class Plan(Config):
    """How a separator learns."""

    batch: int = 4
    crop_s: float = 3.0
    held_out_batches: int = 6
    rooms: bool = False  # whether half of the talkers stand in one
    snr_db: tuple[float, float] = (-5.0, 15.0)  # of speech among other sounds
    train: TrainConfig = TrainConfig(
        steps=2000,
        lr=1e-3,
        clip_norm=5.0,
        warmup_steps=100,
        lr_floor=0.02,
        eval_every=250,
        save_every=50,
        log_every=25,
    )


def recipe_of(name: str) -> Plan:
    """The plan for a preset; large ones take the papers' rates, which are lower."""
    if name.endswith("-test"):
        return Plan(batch=2, crop_s=1.0, held_out_batches=2)
    small = Plan()
    count = sum(weight.numel() for weight in registry.build(name, device="meta").parameters())
    if count < 5_000_000:
        return small
    return small.override({"train.lr": 1.5e-4, "train.steps": 200_000, "train.save_every": 1000})


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Plan | None = None,
    progress: Progress = silent,
) -> Summary:
    """Train a preset on clips into a folder; started again it goes on."""
    return trained(name, clips, Path(folder), recipe or recipe_of(name), progress).summary


def trained(name: str, clips: Clips, folder: Path, recipe: Plan, progress: Progress) -> Trained:
    """The same, with the figures from before."""
    separator: Any = registry.build(name, seed=recipe.train.seed)
    train, valid = divided(clips)
    kept = mixtures_of(separator, valid, recipe, recipe.train.seed + 1, learning=False)
    return train_separator(
        separator,
        mixtures_of(separator, train, recipe, recipe.train.seed),
        [kept.batch(k) for k in range(recipe.held_out_batches)],
        folder,
        recipe.train,
        {"name": name, "data": data_of(clips)},
        progress,
    )


def mixtures_of(
    separator: Separator, clips: Clips, plan: Plan, seed: int, learning: bool = True
) -> Mixtures:
    """What a separator learns from, made of clips; `learning` changes stems as training does."""
    rate, batch = separator.rate_hz, plan.batch
    samples = round(plan.crop_s * rate)
    rooms = Rooms(rate, seed=seed) if plan.rooms else None
    spoken = clips.filter(
        lambda clip: bool(clip.speaker or clip.text) and clip.duration_s >= SHORTEST_S
    )
    if not separator.ordered:
        if not len(spoken):
            raise InputError(
                "talkers are told apart by clips that name their speaker: these do not"
            )
        return Talkers(Pool(spoken, rate), len(separator.stems), batch, samples, seed, rooms=rooms)
    if separator.stems == ("speech",):
        if not len(spoken):
            raise InputError(
                "an enhancer learns from speech, clips with a speaker or a text, among other "
                "sounds (without): name sets of both, such as --data core"
            )
        colours = [mix.coloured_noise(round(HISS_S * rate), slope, seed) for slope in (0, 1, 2)]
        noises = [(Pool.of([Audio(colour, rate) for colour in colours], rate), HISS_SHARE)]
        others = clips.filter(lambda clip: not (clip.speaker or clip.text or clip.language))
        if len(others):
            noises.append((Pool(others, rate), 1 - HISS_SHARE))
        return SpeechInNoise(
            Pool(spoken, rate), noises, batch, samples, seed, plan.snr_db, rooms=rooms
        )
    found = songs(clips)
    names = sorted(found[0].stems) if found else []
    if missing := [stem for stem in separator.stems if stem not in names]:
        raise InputError(
            f"no songs with a stem {missing[0]!r}: give folders SONG/{missing[0]}.wav beside the "
            f"other stems of each song{', these have ' + ', '.join(names) if names else ''}"
        )
    pools = pools_of(found, rate, separator.channels)
    order = [*separator.stems, *(stem for stem in names if stem not in separator.stems)]
    parts = {stem: pools[stem] for stem in order}
    if learning:
        return Stems(parts, batch, samples, seed)
    return Stems(parts, batch, samples, seed, together=1.0, gains=(1.0, 1.0), augment="none")


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
    if separator.level_is_open:
        calibrate(separator, list(itertools.islice(mixtures.start_at(0), CALIBRATED)))
    with torch.no_grad():
        after = measure(model)
    told = {"held_out": after, "recipe": plan.to_dict()}
    weights.save_folder(folder, separator, {**card, **told})
    return Trained(before, after, dataclasses.replace(summary, folder=folder))


@torch.inference_mode()
def best_gain(separator: Separator, mixtures: Sequence[Batch]) -> float:
    """What estimates would have to be multiplied with, to lie nearest to their sources."""
    both, own = 0.0, 0.0
    for batch in mixtures:
        made = separator(batch["mixture"])
        wanted = batch["sources"][:, : made.shape[1]]
        if not separator.ordered:
            made = in_order(made, permutation_invariant(made.flatten(2), wanted.flatten(2))[1])
        both += float((made * wanted).sum())
        own += float(made.square().sum())
    return both / own if own > 0 else 1.0


def calibrate(separator: Separator, mixtures: Sequence[Batch]) -> None:
    """Give stems the level and the sign that they have in mixtures, by one gain for all.

    SI-SNR asks for neither: a network that it taught may well turn every wave upside down.
    """
    separator.rescale(best_gain(separator, mixtures))


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
