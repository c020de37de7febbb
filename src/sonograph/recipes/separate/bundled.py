"""The bundled separators: an enhancer of speech, two talkers, a guitar in a song.

    python -m sonograph.recipes.separate.bundled enhancer FOLDER
    python -m sonograph.recipes.separate.bundled enhancer FOLDER --only bundle

trains into the folder (started again it goes on where it was), measures on recordings that were
held out, and writes the bundled model. Each takes about half an hour of one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonograph import registry, weights
from sonograph.data import mix
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets
from sonograph.data.mixtures import (
    Mixtures,
    Pool,
    SpeechInNoise,
    Stems,
    Talkers,
    pools_of,
    songs,
)
from sonograph.data.rooms import Rooms
from sonograph.outputs import Audio
from sonograph.progress import Line, Progress, silent
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.separate.quality import measure, measure_songs
from sonograph.recipes.separate.training import CALIBRATED, calibrate, train_separator
from sonograph.train.config import TrainConfig

VOICES = ("asterisk-en", "asterisk-es", "asterisk-fr", "asterisk-it", "asterisk-ru")
EFFECTS, MUSIC = ("minetest", "ufoai"), ("asterisk-moh", "fretsonfire-sectoid")
SONGS = ("fretsonfire-sectoid", "fretsonfire-muldjord")
HELD_OUT_SONGS = ("frets/War of freedom",)
# of few pieces of music a split by chance may leave a part without any
VALID_MUSIC = ("moh/reno_project-system",)
TEST_MUSIC = ("moh/manolo_camp-morning_coffee", "frets/War of freedom")
PARTS = ("train", "valid", "test")
HELD_OUT_BATCHES = 6  # to choose by
MEASURED, MEASURED_S = 60, 4.0  # mixtures, seconds, of the figures on the card
LICENCE = (
    "share-alike as the recordings that it learned from; they are listed with it, the strictest "
    "asks that what is made from it be shared alike"
)
SHORTEST_S = 0.6  # of an utterance that is mixed
PLAN = TrainConfig(
    lr=1e-3,
    weight_decay=0.01,
    clip_norm=5.0,
    warmup_steps=100,
    lr_floor=0.02,
    eval_every=250,
    save_every=50,
    log_every=25,
)


@dataclasses.dataclass(frozen=True)
class Bundled:
    """What one model is made of. `mixtures(part, batch, seconds, seed)` gives its data."""

    preset: str
    summary: str
    intended_use: str
    limits: str
    batch: int
    seconds: float
    plan: TrainConfig
    mixtures: Callable[[str, int, float, int], Mixtures]
    clips: Callable[[], Clips]


def speech_clips() -> Clips:
    return open_sets(list(VOICES)).filter(lambda clip: clip.duration_s >= SHORTEST_S)


def music_clips(part: str) -> Clips:
    """Music to speak against: one piece to choose by, two to measure on, the others to learn."""
    kept = {"valid": VALID_MUSIC, "test": TEST_MUSIC}
    held_out = {*VALID_MUSIC, *TEST_MUSIC}
    return open_sets(list(MUSIC)).filter(
        lambda clip: clip.group in kept[part] if part in kept else clip.group not in held_out
    )


def enhancer_mixtures(part: str, batch: int, seconds: float, seed: int) -> Mixtures:
    """Speech, half of it in rooms, among effects, music and hiss, from -5 to 15 dB."""
    rate = rate_of("mossformer2-enhancer")
    noise = [mix.coloured_noise(20 * rate, slope, PARTS.index(part)) for slope in (0, 1, 2)]
    hiss = [Audio(sound, rate) for sound in noise]
    return SpeechInNoise(
        Pool(speech_clips().split(part), rate),
        [
            (Pool(open_sets(list(EFFECTS)).split(part), rate), 0.5),
            (Pool(music_clips(part), rate), 0.35),
            (Pool.of(hiss, rate), 0.15),
        ],
        batch,
        round(seconds * rate),
        seed,
        rooms=Rooms(rate, 60 if part == "train" else 20, seed=PARTS.index(part)),
    )


def talker_mixtures(part: str, batch: int, seconds: float, seed: int) -> Mixtures:
    """Two of six voices at levels up to 5 dB apart and speeds up to 10 % off."""
    rate = rate_of("mossformer2-talkers")
    return Talkers(Pool(talker_clips().split(part), rate), 2, batch, round(seconds * rate), seed)


def talker_clips() -> Clips:
    return speech_clips() + open_sets(["gcin"])


def guitar_mixtures(part: str, batch: int, seconds: float, seed: int) -> Mixtures:
    """Guitar and the rest of a song; in training half of the time of different songs."""
    config: Any = registry.preset("mel-roformer-mini").make()
    kept = [
        song
        for song in songs(open_sets(list(SONGS)))
        if (song.name in HELD_OUT_SONGS) == (part != "train")
    ]
    pools = pools_of(kept, config.rate_hz, config.channels)
    samples = round(seconds * config.rate_hz)
    if part == "train":
        return Stems(pools, batch, samples, seed)
    return Stems(pools, batch, samples, seed, together=1.0, gains=(1.0, 1.0), augment="none")


def rate_of(preset: str) -> int:
    config: Any = registry.preset(preset).make()
    return config.rate_hz


ALL = {
    "enhancer": Bundled(
        preset="mossformer2-enhancer",
        summary="speech out of noise, music and hiss, 16 kHz",
        intended_use="Recordings of one or more people talking, among effects, music or hiss.",
        limits="Learned in half an hour on one core from five languages and six voices of "
        "telephone prompts among sounds of games and rock music: other voices and noises come out "
        "less clean. It hears up to 8 kHz, does not take echo away, and may soften consonants.",
        batch=8,
        seconds=3.0,
        plan=PLAN.override(steps=1800),
        mixtures=enhancer_mixtures,
        clips=lambda: speech_clips() + open_sets([*EFFECTS, *MUSIC]),
    ),
    "talkers": Bundled(
        preset="mossformer2-talkers",
        summary="two people who talk at once, 8 kHz",
        intended_use="Two voices in one microphone, without much noise.",
        limits="Learned in half an hour on one core from six voices, whose other sentences it was "
        "measured on: voices that it never heard come out mixed. Two talkers, no noise, no rooms.",
        batch=4,
        seconds=2.0,
        plan=PLAN.override(steps=1600),
        mixtures=talker_mixtures,
        clips=talker_clips,
    ),
    "guitar": Bundled(
        preset="mel-roformer-mini",
        summary="the guitars of a rock song and the rest of it, 32 kHz stereo",
        intended_use="Rock and metal with electric guitars.",
        limits="Learned in half an hour on one core from seven songs of two bands, and measured on "
        "an eighth, by one of them, on other places of which the best of five states was chosen: "
        "music of other kinds comes out worse.",
        batch=4,
        seconds=3.0,
        plan=PLAN.override(steps=1100),
        mixtures=guitar_mixtures,
        clips=lambda: open_sets(list(SONGS)),
    ),
}


def train(name: str, folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Train one of them into a folder; started again it goes on."""
    about = ALL[name]
    separator: Any = registry.build(about.preset, seed=about.plan.seed)
    held_out = about.mixtures("valid", about.batch, about.seconds, 1)
    found = train_separator(
        separator,
        about.mixtures("train", about.batch, about.seconds, about.plan.seed),
        [held_out.batch(k) for k in range(HELD_OUT_BATCHES)],
        folder,
        about.plan,
        {"name": name, "data": data_of(about.clips())},
        progress,
    )
    return found.told()


