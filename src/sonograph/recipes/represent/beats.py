"""How BEATs is pre-trained: tokenizer and encoder in turns, as one run that resumes.

    sonograph train beats-mini --data core --set iterations=3

The stages of a run lie in its folder: `stages/1-encoder` (labels of a random projection),
`stages/2-tokenizer` (distilled from that encoder), `stages/2-encoder`, and so on; the last encoder
is the run folder itself. A stage that is finished is not trained again.

Published presets carry the paper's schedule (400,000 updates an iteration, 5,600 s of sound each,
peak rate 5e-4) with warm-up, betas and decay of ours, which the paper does not give. Of tokenizers
of full size ESPnet's re-implementation reports that they need `commitment=10`, ten times the
paper's; at the size of `beats-mini` 1 kept twice as many codes in use, so the paper's stands.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.metrics.intervals import paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes import pretraining
from sonograph.recipes.arms import (
    CORE_QUESTIONS,
    Way,
    compare,
    difference,
    finished,
    lesson,
    once,
    values_of,
)
from sonograph.recipes.pretraining import card_of, data_of
from sonograph.records import Figure, Record
from sonograph.registry import build, preset
from sonograph.systems.represent import beats
from sonograph.train.finetune import Finetune
from sonograph.train.plan import agree
from sonograph.train.trainer import TrainConfig


@dataclasses.dataclass(frozen=True)
class Recipe(pretraining.Recipe):
    """Iterations of one preset; `train` is the schedule of each stage."""

    iterations: int = 1  # encoders in all; between two lies a tokenizer
    tokenizer_steps: int = 0  # 0: as many updates as an encoder gets
    teacher: str = ""  # a model that teaches the last tokenizer, a fine-tuned one for iter3+

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.tokenizer_steps < 0:
            raise InputError(
                f"{self.iterations} iterations with {self.tokenizer_steps} updates of a tokenizer: "
                "give 1 iteration or more, 0 updates or more"
            )
        if self.teacher and self.iterations == 1:
            raise InputError("a teacher teaches a tokenizer: give iterations=2 or more")


def published(iterations: int) -> Recipe:
    """560 clips of ten seconds an update; 400,000 updates of every stage."""
    return Recipe(
        batch=560,
        draw="clips",
        crop_s=10.0,
        workers=8,
        iterations=iterations,
        train=TrainConfig(
            steps=400_000,
            optimizer="adamw",
            lr=5e-4,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            warmup_steps=32_000,
            clip_norm=1.0,
            precision="bf16",
            eval_every=4000,
            save_every=4000,
        ),
    )


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset."""
    if name == "beats-test":
        return Recipe().override({"train.eval_every": 100, "train.steps": 1000})
    if name == "beats-mini":
        return Recipe(iterations=2)
    if name == "beats-small":
        return Recipe(batch=64, iterations=2, workers=8).override(
            {"train.steps": 10_000, "train.precision": "bf16", "train.eval_every": 1000}
        )
    return published(next((k for k in (1, 2, 3) if name.endswith(f"iter{k}")), 3))


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """All iterations of a preset on clips, into a run folder; started again it goes on.

    A tenth of the recordings (by group) is held out to measure the losses. Returns the Summary of
    the last encoder's training. The folder then loads like any model, and so does every stage.
    """
    recipe, folder = recipe or recipe_of(name), Path(folder)
    config = preset(name).make()
    if not isinstance(config, beats.Config) or config.form != "encoder":
        raise InputError(
            f"{name} is no encoder to pre-train: train beats-base-iter3, and its tokenizers are "
            "trained on the way; a tagger is an encoder that was adapted"
        )
    stages = folder / "stages"
    if recipe.iterations > 1:
        plan = {"iterations": recipe.iterations, "tokenizer_steps": recipe.tokenizer_steps}
        stages.mkdir(parents=True, exist_ok=True)
        agree(stages, {**plan, "teacher": recipe.teacher})
    tokenizer: beats.Tokenizer | None = None
    for number in range(1, recipe.iterations):
        encoder = _encoder(name, config, clips, stages, number, tokenizer, recipe, progress)
        if recipe.teacher and number == recipe.iterations - 1:
            taught: Any = weights.load(recipe.teacher)
            encoder = getattr(taught, "encoder", taught)
        tokenizer = _tokenizer(name, config, clips, stages, number + 1, encoder, recipe, progress)
    model = _pretraining(config, tokenizer, recipe)
    return pretraining.pretrain(name, model, clips, folder, recipe, progress=progress)


