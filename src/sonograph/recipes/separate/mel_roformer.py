"""Mel-RoFormer beside BS-RoFormer's bands: a short training, and the claim at equal compute."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sonograph import registry, weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets
from sonograph.data.mixtures import Mixtures, Pool, SpeechInNoise, songs
from sonograph.errors import InputError
from sonograph.metrics.intervals import paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished, verdict_of
from sonograph.recipes.pretraining import data_of, divided
from sonograph.recipes.separate.quality import measure
from sonograph.recipes.separate.training import (
    Plan,
    mixtures_of,
    pretrain,
    recipe_of,
    train_separator,
)
from sonograph.recipes.separate.transcription import transcription_records
from sonograph.records import Figure, Record
from sonograph.systems.separate import mel_roformer
from sonograph.train.config import TrainConfig

__all__ = ["NEXT", "SCALES", "Scale", "claim", "fit", "pretrain", "recipe_of"]

NEXT = "`sonograph separate SOUND -o FOLDER --model {0}`"  # what to try when it is trained
SHORT = Plan(
    batch=2,
    crop_s=1.0,
    held_out_batches=4,
    train=TrainConfig(
        steps=120, lr=1e-3, clip_norm=5.0, warmup_steps=10, eval_every=60, save_every=5, log_every=1
    ),
)


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short training of the small preset; started again it goes on.

    Of songs it learns their first stem; of other clips, voices out of other sounds.
    """
    plan = SHORT if steps is None else SHORT.override({"train.steps": steps})
    found = songs(clips)
    config: Any = registry.preset("mel-roformer-test").make()
    if found:
        clips = clips.filter(lambda clip: "stem" in clip.labels)
        config = config.override(stems=(sorted(found[0].stems)[0],), rest=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.train.seed)
        separator = mel_roformer.build(config)
    train, valid = divided(clips)

    def mixtures(some: Clips, seed: int, learning: bool) -> Mixtures:
        if found:
            return mixtures_of(separator, some, plan, seed, learning)
        return voices_in_music(some, some, config.rate_hz, plan.batch, plan.crop_s, seed)

    held_out = mixtures(valid, plan.train.seed + 1, learning=False)
    return train_separator(
        separator,
        mixtures(train, plan.train.seed, learning=True),
        [held_out.batch(k) for k in range(plan.held_out_batches)],
        folder,
        plan.train,
        {"name": folder.name, "data": data_of(clips)},
        progress,
    ).told()


def voices_in_music(
    voices: Clips, others: Clips, rate_hz: int, batch: int, seconds: float, seed: int
) -> SpeechInNoise:
    """(voice, other sound) at -5 to 5 dB: clips with a speaker or a text, and clips without."""
    spoken = voices.filter(lambda clip: bool(clip.speaker or clip.text))
    others = others.filter(lambda clip: not (clip.speaker or clip.text or clip.language))
    if not len(spoken) or not len(others):
        raise InputError(
            f"{len(spoken)} clips of voices and {len(others)} of other sounds: both are needed; "
            "or give songs with stems"
        )
    return SpeechInNoise(
        Pool(spoken, rate_hz), [(Pool(others, rate_hz), 1.0)], batch, round(seconds * rate_hz),
        seed, snr_db=(-5.0, 5.0),
    )  # fmt: skip


# --- the claim -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    seeds: int = 3
    rate_hz: int = 16_000
    fft_samples: int = 512
    hop_samples: int = 256
    num_bands: int = 24
    width: int = 48
    depth: int = 2
    num_heads: int = 4
    head_width: int = 12
    mask_times: int = 2
    crop_s: float = 2.0
    batch: int = 4
    updates: int = 140  # of the mel arm; the other gets more, for equal multiplications
    lr: float = 2e-3
    measured: int = 40  # held-out mixtures of 4 s


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(
        rate_hz=24_000, fft_samples=1024, hop_samples=480, num_bands=32, width=128, depth=4,
        num_heads=8, head_width=16, mask_times=4, crop_s=4.0, batch=16, updates=4000, lr=5e-4,
        measured=200,
    ),
}  # fmt: skip
VOICES = ("asterisk-en", "asterisk-es", "asterisk-fr", "asterisk-it", "asterisk-ru")
MUSIC = ("asterisk-moh", "fretsonfire-sectoid")
# the last piece of each set is never learned from
HELD_OUT_MUSIC = ("moh/manolo_camp-morning_coffee", "frets/War of freedom")
MEASURED_S = 4.0
MEL, HAND = "mel bands", "hand-made bands"
RULE = (
    "Two separators, alike but for the layout of their {bands} bands, learn from the same mixtures "
    "in the same order, for equal numbers of multiplications: overlapping bands need more a frame, "
    "so the others get more updates. The 95 % Student's t interval of the difference of their mean "
    "SI-SDR improvements on held-out mixtures, mel minus hand-made, paired over {seeds} seeds, "
    "lies above 0: shown; below: not shown; else inconclusive."
)
PAPER = (
    Figure("BS-RoFormer, 6 layers, mean of four stems of MUSDB18-HQ", 9.80, unit="dB SDR"),
    Figure("Mel-RoFormer, vocals of MUSDB18-HQ", 12.08, unit="dB SDR"),
)


