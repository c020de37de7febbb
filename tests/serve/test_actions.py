"""Every action does its work on real sounds, tells how to do the same, and refuses the rest."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonograph.audio.io import info
from sonograph.cli import VERBS
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.progress import silent
from sonograph.serve import actions
from sonograph.serve.action import Cancelled, Outcome
from sonograph.serve.actions import ACTIONS, given
from sonograph.serve.models import Models
from tests.serve.sounds import labelled

RATE = 16_000


@pytest.fixture(scope="module")
def models() -> Models:
    return Models.of(ACTIONS)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    time_s = np.arange(RATE) / RATE
    for k in range(3):
        tone = 0.2 * np.sin(2 * np.pi * 220 * (k + 1) * time_s)
        Audio(tone, RATE).write(folder / f"tone{k}.wav")
        Audio(0.1 * draw.standard_normal(RATE), RATE).write(folder / f"noise{k}.wav")
    return folder


Do = Callable[..., Outcome]


@pytest.fixture
def do(models: Models, room: Path, tmp_path: Path) -> Do:
    def run(action: str, *names: str, text: str = "", progress: Any = silent, **settings: Any):
        sounds = [given(room / n, n, n[:4] if action == "adapt" else "") for n in names]
        place = tmp_path / str(len(list(tmp_path.iterdir())))  # each job has its own
        return ACTIONS[action].run(sounds, text, settings, place, models, progress)

    return run


def told(outcome: Outcome, folder: Path) -> None:
    """What every outcome has to be: plain values, files below the folder, lines that can be run."""
    json.dumps(outcome.summary, allow_nan=False)
    for one in outcome.made:
        assert folder in one.path.parents
        assert one.path.stat().st_size
    for line in outcome.command.splitlines():
        assert shlex.split(line)[:2] == ["sonograph", shlex.split(line)[1]]
        assert shlex.split(line)[1] in VERBS
    compile(outcome.python, "shown", "exec")


def test_tags_under_the_names_that_their_owner_gave(do: Do, tmp_path: Path) -> None:
    outcome = do("tag", "tone0.wav", "noise0.wav")
    told(outcome, tmp_path)
    assert [one["name"] for one in outcome.summary["tags"]] == ["tone0.wav", "noise0.wav"]


def test_the_parts_of_a_sound_add_up_to_it(do: Do, room: Path, tmp_path: Path) -> None:
    from sonograph.audio.io import read

    for action in ("separate", "enhance"):
        outcome = do(action, "noise0.wav")
        told(outcome, tmp_path)
        assert [info(one.path).frames for one in outcome.made] == [RATE, RATE]
        parts = sum(read(one.path).samples for one in outcome.made)
        assert np.abs(parts - read(room / "noise0.wav").samples).max() < 1e-3


def test_the_nearest_sounds(do: Do, tmp_path: Path) -> None:
    names = ["tone0.wav", "noise0.wav", "tone1.wav", "noise1.wav", "noise2.wav"]
    outcome = do("search", *names, top=2)
    told(outcome, tmp_path)
    best = outcome.summary["matches"][0]
    assert best["name"] == names[best["sound"]] == "tone1.wav"
    assert len(outcome.summary["matches"]) == 2


def test_vectors_are_a_file(do: Do, tmp_path: Path) -> None:
    from sonograph.outputs import Embedding

    outcome = do("embed", "tone0.wav", "tone1.wav")
    told(outcome, tmp_path)
    assert Embedding.open(outcome.made[0].path).names == ("tone0.wav", "tone1.wav")


def test_speech_is_as_long_as_it_says(do: Do, tmp_path: Path) -> None:
    outcome = do("speak", text="Good morning. It's late!", pace=1.5)
    told(outcome, tmp_path)
    lasts = info(outcome.made[0].path).duration_s
    assert lasts == pytest.approx(outcome.summary["duration_s"], abs=0.01)
    assert len(outcome.summary["sentences"]) == 2
    assert "pace=1.5" in outcome.python


def test_notes(do: Do, tmp_path: Path) -> None:
    told(do("transcribe-notes", "tone1.wav"), tmp_path)


def test_two_models_side_by_side(do: Do, tmp_path: Path) -> None:
    outcome = do("compare", "tone0.wav", model="enhancer", other="guitar")
    told(outcome, tmp_path)
    assert [one["model"] for one in outcome.summary["outcomes"]] == ["enhancer", "guitar"]
    assert len({one.part for one in outcome.made}) == 4
    with pytest.raises(InputError, match="do different things"):
        do("compare", "tone0.wav", model="enhancer", other="melody")
    with pytest.raises(InputError, match="two different"):
        do("compare", "tone0.wav", model="enhancer", other="enhancer")


def test_what_was_taught_can_be_used_at_once(do: Do, models: Models, tmp_path: Path) -> None:
    sounds = [f"{kind}{k}.wav" for kind in ("tone", "noise") for k in range(3)]
    outcome = do("adapt", *sounds, steps=60, name="../my model")
    told(outcome, tmp_path)
    assert outcome.summary["model"] == "my-model"
    tags = do("tag", "tone2.wav", "noise2.wav", model="my-model").summary["tags"]
    assert [max(one["scores"], key=one["scores"].get) for one in tags] == ["tone", "nois"]
    assert do("adapt", *sounds, steps=10, name="my model").summary["model"] == "my-model-2"
    for name in ("my-model", "my-model-2"):
        models.remove(name)
    with pytest.raises(InputError, match="no model 'my-model' can tag"):
        do("tag", "tone0.wav", model="my-model")


def test_what_is_held_out_is_what_the_verb_holds_out(models: Models, tmp_path: Path) -> None:
    from sonograph.data.clips import Clips
    from sonograph.data.named import held_out

    folder = labelled(tmp_path / "mine", each=12)
    sounds = [given(path, label=path.parent.name) for path in sorted(folder.glob("*/*.wav"))]
    clips = actions._clips([*sounds, *sounds[:1]])  # twice, as out of two folders
    assert [one.id for one in clips][-1] == f"{clips[0].id} again"
    parts = held_out(actions._clips(sounds), "class", "test")
    of_verb = held_out(Clips.open(folder), "class", "test")
    for mine, its in zip(parts, of_verb, strict=True):
        assert {clip.id for clip in mine} == {clip.id for clip in its}
    settings = {"steps": 10, "name": "held"}
    outcome = ACTIONS["adapt"].run(sounds, "", settings, tmp_path / "job", models, silent)
    models.remove("held")
    told(outcome, tmp_path)
    counts = [outcome.summary["train_clips"], outcome.summary["test_clips"]]
    assert counts == [len(one) for one in of_verb]
    heard = {clip.labels["class"] for clip in of_verb[1]}
    assert outcome.summary["unmeasured"] == sorted({"drum", "whistle"} - heard)
    assert (outcome.summary["accuracy"] is not None) == bool(len(of_verb[1])) == bool(heard)
    assert heard


def test_a_progress_that_raises_ends_it(do: Do, tmp_path: Path) -> None:
    def stop(done: float, total: float | None, note: str = "") -> None:
        raise Cancelled

    for action in ("separate", "enhance", "tag", "transcribe-notes"):
        with pytest.raises(Cancelled):
            do(action, "noise0.wav", progress=stop)
    with pytest.raises(Cancelled):
        do("speak", text="One. Two.", progress=stop)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("action", "names", "more", "words"),
    [
        ("tag", [], {}, "needs one sound, 0 given"),
        ("enhance", ["tone0.wav", "tone1.wav"], {}, "takes one sound at a time"),
        ("tag", ["tone0.wav"], {"model": "pans-mini"}, "Did you mean 'panns-mini'"),
        ("tag", ["tone0.wav"], {"model": "/etc"}, "no model '/etc' can tag"),
        ("tag", ["tone0.wav"], {"leest": 0.5}, "Did you mean 'least'"),
        ("tag", ["tone0.wav"], {"least": 7}, "above 1"),
        ("tag", ["tone0.wav"], {"least": "much"}, "not 'much'"),
        ("tag", ["tone0.wav"], {"text": "hello"}, "takes sounds, no text"),
        ("speak", [], {"text": " "}, "no text"),
        ("speak", [], {"text": "\N{GRINNING FACE}"}, "nothing to say"),
        ("speak", [], {"text": "a" * 20_001}, "too many"),
        ("separate", ["tone0.wav"], {"query": "dog"}, "fixed parts"),
        ("embed", ["tone0.wav"], {"pool": "max"}, "pool"),
    ],
)
def test_what_cannot_be_used(do: Do, action: str, names: list, more: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        do(action, *names, **more)
    assert "\n" not in str(caught.value)


def test_settings_describe_themselves(models: Models) -> None:
    for action in ACTIONS.values():
        schema = action.schema(models.fit(action.name))
        json.dumps(schema)
        for name, one in schema["properties"].items():
            assert one["description"], name
        # what the schema gives as defaults is accepted
        defaults = {name: one["default"] for name, one in schema["properties"].items()}
        assert dataclasses.asdict(action.read(defaults, models)) == defaults
        assert models.fit(action.name), f"no bundled model can {action.name}"


def test_models_are_loaded_once_and_the_oldest_is_dropped() -> None:
    models = Models.of(ACTIONS)
    models.kept = 1
    first = models.get("panns-mini")
    assert models.get("panns-mini") is first
    models.get("enhancer")
    assert models.get("panns-mini") is not first
    assert models.loads == 3


def test_models_that_are_no_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model folder"):
        Models.of(ACTIONS, [str(tmp_path)])
