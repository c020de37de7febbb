"""Notes from a separator: its training, the bundled transcriber, and the claim about its start.

    python -m sonograph.recipes.separate.transcription FOLDER

trains the bundled transcriber into the folder (started again it goes on where it was) and measures
it on instruments and songs that were held out. Melodies are those of `data/melodies.py`: synthetic,
of recorded notes, over stems of real songs; no singer was recorded with notes.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonograph import weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.corpora import files_of, open_sets
from sonograph.data.melodies import HELD_OUT, Instrument, Melodies, read_instruments
from sonograph.data.mixtures import Pool
from sonograph.metrics.intervals import paired_interval
from sonograph.metrics.notes import NoteScores, note_scores
from sonograph.nn.notes import NoteLoss, Transcriber, heard, notes_of
from sonograph.progress import Line, Progress, silent
from sonograph.recipes.arms import finished, verdict_of
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.separate.training import objective_of
from sonograph.records import Figure, Record
from sonograph.systems.separate import mel_roformer
from sonograph.train.config import TrainConfig
from sonograph.train.trainer import Numbered, Summary, Trainer

BANK = "timgm6mb"
# one band of musicians plays in training, another one where it is measured
ACCOMPANY = {"train": "fretsonfire-sectoid", "test": "fretsonfire-muldjord"}
KEYS = (48, 84)  # what the instruments play
MEASURED_SEED = 1_000_003  # melodies of the test are drawn with it


@dataclasses.dataclass(frozen=True)
class Band:
    """Who plays in a part of the data: instruments, and stems of songs behind them."""

    players: list[Instrument]
    accompaniment: Pool
    clips: Clips

    def melodies(
        self,
        batch: int,
        samples: int,
        seed: int = 0,
        snr_db: tuple[float, float] = (0.0, 12.0),
        distinct: int | None = None,
    ) -> Melodies:
        return Melodies(
            self.players, KEYS, self.accompaniment, batch, samples, seed, snr_db, distinct
        )


def bands(rate_hz: int, data_folder: Path | None = None) -> dict[str, Band]:
    """part -> who plays: no instrument and no song is in both."""
    instruments = read_instruments(files_of(BANK, "*.sf2", data_folder)[0])
    found = {}
    for part, source in ACCOMPANY.items():
        stems = open_sets([source], data_folder).filter(lambda c: c.labels.get("stem") == "rest")
        players = [i for name, i in instruments.items() if (name in HELD_OUT) == (part == "test")]
        found[part] = Band(players, Pool(stems, rate_hz), stems)
    return found


def train_notes(
    transcriber: Transcriber,
    melodies: Numbered,
    held_out: Sequence[Mapping[str, Any]],
    folder: Path,
    plan: TrainConfig,
    progress: Progress = silent,
) -> tuple[dict[str, float], Summary]:
    """Train in place; held-out figures and the run. Started again on the folder it goes on."""
    learner = NoteLoss(transcriber)
    summary = Trainer(
        learner,
        lambda model, batch, generator: model(batch, generator),
        melodies,
        folder,
        plan,
        lambda model: figures(model, held_out),
        progress,
        best=None,
    ).run()
    learner.eval()
    with torch.no_grad():
        return figures(learner, held_out), summary


def figures(learner: nn.Module, held_out: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Loss, and F1 of COn, COnP and COnPOff of all notes together."""
    loss: Any = learner
    model: Transcriber = loss.transcriber
    hop_s = model.hop_samples / model.rate_hz
    total: NoteScores | None = None
    found = 0.0
    for batch in held_out:
        found += float(loss(batch)["loss"]) / len(held_out)
        for clip, wanted in zip(heard(model(batch["mixture"]), model.notes), batch["notes"]):
            score = note_scores(notes_of(clip, hop_s, model.notes), wanted)
            total = score if total is None else total + score
    assert total is not None
    return {
        "loss": found, "con": total.con.f1, "conp": total.conp.f1, "conpoff": total.conpoff.f1
    }  # fmt: skip


# --- the bundled transcriber ---------------------------------------------------------------------

BUNDLED = mel_roformer.Config(
    rate_hz=16_000, channels=1, stems=("melody",), rest="accompaniment", fft_samples=1024,
    hop_samples=320, num_bands=16, width=48, depth=2, num_heads=3, head_width=16, mask_depth=1,
    mask_times=2, window_frames=400, loss_windows=(1024, 512, 256), loss_hops=(256, 128, 128),
)  # fmt: skip
BUNDLED_BATCH, BUNDLED_SECONDS = 8, 3.0
BUNDLED_SNR_DB = (-3.0, 40.0)  # from a band that is louder to a melody almost alone
BUNDLED_PLAN = TrainConfig(
    steps=1200, lr=2e-3, clip_norm=1.0, warmup_steps=30, lr_floor=0.02, eval_every=200,
    save_every=50, log_every=25,
)  # fmt: skip
MEASURED_BATCHES, MEASURED_BATCH = 8, 16
MEASURED = {"with a band, 0 to 12 dB": (0.0, 12.0), "almost alone": (40.0, 40.0)}


