"""MossFormer2: a short training on talkers, and the claim that its recurrent block pays."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sonograph.config import Config
from sonograph.data.clips import Clip, Clips
from sonograph.data.corpora import open_sets
from sonograph.data.mixtures import Batch, Pool, Talkers
from sonograph.errors import InputError
from sonograph.metrics.intervals import mean_interval, paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished, verdict_of
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.separate.quality import measure
from sonograph.recipes.separate.training import Plan, train_separator, trained
from sonograph.records import Figure, Record
from sonograph.systems.separate import mossformer2
from sonograph.systems.separate.mossformer2 import Learned, MossFormer2, Net
from sonograph.train.config import TrainConfig
from sonograph.train.trainer import Summary

NEXT = "`sonograph separate SOUND -o FOLDER --model {0}`"  # what to try when it is trained
CORPORA = ("asterisk-en", "asterisk-es", "asterisk-fr", "asterisk-it", "asterisk-ru", "gcin")
SHORTEST_S = 0.6  # of an utterance that is mixed
FEW = 240  # clips at most of each part of a short training


SHORT = Plan(
    crop_s=1.0,
    held_out_batches=4,
    train=TrainConfig(
        steps=80, lr=2e-3, clip_norm=5.0, schedule="constant", eval_every=40, save_every=5,
        log_every=1,
    ),
)  # fmt: skip
# section 3.1: 200 epochs of 20,000 mixtures one by one; halved where validation stands still
PUBLISHED = Plan(
    batch=1,
    crop_s=2.0,
    held_out_batches=100,
    train=TrainConfig(
        steps=4_000_000, optimizer="adam", lr=15e-5, weight_decay=0.0, clip_norm=5.0,
        schedule="plateau", patience=2, lr_decay=0.5, eval_every=20_000, save_every=2000,
    ),
)  # fmt: skip


def recipe_of(name: str) -> Plan:
    """The recipe that belongs to a preset: the paper's, but for the small ones of the house."""
    if name.endswith("-test"):
        return SHORT
    if name == "mossformer2-talkers":
        return Plan(crop_s=2.0)
    if name == "mossformer2-enhancer":
        return Plan(batch=8)
    return PUBLISHED


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Plan | None = None,
    progress: Progress = silent,
) -> Summary:
    """Train a preset into a folder, on what the clips tell (`mixtures_of`); again it goes on."""
    return trained(name, clips, Path(folder), recipe or recipe_of(name), progress).summary


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short training of the small preset on two talkers; started again it goes on.

    Recordings (groups) that are held out tell the loss before and after.
    """
    recipe = SHORT if steps is None else SHORT.override({"train.steps": steps})
    kept = {clip.id for part in ("train", "valid") for clip in some_of(clips.split(part))}
    few = clips.filter(lambda clip: clip.id in kept)
    return trained("mossformer2-test", few, folder, recipe, progress).told()


def some_of(clips: Clips, most: int = FEW) -> list[Clip]:
    """At most so many clips, from all over the list, which may begin with one speaker."""
    return list(clips)[:: max(1, -(-len(clips) // most))]


# --- the claim -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    width: int = 64
    pairs: int = 3  # of an attention and a recurrent block; the other arm has twice the attention
    recurrent_width: int = 64
    query_width: int = 64
    group_frames: int = 128
    filters: int = 128
    filter_samples: int = 32
    batch: int = 4
    seconds: float = 1.0
    seeds: int = 4
    tested: int = 40  # mixtures
    tested_s: float = 3.0
    train: TrainConfig = TrainConfig(
        steps=300, lr=2e-3, clip_norm=5.0, warmup_steps=30, lr_floor=0.05, save_every=100
    )

    def arm(self, name: str) -> mossformer2.Config:
        """MossFormer2, or MossFormer with as many weights: attention in every block's place."""
        pairs = self.pairs if name == WITH else 2 * self.pairs
        net = Net(
            width=self.width,
            depth=pairs,
            recurrence="dilated" if name == WITH else "none",
            recurrent_width=self.recurrent_width,
            query_width=self.query_width,
            group_frames=self.group_frames,
            dropout=0.0,
        )
        front = Learned(filters=self.filters, filter_samples=self.filter_samples)
        return mossformer2.Config(front=front, net=net)