def _pretraining(
    config: beats.Config, tokenizer: beats.Tokenizer | None, recipe: Recipe
) -> beats.Pretraining:
    """An objective with a new encoder, taught by this tokenizer if there is one."""
    torch.manual_seed(recipe.train.seed)
    if tokenizer is None:
        return beats.Pretraining(beats.BEATs(config))
    config = dataclasses.replace(config, targets="distilled")
    return beats.Pretraining(beats.BEATs(config)).teach(tokenizer)


def _encoder(
    name: str,
    config: beats.Config,
    clips: Clips,
    stages: Path,
    number: int,
    tokenizer: beats.Tokenizer | None,
    recipe: Recipe,
    progress: Progress,
) -> beats.BEATs:
    """The encoder of an iteration that is not the last."""
    place = stages / f"{number}-encoder"
    if not (place / weights.CONFIG).is_file():
        model = _pretraining(config, tokenizer, recipe)
        tell = _named(progress, f"encoder {number} of {recipe.iterations}")
        pretraining.pretrain(name, model, clips, place, recipe, progress=tell)
    return weights.load_folder(place).encoder  # type: ignore[return-value]


def _tokenizer(
    name: str,
    config: beats.Config,
    clips: Clips,
    stages: Path,
    number: int,
    teacher: beats.BEATs,
    recipe: Recipe,
    progress: Progress,
) -> beats.Tokenizer:
    """The tokenizer of an iteration, distilled from the encoder before it."""
    place = stages / f"{number}-tokenizer"
    if not (place / weights.CONFIG).is_file():
        torch.manual_seed(recipe.train.seed)
        tokenizer = beats.Tokenizer(dataclasses.replace(config, form="tokenizer"))
        model = beats.Distillation(tokenizer, teacher)
        steps = recipe.tokenizer_steps or recipe.train.steps
        warmup = min(recipe.train.warmup_steps, max(1, steps // 10))
        shorter = recipe.override({"train.steps": steps, "train.warmup_steps": warmup})
        tell = _named(progress, f"tokenizer {number} of {recipe.iterations}")
        summary = pretraining.pretrain(
            name, model, clips, place / "training", shorter, progress=tell
        )
        card = card_of(name, model, clips, shorter, summary)
        hours = clips.seconds / 3600
        card["summary"] = f"BEATs tokenizer, distilled on {hours:.1f} h of sound"
        weights.save_folder(place, tokenizer, card)
    return weights.load_folder(place)  # type: ignore[return-value]


def _named(progress: Progress, stage: str) -> Progress:
    """The same progress, saying which stage it is."""

    def tell(done: float, total: float | None, note: str = "") -> None:
        progress(done, total, f"{stage} · {note}")

    return tell if progress is not silent else silent


# --- the claim -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    preset: str
    updates: int  # of an encoder in one iteration
    tokenizer_updates: int
    adapt_updates: int  # of few-label fine-tuning
    batch: int = 32
    lr: float = 1e-3
    labels: int = 10  # clips of a class that fine-tuning has; the probe has all
    probe_updates: int = 200
    seeds: int = 3

    @property
    def chain(self) -> int:
        """All updates that lead to the second iteration's encoder."""
        return 2 * self.updates + self.tokenizer_updates


SCALES = {
    "cpu": Scale("beats-mini", updates=150, tokenizer_updates=80, adapt_updates=30, batch=24),
    "gpu": Scale(
        "beats-small", updates=6000, tokenizer_updates=4000, adapt_updates=300, batch=64, lr=5e-4
    ),
}
ARMS = ("reconstruction", "first", "first-long", "second", "untrained")
PAPER = (
    Figure("AudioSet-20K, first iteration", 36.0, unit="mAP"),
    Figure("AudioSet-20K, second iteration", 38.3, unit="mAP"),
    Figure("AudioSet-20K, third iteration, tokenizer from a fine-tuned model", 38.9, unit="mAP"),
    Figure("AudioSet-2M, AudioMAE-Large (masked reconstruction)", 47.4, unit="mAP"),
    Figure("AudioSet-2M, third iteration, tokenizer from a fine-tuned model", 48.6, unit="mAP"),
    Figure("AudioSet-20K, first iteration, reproduced by ESPnet", 29.72, unit="mAP"),
    Figure("AudioSet-20K, second iteration, reproduced by ESPnet", 31.26, unit="mAP"),
)
RULE = (
    "The accuracy of an arm in a task, for a seed, is the mean of two: a linear probe of frozen "
    "vectors with all labels, and fine-tuning with {labels} clips a class. The 95 % Student's t "
    "interval of the difference ({a} minus {b}), paired by task and seed over {pairs} pairs, lies "
    "above 0: shown; below 0: not shown; else inconclusive. Both arms get {updates} updates of "
    "{batch} clips in all{more}; seed s learns on split s, whose recordings are on one side only."
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Labels against reconstruction, and the second iteration against the first.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    clips = corpora.open_sets(["core"], data_folder)
    config = preset(plan.preset).make()
    assert isinstance(config, beats.Config)
    seeds = range(plan.seeds)
    taught: dict[tuple[str, int], beats.BEATs] = {}
    labels: dict[str, list[dict[str, float]]] = {}
    for seed in seeds:
        places = _runs(plan, config, clips, folder, seed, progress)
        for arm, place in places.items():
            model: Any = weights.load_folder(place)
            taught[arm, seed] = model.encoder
            labels.setdefault(arm, []).append(model.card["held_out"])
        taught["untrained", seed] = build(plan.preset, seed=seed)

    asked: dict[str, dict[str, Any]] = {}
    for how, few in (("probe", None), ("tuned", plan.labels)):
        ways = [Way(arm, arm, _start(taught, arm), _lesson(how, plan)) for arm in ARMS]
        asked[how] = compare(
            CORE_QUESTIONS,
            clips,
            config.features,
            config.frames,
            ways,
            seeds,
            folder / how,
            progress,
            few,
        )
    both = {
        task: {
            arm: np.mean([asked[how][task][arm] for how in asked], axis=0).tolist() for arm in ARMS
        }
        for task in asked["probe"]
    }
    details = {"scale": plan.to_dict(), "held_out": labels, **asked}
    long = ", those of the first encoder and of the tokenizer counted in"
    pairs = [
        ("claim", "first", "reconstruction", LABELS, plan.updates, ""),
        ("claim-second-iteration", "second", "first-long", SECOND, plan.chain, long),
    ]
    found = []
    for file, a, b, sentence, updates, more in pairs:
        verdict, count, figures = difference(a, b, both, also=("untrained",))
        same = paired_interval(values_of(both, "second"), values_of(both, "first"))
        extra = [
            Figure("second minus first, equal encoder updates", same.mean, same.low, same.high)
        ]
        record = Record(
            system="beats",
            kind="claim",
            sentence=sentence,
            rule=RULE.format(
                a=a,
                b=b,
                pairs=count,
                labels=plan.labels,
                updates=updates,
                batch=plan.batch,
                more=more,
            ),
            verdict=verdict,
            measured=(
                *figures,
                *(extra if a == "second" else ()),
                *(
                    Figure(f"codes in use, {arm}", _perplexity(labels[arm]), unit="perplexity")
                    for arm in ("first", "second")
                ),
            ),
            paper=PAPER,
            arms=ARMS,
            data=tuple(row["source"] for row in data_of(clips)),
            seeds=tuple(seeds),
            details=details,
        )
        found.append((file, record))
    return finished(found, scale, folder, began)


LABELS = "Predicting discrete labels teaches an encoder more than painting the hidden patches."
SECOND = "A second iteration, with a tokenizer distilled from the first encoder, teaches it more."


def _runs(
    plan: Scale,
    config: beats.Config,
    clips: Clips,
    folder: Path,
    seed: int,
    progress: Callable[[str], Progress],
) -> dict[str, Path]:
    """Pre-train every arm of a seed: {arm: its folder}. The masks of all arms are the same."""
    places = {}
    for arm, updates in (
        ("reconstruction", plan.updates),
        ("first-long", plan.chain),
        ("second", plan.updates),
    ):
        recipe = Recipe(
            batch=plan.batch,
            iterations=2 if arm == "second" else 1,
            tokenizer_steps=plan.tokenizer_updates,
        ).override({"train.lr": plan.lr})
        recipe = once(recipe, updates, seed)
        place, tell = folder / f"pretrain-{arm}-{seed}", progress(f"{arm}, seed {seed}")
        if arm == "reconstruction":
            torch.manual_seed(seed)
            painter = beats.BEATs(dataclasses.replace(config, targets="patches"))
            objective = beats.Pretraining(painter)
            pretraining.pretrain(plan.preset, objective, clips, place, recipe, progress=tell)
        else:
            pretrain(plan.preset, clips, place, recipe, tell)
        places[arm] = place
    places["first"] = places["second"] / "stages" / "1-encoder"
    return places


def _start(taught: dict[tuple[str, int], beats.BEATs], arm: str) -> Callable[[int], Any]:
    return lambda seed: taught[arm, seed]


def _lesson(how: str, plan: Scale) -> Finetune:
    """How the labelled tasks are asked."""
    steps = plan.probe_updates if how == "probe" else plan.adapt_updates
    lr = 1e-2 if how == "probe" else plan.lr
    taught = lesson(16, steps, lr)
    return dataclasses.replace(taught, method="linear") if how == "probe" else taught


def _perplexity(held_out: list[dict[str, float]]) -> float:
    return float(np.mean([values["perplexity"] for values in held_out]))