def bundle(name: str, folder: Path, target: Path, progress: Progress = silent) -> dict[str, Any]:
    """Write `target/name` in half precision with a card that says what it is worth."""
    about = ALL[name]
    model: Any = weights.load(folder)
    if model.level_is_open:
        known = about.mixtures("train", about.batch, about.seconds, 3)
        calibrate(model, [known.batch(k) for k in range(CALIBRATED)])
    mixtures = about.mixtures("test", 1, MEASURED_S, 2)
    card = {
        **{key: value for key, value in model.card.items() if key != "sha256"},
        "name": name,
        "summary": about.summary,
        "parameters": sum(p.numel() for p in model.parameters()),
        "intended_use": about.intended_use,
        "limits": about.limits,
        "licence": LICENCE,
        "quality": measure(model, [mixtures.batch(k) for k in range(MEASURED)], progress),
    }
    if name == "guitar":
        kept = [song for song in songs(about.clips()) if song.name in HELD_OUT_SONGS]
        card["quality"]["whole songs"] = measure_songs(model, kept, progress)
    weights.save_folder(target / name, model, card, dtype="float16")
    return card["quality"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=sorted(ALL))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=["train", "bundle"], help="a part of it")
    parser.add_argument("--target", type=Path, default=weights.BUNDLED)
    given = parser.parse_args(arguments)
    if given.only != "bundle":
        print(json.dumps(train(given.name, given.folder, Line(given.name)), indent=1))
    if given.only != "train":
        found = bundle(given.name, given.folder, given.target, Line("measuring"))
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
