"""How PeriodWave is trained: flow matching, then Turbo; and its claims, at a size for two cores."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph import registry, weights
from sonograph.audio.feature_spec import Frontend
from sonograph.audio.pitch import f0_hz
from sonograph.audio.speech_features import voice_spec
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets
from sonograph.data.loader import Batches
from sonograph.errors import InputError
from sonograph.infer.vocode import vocoder_of
from sonograph.metrics.intervals import paired_interval
from sonograph.metrics.spectral_distance import feature_distance, multi_resolution_stft
from sonograph.nn.flow_matching import Solver
from sonograph.nn.vocoder import Vocoder
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished, spent, verdict_of
from sonograph.recipes.pretraining import data_of, divided
from sonograph.recipes.vocode.training import ADVERSARIAL, Plan, train_vocoder
from sonograph.records import Figure, Record
from sonograph.systems.vocode import istftnet, periodwave
from sonograph.systems.vocode.periodwave import PeriodWave, Pretraining, Sampling, Turbo
from sonograph.train.trainer import TrainConfig, Trainer

# official: AdamW at 2e-4 all the way, 32 crops of 32,768 samples on each of four GPUs
PUBLISHED = TrainConfig(
    steps=1_000_000,
    lr=2e-4,
    weight_decay=0.01,
    decay_on="all",
    schedule="constant",
    eval_every=5000,
    save_every=5000,
    log_every=200,
)
SHORT = TrainConfig(
    steps=200, lr=5e-3, clip_norm=1.0, warmup_steps=20, eval_every=100, save_every=5, log_every=1
)
TURBO = PUBLISHED.override(
    steps=1000, lr=2e-5, clip_norm=1000.0, eval_every=250, save_every=250, log_every=25
)


NEXT = "`sonograph vocode SOUND -o OUT.wav --model {0}`"  # what to try when it is trained


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Flow matching of one preset on crops."""

    batch: int = 8
    crop_frames: int = 32
    held_out_batches: int = 4
    workers: int = 0
    train: TrainConfig = SHORT