WITH, WITHOUT = "with the recurrent block", "attention alone"
MATCHED = 0.02  # by how much of it the arms' counts of weights may differ
SCALES = {
    "cpu": Scale(),
    "gpu": Scale(
        width=256, pairs=6, recurrent_width=256, query_width=128, group_frames=256, filters=256,
        filter_samples=16, batch=16, seconds=2.0, seeds=3, tested=200,
        train=TrainConfig(
            steps=5000, lr=5e-4, clip_norm=5.0, warmup_steps=200, lr_floor=0.05, save_every=500,
            precision="bf16",
        ),
    ),
}  # fmt: skip
PAPER = (
    Figure("WSJ0-2mix, MossFormer2 (55.7 M)", 24.1, unit="dB SI-SDR improvement"),
    Figure("WSJ0-2mix, MossFormer (42.1 M)", 22.8, unit="dB SI-SDR improvement"),
    Figure("gain", 1.3, unit="dB"),
)
RULE = (
    "The 95 % Student's t interval of the difference in SI-SDR improvement in dB ({a} minus {b}), "
    "paired over {seeds} seeds, each the mean of {tested} mixtures of two talkers of recordings "
    "that neither arm heard, lies above 0: shown; below 0: not shown; else inconclusive. Both arms "
    "have as many weights (within 2 %) and learn from the same batches in as many updates."
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """With and without the recurrent block, beside the mixture as it is and an oracle's mask.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    clips = open_sets(list(CORPORA), data_folder).filter(lambda c: c.duration_s >= SHORTEST_S)
    return finished([(NAME, compared(plan, clips, folder, progress))], scale, folder, began)


NAME = "claim"


def compared(
    plan: Scale,
    clips: Clips,
    folder: Path,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> Record:
    """Both arms of a plan trained and measured: the record, but for the time it took."""
    rate = plan.arm(WITH).rate_hz
    counts = {name: count(mossformer2.build(plan.arm(name))) for name in (WITH, WITHOUT)}
    if abs(counts[WITH] / counts[WITHOUT] - 1) > MATCHED:
        raise InputError(f"the arms differ in size: {counts}")
    pools = {part: Pool(clips.split(part), rate) for part in ("train", "valid", "test")}
    samples = round(plan.seconds * rate)
    held_out = [Talkers(pools["valid"], 2, 4, samples, 1).batch(k) for k in range(4)]
    test = Talkers(pools["test"], 2, 1, round(plan.tested_s * rate), 2)
    mixtures = [test.batch(k) for k in range(plan.tested)]
    rows: dict[str, list[dict[str, Any]]] = {WITH: [], WITHOUT: []}
    models: dict[str, MossFormer2] = {}
    for seed in range(plan.seeds):
        batches = Talkers(pools["train"], 2, plan.batch, samples, seed)
        for name in (WITH, WITHOUT):
            torch.manual_seed(seed)
            models[name] = mossformer2.build(plan.arm(name))
            place = folder / f"{'with' if name == WITH else 'without'}-{seed}"
            train = plan.train.override(seed=seed)
            card = {"system": "mossformer2", "arm": name, "seed": seed}
            tell = progress(f"{name}, seed {seed}")
            found = train_separator(
                models[name], batches, held_out, place, train, card, tell
            ).summary
            rows[name].append(
                {
                    **measure(models[name].cpu().eval(), mixtures),
                    "step_s": found.seconds / max(1, found.steps),
                }
            )
    return told(plan, clips, rows, counts, costs(models, mixtures))


def count(model: MossFormer2) -> int:
    return sum(p.numel() for p in model.parameters())


@torch.inference_mode()
def costs(models: dict[str, MossFormer2], mixtures: list[Batch]) -> dict[str, float]:
    """Processor seconds for a second of sound, each the best of five in turns."""
    sound = torch.cat([batch["mixture"] for batch in mixtures[:3]], dim=2)
    best = dict.fromkeys(models, float("inf"))
    for _ in range(5):
        for name, model in models.items():
            began = time.process_time()
            model(sound)
            spent = (time.process_time() - began) * model.rate_hz / sound.shape[2]
            best[name] = min(best[name], spent)
    return best


def told(
    plan: Scale,
    clips: Clips,
    rows: dict[str, list[dict[str, Any]]],
    counts: dict[str, int],
    cost: dict[str, float],
) -> Record:
    """What was measured, as a record."""
    gains = {name: [row["si_sdr_improvement"]["mean"] for row in of] for name, of in rows.items()}
    gain = paired_interval(gains[WITH], gains[WITHOUT])
    unit = "dB SI-SDR improvement"
    first = rows[WITH][0]
    oracle = first["oracle mask"]["si_sdr"] - first["mixture"]["si_sdr"]
    figures = [Figure(f"{WITH} minus {WITHOUT}", gain.mean, gain.low, gain.high, "dB")]
    for name, of in gains.items():
        around = mean_interval(of)
        figures.append(Figure(name, around.mean, around.low, around.high, unit))
    figures += [
        Figure("unprocessed mixture", first["mixture"]["si_sdr"], unit="dB SI-SDR"),
        Figure("oracle mask", oracle, unit=unit),
    ]
    for name, of in rows.items():
        figures += [
            Figure(f"{name}: weights", counts[name]),
            Figure(f"{name}: processor time for a second of sound", cost[name], unit="s"),
            Figure(f"{name}: an update", statistics.mean(row["step_s"] for row in of), unit="s"),
        ]
    return Record(
        system="mossformer2",
        kind="claim",
        sentence="A recurrent block without recurrence (gated, dilated FSMN) beside each attention "
        "block separates talkers better than attention alone.",
        rule=RULE.format(a=WITH, b=WITHOUT, seeds=plan.seeds, tested=plan.tested),
        verdict=verdict_of(gain),
        measured=tuple(figures),
        paper=PAPER,
        arms=(WITH, WITHOUT),
        data=tuple(row["source"] for row in data_of(clips)),
        seeds=tuple(range(plan.seeds)),
        details={"scale": plan.to_dict(), "improvements": gains},
    )
