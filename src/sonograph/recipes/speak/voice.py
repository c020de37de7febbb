"""The bundled English voice: its vocoder and its acoustic model, from recorded prompts.

    python -m sonograph.recipes.speak.voice FOLDER

trains both into FOLDER/vocoder and FOLDER/acoustic, measures them on held-out prompts and writes
the two bundled models; started again it goes on where it was. The
vocoder hears the same speaker in English and in Spanish, the acoustic model the English prompts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sonograph import registry, weights
from sonograph.audio.speech_features import voice_spec
from sonograph.data.clips import Clip, Clips
from sonograph.data.corpora import open_sets
from sonograph.infer.speak import GRIFFIN_LIM, Voice, acoustic_of
from sonograph.nn.phase_search import PhaseSearch
from sonograph.progress import Line, Progress, silent
from sonograph.recipes.pretraining import divided
from sonograph.recipes.speak import fastspeech
from sonograph.recipes.speak.corpus import Speech, encode_with, measured_folder
from sonograph.recipes.speak.left import before_and_after
from sonograph.recipes.speak.quality import measure
from sonograph.recipes.vocode.training import ADVERSARIAL, SHORTEST_S, Plan, train_vocoder

VOCODER, ACOUSTIC = "istftnet-voice", "fastspeech2-mini"
MOST = 60  # clips of each kind that are listened to: all whose text it never learned
LICENCE = (
    "CC BY-SA 3.0, as the recordings that the voice was made from; a voice made from this one has "
    "to be shared alike"
)
ATTRIBUTION = (
    "Recordings: Asterisk core sounds, spoken by Allison Smith, Digium / Sangoma, CC BY-SA 3.0"
)
# Against discriminators, 1,500 more updates of the same small generator lowered the opinion of
# held-out sound (DNSMOS, overall) from 2.09 to 1.82: too few to bring anything on two cores, so
# they are left out here.
PLAN = Plan(
    regression_steps=6500,
    adversarial=False,
    train=ADVERSARIAL.override(steps=2000, eval_every=250, save_every=100, epoch_steps=400),
)


def vocoder(folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Train the voice's vocoder into a folder: about an hour on one core."""
    return train_vocoder(registry.build(VOCODER), vocoder_clips(), folder, PLAN, progress).told()


def vocoder_clips() -> Clips:
    """What the vocoder learns from."""
    clips = open_sets(["asterisk-en", "asterisk-es"])
    return clips.filter(lambda clip: clip.duration_s >= SHORTEST_S)


def acoustic(folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Train the voice's acoustic model into a folder: about an hour on one core."""
    recipe = fastspeech.recipe_of(ACOUSTIC).override(
        {"train.steps": 2500, "train.save_every": 100, "train.eval_every": 500}
    )
    done = fastspeech.train(ACOUSTIC, open_sets(["asterisk-en"]), folder, recipe, progress)
    return before_and_after(done.before, done.after, done.summary)


def held_out() -> tuple[list[Clip], list[Clip]]:
    """(clips whose text the acoustic model never learned, clips that the vocoder never heard)."""
    clips = open_sets(["asterisk-en"])
    speech = Speech.prepare(clips, voice_spec(), encode_with("arpabet"), measured_folder())
    kept = {item.id for name in ("valid", "test") for item in speech.part(name).items}
    usable = [clip for clip in clips if clip.id in {item.id for item in speech.items}]
    train, _ = divided(vocoder_clips())
    known = {clip.id for clip in train}
    return (
        [clip for clip in usable if clip.id in kept][:MOST],
        [clip for clip in usable if clip.id not in known][:MOST],
    )


def bundle(folder: Path, target: Path, progress: Progress = silent) -> dict[str, Any]:
    """Write `target/voice` and `target/voice-vocoder` in half precision; returns the quality.

    The voice names the vocoder through which a recogniser understands it better: the trained one,
    or a search for phases, which is not trained.
    """
    sound: Any = weights.load(folder / "vocoder")
    speaker: Any = weights.load(folder / "acoustic" / "voice")
    weights.save_folder(target / "voice-vocoder", sound, sound.card, dtype="float16")
    weights.save_folder(target / "voice", speaker, speaker.card, dtype="float16")
    voice, trained = (weights.load(target / name) for name in ("voice", "voice-vocoder"))
    spoken, copied = held_out()
    searched = PhaseSearch(acoustic_of(voice).spec)
    found = {
        name: measure(Voice(voice, one), spoken, copied, progress)
        for name, one in (("voice-vocoder", trained), (GRIFFIN_LIM, searched))
    }
    errors = {name: one["spoken"]["voice"]["word_error_rate"] for name, one in found.items()}
    quality = found["voice-vocoder"]
    shared = {
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
        "limits": "Trained on two cores on minutes of telephone prompts of one speaker: it speaks "
        "their words best; names and long sentences come out less well.",
    }
    for name, model, more in (
        (
            "voice-vocoder",
            sound,
            {
                "summary": "iSTFTNet vocoder of one speaker, 16 kHz",
                "quality": {name: one["copied"] for name, one in found.items()},
            },
        ),
        (
            "voice",
            speaker,
            {
                "summary": "FastSpeech 2 voice of English, one speaker, 16 kHz",
                "vocoder": min(errors, key=lambda name: errors[name]),
                "quality": {name: one["spoken"] for name, one in found.items()},
            },
        ),
    ):
        card = {k: v for k, v in model.card.items() if k != "sha256"} | {"name": name} | more
        card |= shared | {key: quality[key] for key in ("recogniser", "distortion")}
        card["parameters"] = sum(p.numel() for p in model.parameters())
        weights.save_folder(target / name, model, card, dtype="float16")
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=["vocoder", "acoustic", "bundle"], help="a part of it")
    parser.add_argument("--target", type=Path, default=weights.BUNDLED)
    given = parser.parse_args(arguments)
    for name, make in (("vocoder", vocoder), ("acoustic", acoustic)):
        if given.only in (None, name):
            print(name, make(given.folder / name, Line(name)))
    if given.only in (None, "bundle"):
        print(json.dumps(bundle(given.folder, given.target, Line("quality")), indent=1))


if __name__ == "__main__":
    main()