TURBO_RECIPE = Recipe(batch=8, crop_frames=128, train=TURBO)


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset: the published one, or a short one of ours."""
    config = registry.preset(name).make()
    if not isinstance(config, periodwave.Config) or config.code_rows:
        raise InputError(f"{name} does not learn by flow matching on waveforms")
    if name in ("periodwave-test", "periodwave-mini"):
        return Recipe()
    steps = 500_000 if config.features.rate_hz == 22050 else 1_000_000
    return Recipe(batch=128, crop_frames=128, train=PUBLISHED.override(steps=steps))


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """Train a preset on clips, into a run folder; started again it goes on. Returns the trainer's
    Summary. The folder then loads as a vocoder.
    """
    recipe = recipe or recipe_of(name)
    vocoder = registry.build(name, seed=recipe.train.seed)
    return train(vocoder, name, clips, Path(folder), recipe, progress)


def train(
    vocoder: PeriodWave,
    name: str,
    clips: Clips,
    folder: Path,
    recipe: Recipe,
    progress: Progress = silent,
) -> Any:
    """Flow matching in place; `folder/training` is the run, `folder` the vocoder."""
    learned, valid = divided(clips.filter(lambda clip: clip.duration_s >= 0.3))
    batches = crops(learned, vocoder, recipe, recipe.train.seed)
    kept = held_out(valid, vocoder, recipe)
    trainer = Trainer(
        Pretraining(vocoder),
        lambda model, batch, generator: model(batch, generator),
        batches,
        folder / "training",
        recipe.train,
        lambda model: {"loss": grid_loss(model.vocoder, kept)},  # type: ignore[arg-type]
        progress,
    )
    summary = trainer.run()
    weights.save_folder(folder, vocoder, card_of(name, clips, recipe, summary))
    return summary


def crops(clips: Clips, vocoder: Vocoder, recipe: Recipe, seed: int) -> Batches:
    crop_s = recipe.crop_frames * vocoder.spec.hop_samples / vocoder.spec.rate_hz
    rate = vocoder.spec.rate_hz
    return Batches(clips, recipe.batch, crop_s, rate, seed, recipe.workers, draw="seconds")


def held_out(clips: Clips, vocoder: Vocoder, recipe: Recipe) -> list[dict[str, Any]]:
    """The same crops for every model of this rate."""
    batches = crops(clips, vocoder, recipe, seed=1)
    return [batches.batch(k) for k in range(recipe.held_out_batches)]


@torch.no_grad()
def grid_loss(vocoder: PeriodWave, batches: Sequence[Mapping[str, Any]]) -> float:
    """The flow-matching loss with the same noise and times for every model.

    The clips of a batch stand at times of a grid over (0, 1), moved from batch to batch.
    """
    objective, losses = Pretraining(vocoder).eval(), []
    for k, batch in enumerate(batches):
        features = objective.frontend(batch["waveform"]).values
        noise = vocoder.draw(features, torch.Generator().manual_seed(k))
        clips = len(batch["waveform"])
        t = (torch.arange(clips) + (k + 0.5) / len(batches)) / clips
        found = periodwave.loss(vocoder, features, batch["waveform"], batch["lengths"], noise, t)
        losses.append(float(found["loss"]))
    return statistics.mean(losses)


def still_loss(vocoder: PeriodWave, batches: Sequence[Mapping[str, Any]]) -> float:
    """What `grid_loss` would be of a velocity of 0: who is not below it has learned nothing."""
    still: Any = copy.deepcopy(vocoder)
    for field in still.fields:
        nn.init.zeros_(field.final.project.weight_g)
    return grid_loss(still, batches)


def finetune_turbo(
    model: Turbo, clips: Clips, folder: Path, recipe: Recipe, progress: Progress = silent
) -> Any:
    """PeriodWave-Turbo: a trained vocoder as a generator of few fixed steps, in place.

    `TURBO_RECIPE` is the published one. Leaves a vocoder that samples so in `folder`; started
    again it goes on. Returns the trainer's Summary.
    """
    learned, valid = divided(clips.filter(lambda clip: clip.duration_s >= 0.3))
    vocoder = model.vocoder
    kept = held_out(valid, vocoder, recipe)

    def evaluate(_: nn.Module) -> dict[str, float]:
        draws = [torch.Generator().manual_seed(k) for k in range(len(kept))]
        found = [float(model.regression(b, g)["loss"]) for b, g in zip(kept, draws)]
        return {"loss": statistics.mean(found)}

    summary = Trainer(
        model,
        lambda inner, batch, generator: inner.turns(batch, generator),  # type: ignore[operator]
        crops(learned, vocoder, recipe, recipe.train.seed),
        folder / "training",
        recipe.train,
        evaluate,
        progress,
        best=None,
        turns=Turbo.TURNS,
    ).run()
    vocoder.config = dataclasses.replace(vocoder.config, sampling=model.sampling)
    weights.save_folder(folder, vocoder, card_of("periodwave-turbo", clips, recipe, summary))
    return summary


def card_of(name: str, clips: Clips, recipe: Recipe, summary: Any) -> dict[str, Any]:
    """What a run folder says about itself."""
    return {
        "name": name,
        "system": "periodwave",
        "summary": f"vocoder, flow matching on {clips.seconds / 60:.0f} min of sound",
        "data": data_of(clips),
        "steps": summary.steps,
        "seconds": round(summary.seconds, 1),
        "held_out": summary.best,
        "recipe": recipe.to_dict(),
        "licence": "Apache-2.0 for the weights; the licences of the data are listed with it",
    }


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short training of the small preset on real clips; started again it goes on."""
    recipe = Recipe(batch=4, held_out_batches=2)
    if steps is not None:
        recipe = recipe.override({"train.steps": steps})
    vocoder: Any = registry.build("periodwave-test")
    _, valid = divided(clips.filter(lambda clip: clip.duration_s >= 0.3))
    kept = held_out(valid, vocoder, recipe)
    before = grid_loss(vocoder, kept)
    summary = train(vocoder, "periodwave-test", clips, folder, recipe, progress)
    return {
        "loss_before": before,
        "loss_after": grid_loss(vocoder, kept),
        "steps": summary.steps,
        "clips_per_s": summary.clips_per_s,
    }