def bundled(
    folder: Path,
    data_folder: Path | None = None,
    plan: TrainConfig = BUNDLED_PLAN,
    progress: Progress = silent,
) -> dict[str, dict[str, float]]:
    """Train the bundled transcriber into a folder that loads; its figures, by kind of test."""
    rate = BUNDLED.rate_hz
    playing = bands(rate, data_folder)
    samples = round(BUNDLED_SECONDS * rate)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        transcriber = Transcriber(mel_roformer.build(BUNDLED))
    tests = {}
    for kind, snr_db in MEASURED.items():
        melodies = playing["test"].melodies(MEASURED_BATCH, 5 * rate, MEASURED_SEED, snr_db)
        tests[kind] = [melodies.batch(k) for k in range(MEASURED_BATCHES)]
    melodies = playing["train"].melodies(BUNDLED_BATCH, samples, plan.seed, BUNDLED_SNR_DB)
    watched = [batch for kept in tests.values() for batch in kept[:2]]
    train_notes(transcriber, melodies, watched, folder / "run", plan, progress)
    learner = NoteLoss(transcriber).eval()
    with torch.no_grad():
        found = {kind: figures(learner, kept) for kind, kept in tests.items()}
    fonts = {"source": BANK, "licence": "GPL-2", "notes": "of instruments that hold a tone"}
    card = {
        "name": "melody",
        "summary": "melody transcriber, 16 kHz, MIDI 48 to 84",
        "intended_use": "a first look at the notes of a melody, alone or in front of a band",
        "limits": "learned from random walks in scales, rendered from recorded wind, brass, string "
        "and choir notes over rock; no singer was recorded with notes, so what it is worth on "
        "singing is not known. Ornaments and glides become several notes.",
        "data": [fonts, *data_of(playing["train"].clips)],
        "measured": {
            "on": "melodies of instruments and songs that it never heard: sung vowels, soprano "
            "saxophone, oboe; songs of another band",
            "f1": found,
        },
        "recipe": {"batch": BUNDLED_BATCH, "seconds": BUNDLED_SECONDS, **plan.to_dict()},
        "licence": "share-alike as the recordings that it learned from (GPL-2 the strictest)",
    }
    weights.save_folder(folder, transcriber, card, "float16")
    return found


# --- the claim -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    seeds: int = 3
    width: int = 32
    depth: int = 2
    num_bands: int = 16
    batch: int = 6
    seconds: float = 2.0  # of a crop
    labelled: int = 64  # melodies with notes; mixtures without are drawn anew for ever
    separation_updates: int = 120
    note_updates: int = 120
    lr: float = 2e-3
    held_out_batches: int = 6
    held_out_seconds: float = 4.0


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(
        width=128, depth=4, num_bands=32, batch=32, seconds=6.0, labelled=400,
        separation_updates=4000, note_updates=1500, lr=5e-4, held_out_batches=12,
    ),
}  # fmt: skip
FIRST, SECOND, THIRD = (
    "from separation",
    "notes only, as many updates",
    "notes only, as many labels",
)
PAPER = (
    Figure("MIR-ST500, COn F1", 0.819),
    Figure("MIR-ST500, COnP F1", 0.798),
    Figure("MIR-ST500, COnPOff F1", 0.625),
)
RULE = (
    "One net, three ways to teach it. {first}: {separation} updates of pulling melodies out of "
    "mixtures, drawn anew, without notes; then {notes} updates on {labelled} melodies with notes. "
    "{second}: {both} updates on those melodies. {third}: {notes} updates on them. The 95 % "
    "Student's t interval of the first minus the second way's COnP F1, on melodies of instruments "
    "and songs that neither heard, paired over {seeds} seeds, lies above 0: shown; below: not "
    "shown; else inconclusive."
)
SENTENCE = (
    "Where few melodies are labelled, a net that was first trained to separate hears notes better "
    "than one that spent those updates on the labelled melodies too."
)