def arms(plan: Scale) -> dict[str, mel_roformer.Config]:
    """The two separators: one trunk, two layouts."""
    mel = mel_roformer.Config(
        rate_hz=plan.rate_hz, channels=1, fft_samples=plan.fft_samples,
        hop_samples=plan.hop_samples, num_bands=plan.num_bands, width=plan.width, depth=plan.depth,
        num_heads=plan.num_heads, head_width=plan.head_width, mask_depth=1,
        mask_times=plan.mask_times, window_frames=round(8 * plan.rate_hz / plan.hop_samples),
        loss_windows=tuple(plan.fft_samples * 2 // k for k in (1, 2, 4)),
        loss_hops=(plan.hop_samples, plan.hop_samples // 2, plan.hop_samples // 2),
    )  # fmt: skip
    return {MEL: mel, HAND: mel.override(bands="hand")}


def multiplications(config: mel_roformer.Config) -> int:
    """A frame's, of the maps of bands and of the linear maps of the layers; attention's products
    are equal in both arms.
    """
    model = mel_roformer.build(config)
    banded = [*model.split.parameters(), *model.heads.parameters()]
    shared = [p for layer in model.layers for p in layer.parameters()]
    return sum(p.numel() for p in banded) + config.num_bands * sum(p.numel() for p in shared)


def updates_of(plan: Scale) -> dict[str, int]:
    """Updates of each arm that cost the same."""
    cost = {name: multiplications(config) for name, config in arms(plan).items()}
    return {name: round(plan.updates * cost[MEL] / cost[name]) for name in cost}


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Both layouts, trained alike from several starts; then notes from separator weights.

    Started again it goes on.
    """
    began, plan = time.perf_counter(), SCALES[scale]
    voices = open_sets(list(VOICES), data_folder).filter(lambda clip: clip.duration_s >= 0.6)
    music = open_sets(list(MUSIC), data_folder)
    learned = music.filter(lambda clip: clip.group not in HELD_OUT_MUSIC)
    kept = music.filter(lambda clip: clip.group in HELD_OUT_MUSIC)
    held_out = voices_in_music(voices.split("test"), kept, plan.rate_hz, 1, MEASURED_S, 1000)
    tests = [held_out.batch(k) for k in range(plan.measured)]
    mixtures = voices_in_music(
        voices.split("train"), learned, plan.rate_hz, plan.batch, plan.crop_s, 0
    )
    updates, seeds = updates_of(plan), tuple(range(plan.seeds))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in updates}
    for seed in seeds:
        mixtures.seed = seed
        for name, config in arms(plan).items():
            place = folder / f"{name.replace(' ', '-')}-{seed}"
            told = progress(f"{name}, seed {seed}")
            found[name].append(
                learned_and_measured(
                    config, mixtures, tests, place, updates[name], seed, plan, told
                )
            )
    record = record_of(found, updates, plan, data_of(voices + music), seeds)
    own = finished([("claim", record)], scale, folder, began)
    return [*own, *transcription_records(scale, folder / "notes", data_folder, progress)]


def learned_and_measured(
    config: mel_roformer.Config,
    mixtures: Mixtures,
    tests: list[dict[str, torch.Tensor]],
    place: Path,
    updates: int,
    seed: int,
    plan: Scale,
    progress: Progress,
) -> dict[str, Any]:
    """One arm from one start: what it is worth on the held-out mixtures at the end of its run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        separator = mel_roformer.build(config)
    train = TrainConfig(
        steps=updates, lr=plan.lr, seed=seed, clip_norm=5.0, warmup_steps=max(1, updates // 10),
        lr_floor=0.02, eval_every=0, save_every=40, log_every=20,
    )  # fmt: skip
    card = {"name": place.name}
    summary = train_separator(separator, mixtures, tests[:2], place, train, card, progress).summary
    loaded: Any = weights.load(place)
    return {**measure(loaded, tests), "seconds_of_training": summary.seconds}


def record_of(
    found: dict[str, list[dict[str, Any]]],
    updates: dict[str, int],
    plan: Scale,
    data: list[dict[str, Any]],
    seeds: tuple[int, ...],
) -> Record:
    gains = {name: [one["si_sdr_improvement"]["mean"] for one in of] for name, of in found.items()}
    difference = paired_interval(gains[MEL], gains[HAND])
    first = found[MEL][0]
    mixture = first["mixture"]["si_sdr"]
    rows = [
        *(
            Figure(f"{name}, SI-SDR improvement", statistics.mean(values), unit="dB")
            for name, values in gains.items()
        ),
        Figure("ideal ratio mask, SI-SDR improvement", first["oracle mask"]["si_sdr"] - mixture,
               unit="dB"),
        Figure("unprocessed mixture, SI-SDR", mixture, unit="dB"),
        *(Figure(f"{name}, updates", count) for name, count in updates.items()),
    ]  # fmt: skip
    sizes = {
        name: sum(p.numel() for p in mel_roformer.build(config).parameters())
        for name, config in arms(plan).items()
    }
    rows += [Figure(f"{name}, parameters", size) for name, size in sizes.items()]
    return Record(
        system="mel_roformer",
        kind="claim",
        sentence="Overlapping mel bands separate a voice from music better than BS-RoFormer's "
        "bands side by side, at equal compute.",
        rule=RULE.format(bands=plan.num_bands, seeds=plan.seeds),
        verdict=verdict_of(difference),
        measured=(
            Figure(f"{MEL} minus {HAND}", difference.mean, difference.low, difference.high, "dB"),
            *rows,
        ),
        paper=PAPER,
        arms=(MEL, HAND),
        data=tuple(row["source"] for row in data),
        seeds=seeds,
        details={"scale": plan.to_dict(), "measured": found},
    )