# --- the claim -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    width: int = 64
    updates: int = 400
    batch: int = 8
    crop_frames: int = 16
    lr: float = 1e-3  # at 8e-3 every arm falls back to the loss of no velocity at all
    seeds: int = 3
    held_out_batches: int = 8  # of the loss
    sounds: int = 6  # held-out clips that are vocoded
    sound_s: float = 1.024
    evaluations: tuple[int, ...] = (1, 2, 4, 8, 16)
    rival_channels: int = 64  # of the iSTFTNet, which all in all trains for less time
    rival_regression: int = 260
    rival_adversarial: int = 60


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(
        width=256, updates=8000, batch=32, crop_frames=64, lr=5e-4, sounds=24, sound_s=4.096,
        rival_channels=256, rival_regression=2000, rival_adversarial=4000,
    ),
}  # fmt: skip
PERIODS: Mapping[str, tuple[int, ...]] = {
    "primes": (1, 2, 3, 5, 7),
    "even numbers": (1, 2, 4, 6, 8),
    "one period": (1,),
}
RIVAL = "iSTFTNet"
QUIET = 0.01  # root mean square below which a second is no speech
WAYS: tuple[Solver, ...] = ("euler", "midpoint")
PAPER = (
    Figure("PESQ, PeriodWave with FreeU to BigVGAN", 4.248 / 4.027, unit="times"),
    Figure("pitch error, PeriodWave with FreeU", 17.4, unit="cents"),
    Figure("pitch error, BigVGAN", 25.7, unit="cents"),
    Figure("UTMOS, periods (1, 2, 3, 5, 7)", 3.5544),
    Figure("UTMOS, periods (1, 2, 4, 6, 8)", 3.5468),
)
LOSS_RULE = (
    "Models of width {width} learn from the same crops for {updates} updates each. The 95 % "
    "Student's t interval of the held-out flow-matching loss (same crops, noise and times for all) "
    "with {b} minus that with {a}, paired over {seeds} seeds, lies above 0: shown; below: not "
    "shown; else inconclusive."
)
SOUND_RULE = (
    "{sounds} held-out clips are vocoded from their own features by the models of {seeds} seeds. "
    "The 95 % Student's t interval of {what} of {b} minus that of {a}, paired by clip and seed, "
    "lies above 0: shown; below: not shown; else inconclusive."
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Periods, steps, solvers, FreeU, and a GAN vocoder beside it. Started again it goes on."""
    began, plan = time.perf_counter(), SCALES[scale]
    clips = open_sets(["asterisk-en"], data_folder)
    held = hold(plan, clips, folder, progress)
    data = tuple(row["source"] for row in data_of(clips))
    most = max(plan.evaluations)
    full, two = f"midpoint, {most} evaluations", f"euler, {most} evaluations"
    found = [
        ("claim", sounds_record(held, plan, data, full, RIVAL, "the log-mel distance", "mel",
            "Of no less training time, flow matching is nearer to speech than adversarial "
            "training.")),
        ("claim-one-period", loss_record(held, plan, data, "primes", "one period",
            "Several periods learn the velocity better than the plain waveform.")),
        ("claim-primes", loss_record(held, plan, data, "primes", "even numbers",
            "Periods that are prime learn the velocity better than even ones.")),
        ("claim-steps", sounds_record(held, plan, data, full,
            f"midpoint, {min(e for e in plan.evaluations if e > 1)} evaluations",
            "the M-STFT distance", "m_stft", "More steps give better sound.")),
        ("claim-midpoint", sounds_record(held, plan, data, full, two, "the M-STFT distance",
            "m_stft", "Midpoint steps beat Euler steps of the same cost.")),
        ("claim-freeu", sounds_record(held, plan, data, f"{full}, FreeU", full,
            "the M-STFT distance", "m_stft", "FreeU improves the sound without training.")),
    ]  # fmt: skip
    return finished(found, scale, folder, began)


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """What was measured: losses a seed, and distances of each way to make sound, clip by clip."""

    losses: dict[str, list[float]]  # of each set of periods
    seconds: dict[str, list[float]]  # of training, the same and the rival
    sounds: dict[str, dict[str, list[float]]]  # way: {measure: values of clips and seeds}
    still: list[float] = dataclasses.field(default_factory=list)  # loss of a velocity of 0


def hold(plan: Scale, clips: Clips, folder: Path, progress: Callable[[str], Progress]) -> Held:
    """Train every arm for every seed and listen to what it makes."""
    held = Held({name: [] for name in PERIODS}, {name: [] for name in (*PERIODS, RIVAL)}, {})
    _, valid = divided(clips.filter(lambda clip: clip.duration_s >= 0.3))
    sounds = speech(valid, plan)
    for seed in range(plan.seeds):
        arms = {}
        for name in PERIODS:
            arms[name], seconds = trained(name, seed, plan, clips, folder, progress)
            held.seconds[name].append(seconds)
            kept = held_out(valid, arms[name], recipe_for(plan, seed))
            held.losses[name].append(grid_loss(arms[name], kept))
        held.still.append(still_loss(arms["primes"], kept))
        rival, seconds = rival_of(seed, plan, clips, folder, progress)
        held.seconds[RIVAL].append(seconds)
        made = {RIVAL: (rival, None), **ways(arms["primes"], plan)}
        for name, (vocoder, sampling) in made.items():
            measured = distances(vocoder, sampling, sounds, seed)
            row = held.sounds.setdefault(name, {measure: [] for measure in measured})
            for measure, values in measured.items():
                row[measure] += values
    return held


def recipe_for(plan: Scale, seed: int) -> Recipe:
    train = SHORT.override(
        steps=plan.updates,
        lr=plan.lr,
        seed=seed,
        warmup_steps=plan.updates // 10,
        eval_every=0,
        save_every=100,
        log_every=10,
    )
    return Recipe(plan.batch, plan.crop_frames, plan.held_out_batches, train=train)


def trained(
    name: str,
    seed: int,
    plan: Scale,
    clips: Clips,
    folder: Path,
    progress: Callable[[str], Progress],
) -> tuple[PeriodWave, float]:
    """The vocoder of one arm, and the seconds of its training."""
    config = dataclasses.replace(periodwave.mini(), width=plan.width, periods=PERIODS[name])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vocoder = PeriodWave(config)
    place = folder / f"{name}-{seed}"
    said = progress(f"{name}, seed {seed}")
    summary = train(vocoder, place.name, clips, place, recipe_for(plan, seed), said)
    return vocoder.eval(), summary.seconds


def rival_of(
    seed: int, plan: Scale, clips: Clips, folder: Path, progress: Callable[[str], Progress]
) -> tuple[Vocoder, float]:
    """An iSTFTNet against discriminators, after a beginning by spectra; the seconds of both."""
    config = registry.preset("istftnet-voice").make()
    assert isinstance(config, istftnet.Config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vocoder = istftnet.build(dataclasses.replace(config, channels=plan.rival_channels))
    short = Plan(
        plan.batch, plan.crop_frames, held_out_batches=1, regression_steps=plan.rival_regression,
        train=ADVERSARIAL.override(
            steps=plan.rival_adversarial, seed=seed, eval_every=0, save_every=100, log_every=5
        ),
    )  # fmt: skip
    began, place = time.perf_counter(), folder / f"{RIVAL}-{seed}"
    train_vocoder(vocoder, clips, place, short, progress(f"{RIVAL}, seed {seed}"))
    return vocoder.eval(), spent(place, time.perf_counter() - began)


def speech(clips: Clips, plan: Scale) -> Float[Tensor, "sounds n"]:
    """The loudest part of each of the longest held-out clips in which there is speech."""
    rate, n = voice_spec().rate_hz, round(plan.sound_s * voice_spec().rate_hz)
    parts: list[np.ndarray] = []
    for clip in sorted(clips, key=lambda clip: (-clip.duration_s, clip.id)):
        wave = clip.read(rate)
        if len(wave) < n or len(parts) == plan.sounds:
            break
        total = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
        energy = total[n:] - total[:-n]
        start = int(energy.argmax())
        if energy[start] / n > QUIET**2:  # some prompts are recorded silence
            parts.append(wave[start : start + n])
    if len(parts) < plan.sounds:
        raise InputError(f"there are no {plan.sounds} held-out clips of {plan.sound_s:g} s")
    return torch.from_numpy(np.stack(parts))


def ways(vocoder: PeriodWave, plan: Scale) -> dict[str, tuple[Vocoder, Sampling]]:
    """Every way of sampling that is compared: a solver, how often it asks, FreeU."""
    found: dict[str, tuple[Vocoder, Sampling]] = {}
    for solver in WAYS:
        cost = Sampling(solver=solver, steps=(1,)).evaluations
        for evaluations in plan.evaluations:
            if evaluations >= cost:
                sampling = Sampling(steps=(evaluations // cost,), solver=solver)
                found[f"{solver}, {evaluations} evaluations"] = (vocoder, sampling)
    name, (_, most) = list(found.items())[-1]
    found[f"{name}, FreeU"] = (vocoder, dataclasses.replace(most, freeu=(1.1, 0.9)))
    return found


@torch.inference_mode()
def distances(
    vocoder: Vocoder, sampling: Sampling | None, sounds: Float[Tensor, "clips n"], seed: int
) -> dict[str, list[float]]:
    """How far a vocoder's sound of each clip's features lies from the clip."""
    spec, draw = vocoder.spec, torch.Generator().manual_seed(seed)
    features = Frontend(spec)(sounds).values
    inner: Any = vocoder_of(vocoder)
    if sampling is not None:
        inner.config = dataclasses.replace(inner.config, sampling=sampling)
    made = inner(features, draw)
    true = sounds[:, : made.shape[1]]
    pitch = [pitch_errors(m.numpy(), t.numpy()) for m, t in zip(made, true)]
    return {
        "m_stft": multi_resolution_stft(made, true).tolist(),
        "mel": feature_distance(made, true, spec).tolist(),
        "cents": [cents for cents, _ in pitch],
        "voicing": [f1 for _, f1 in pitch],
    }


def pitch_errors(
    made: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]
) -> tuple[float, float]:
    """(root mean square error in cents over frames voiced in both, F1 of voiced frames).

    Where none is voiced in both, the error is 1200 cents: an octave.
    """
    spec = voice_spec()
    a, b = f0_hz(made, spec), f0_hz(true, spec)
    both = (a > 0) & (b > 0)
    f1 = 2 * both.sum() / max(1, (a > 0).sum() + (b > 0).sum())
    if not both.any():
        return 1200.0, float(f1)
    return float(np.sqrt(np.mean((1200 * np.log2(a[both] / b[both])) ** 2))), float(f1)


UNITS = {"m_stft": "", "mel": "ln", "cents": "cents", "voicing": ""}
WORDS = {"m_stft": "M-STFT", "mel": "log-mel distance", "cents": "pitch error",
         "voicing": "voicing F1"}  # fmt: skip


def sounds_record(
    held: Held,
    plan: Scale,
    data: tuple[str, ...],
    a: str,
    b: str,
    what: str,
    measure: str,
    sentence: str,
) -> Record:
    """Whether way a is nearer to the clips than way b."""
    gain = paired_interval(held.sounds[b][measure], held.sounds[a][measure])
    rows = [
        Figure(f"{name}: {WORDS[key]}", statistics.mean(values), unit=UNITS[key])
        for name, row in held.sounds.items()
        for key, values in row.items()
    ]
    rows += [
        Figure(f"{name}: training", statistics.mean(held.seconds[name]), unit="s")
        for name in ("primes", RIVAL)
    ]
    rule = SOUND_RULE.format(sounds=plan.sounds, seeds=plan.seeds, what=what, a=a, b=b)
    figure = Figure(f"{b} minus {a}", gain.mean, gain.low, gain.high, UNITS[measure])
    return record_of(plan, data, sentence, rule, gain, (a, b), (figure, *rows), held.sounds)


def loss_record(
    held: Held, plan: Scale, data: tuple[str, ...], a: str, b: str, sentence: str
) -> Record:
    """Whether periods a learn the velocity better than periods b."""
    gain = paired_interval(held.losses[b], held.losses[a])
    learned = {**held.losses, "no velocity at all": held.still}
    rows = [Figure(f"{n}, held-out loss", statistics.mean(v)) for n, v in learned.items()]
    rows += [
        Figure(f"{n}, training", statistics.mean(held.seconds[n]), unit="s") for n in held.losses
    ]
    rule = LOSS_RULE.format(
        width=plan.width, updates=plan.updates, seeds=plan.seeds,
        a=f"periods {PERIODS[a]}", b=f"periods {PERIODS[b]}",
    )  # fmt: skip
    figure = Figure(f"{b} minus {a}", gain.mean, gain.low, gain.high)
    return record_of(plan, data, sentence, rule, gain, (a, b), (figure, *rows), held.losses)


def record_of(
    plan: Scale,
    data: tuple[str, ...],
    sentence: str,
    rule: str,
    gain: Any,
    arms: tuple[str, str],
    measured: tuple[Figure, ...],
    values: Mapping[str, Any],
) -> Record:
    return Record(
        system="periodwave",
        kind="claim",
        sentence=sentence,
        rule=rule,
        verdict=verdict_of(gain),
        measured=measured,
        paper=PAPER,
        arms=arms,
        data=data,
        seeds=tuple(range(plan.seeds)),
        details={"scale": plan.to_dict(), "periods": dict(PERIODS), "values": dict(values)},
    )