def tiny(plan: Scale) -> mel_roformer.Config:
    """16 kHz mono and frames of 20 ms, as the paper's transcriber; the rest is small."""
    return mel_roformer.Config(
        rate_hz=16_000, channels=1, stems=("melody",), rest="accompaniment", fft_samples=1024,
        hop_samples=320, num_bands=plan.num_bands, width=plan.width, depth=plan.depth,
        num_heads=max(2, plan.width // 32), head_width=16, mask_depth=1, mask_times=2,
        window_frames=300, loss_windows=(1024, 512, 256), loss_hops=(256, 128, 128),
    )  # fmt: skip


def transcription_records(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """The claim about transcription, `claim-transcription`. Started again it goes on."""
    began, plan = time.perf_counter(), SCALES[scale]
    config = tiny(plan)
    playing = bands(config.rate_hz, data_folder)
    found = learned(plan, playing, folder, progress)
    told = [row["source"] for band in playing.values() for row in data_of(band.clips)]
    record = transcription_record(found, plan, (BANK, *told))
    return finished([("claim-transcription", record)], scale, folder, began)


def learned(
    plan: Scale,
    playing: Mapping[str, Band],
    folder: Path,
    progress: Callable[[str], Progress],
) -> dict[str, list[dict[str, float]]]:
    """Held-out figures of each arm, for each seed."""
    config = tiny(plan)
    test_samples = round(plan.held_out_seconds * config.rate_hz)
    test = playing["test"].melodies(plan.batch, test_samples, MEASURED_SEED)
    held_out = [test.batch(k) for k in range(plan.held_out_batches)]
    samples = round(plan.seconds * config.rate_hz)
    arms = {
        FIRST: (plan.separation_updates, plan.note_updates),
        SECOND: (0, plan.separation_updates + plan.note_updates),
        THIRD: (0, plan.note_updates),
    }
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
    for seed in range(plan.seeds):
        labelled = playing["train"].melodies(plan.batch, samples, seed, distinct=plan.labelled)
        mixtures = playing["train"].melodies(plan.batch, samples, seed + 1000)
        for number, (arm, (apart, notes)) in enumerate(arms.items()):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                separator = mel_roformer.build(config)
                place, title = folder / f"arm{number}-seed{seed}", f"{arm}, seed {seed}"
                if apart:
                    train_apart(
                        separator, mixtures, place / "apart", lesson(plan, apart, seed),
                        progress(f"{title}: separation"),
                    )  # fmt: skip
                torch.manual_seed(seed)  # heads begin alike in all arms
                transcriber = Transcriber(separator)
            scores, _ = train_notes(
                transcriber, labelled, held_out, place / "notes", lesson(plan, notes, seed),
                progress(title),
            )  # fmt: skip
            found[arm].append(scores)
    return found


def lesson(plan: Scale, updates: int, seed: int) -> TrainConfig:
    """How every arm learns, whatever it learns."""
    return TrainConfig(
        steps=updates, seed=seed, lr=plan.lr, clip_norm=1.0, warmup_steps=min(20, updates // 4),
        lr_floor=0.05, save_every=100, log_every=25,
    )  # fmt: skip


def train_apart(
    separator: nn.Module, mixtures: Numbered, folder: Path, plan: TrainConfig, progress: Progress
) -> None:
    """Train a separator in place on the objective of its system."""
    model = objective_of(separator)  # type: ignore[arg-type]
    Trainer(
        model, lambda learner, batch, generator: learner(batch, generator), mixtures, folder, plan,
        progress=progress, best=None,
    ).run()  # fmt: skip


def transcription_record(
    found: Mapping[str, list[dict[str, float]]], plan: Scale, data: tuple[str, ...]
) -> Record:
    def of(arm: str, name: str) -> list[float]:
        return [scores[name] for scores in found[arm]]

    gains = {
        name: paired_interval(of(FIRST, name), of(SECOND, name))
        for name in ("conp", "con", "conpoff")
    }
    words = {"con": "COn", "conp": "COnP", "conpoff": "COnPOff"}
    gain = gains.pop("conp")
    rows = [
        Figure(f"{words[name]} F1, {FIRST} minus {SECOND}", one.mean, one.low, one.high)
        for name, one in gains.items()
    ]
    rows += [
        Figure(f"{words[name]} F1, {arm}", statistics.mean(of(arm, name)))
        for name in words
        for arm in found
    ]
    told = plan.to_dict()
    return Record(
        system="mel_roformer",
        kind="claim",
        sentence=SENTENCE,
        rule=RULE.format(
            first=FIRST.capitalize(), second=SECOND.capitalize(), third=THIRD.capitalize(),
            separation=plan.separation_updates, notes=plan.note_updates, labelled=plan.labelled,
            both=plan.separation_updates + plan.note_updates, seeds=plan.seeds,
        ),
        verdict=verdict_of(gain),
        measured=(
            Figure(f"COnP F1, {FIRST} minus {SECOND}", gain.mean, gain.low, gain.high),
            *rows,
        ),
        paper=PAPER,
        arms=tuple(found),
        data=data,
        seeds=tuple(range(plan.seeds)),
        details={"scale": told, "figures": {arm: list(rows) for arm, rows in found.items()}},
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and write the bundled transcriber."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where it is trained, and the model written")
    folder = parser.parse_args(arguments).folder
    for kind, found in bundled(folder, progress=Line("melody")).items():
        print(kind, {name: round(value, 3) for name, value in found.items()})


if __name__ == "__main__":
    main()
