"""A user's first quarter of an hour, command after command, on five short sounds."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from sonograph.cli import main
from tests.e2e.commands import furnish, sonograph_command


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with sounds, and a run that was taught to tell tones from noise."""
    place = furnish(tmp_path_factory.mktemp("room"))
    words = ("adapt", "ssast-test", "--data", "labels.csv", "--steps", 5, "-o", "runs/taught")
    done = sonograph_command(*words, cwd=place)
    assert done.code == 0, done.err
    assert "95 % interval" in done.out
    assert "on 2 held-out clips" in done.out
    assert "untrained" in done.err
    assert not any(word in done.out for word in ("loss", "clips/s"))
    return place


def ask(room, *words, code: int = 0):
    """What a verb answers as JSON; nothing but the answer is on stdout."""
    done = sonograph_command(*words, "--json", cwd=room)
    assert done.code == code, done.err
    return json.loads(done.out)


@pytest.fixture
def here(room, monkeypatch, capsys):
    """The same in this process, which need not import torch again."""
    monkeypatch.chdir(room)

    def call(*words, code: int = 0):
        assert main([*map(str, words), "--json"]) == code
        told = capsys.readouterr()
        return json.loads(told.out) if code == 0 else told.err

    return call


def test_a_run_folder_holds_plain_files(room):
    names = {path.name for path in (room / "runs/taught").iterdir()}
    assert {"model.safetensors", "config.json", "card.json", "plan.json"} <= names
    card = json.loads((room / "runs/taught/card.json").read_text())
    assert card["task"] == "class"
    config = json.loads((room / "runs/taught/config.json").read_text())
    assert config["model"]["labels"] == ["noise", "tone"]
    assert not [path for path in (room / "runs").rglob("*") if "partial" in path.name]


def test_tag(room):
    (tags,) = ask(room, "tag", "0.wav", "--model", "runs/taught")
    assert set(tags["scores"]) == {"noise", "tone"}
    assert sum(tags["scores"].values()) == pytest.approx(1)
    plain = sonograph_command(
        "tag", "0.wav", "1.wav", "--model", "runs/taught", "--spans", cwd=room
    )
    assert plain.out.splitlines()[0] == "0.wav"
    assert "0.00 -" in plain.out
    assert not any(word in plain.out for word in ("left", "took"))


def test_evaluate(room, here):
    told = ask(room, "evaluate", "runs/taught", "--data", "labels.csv", "--split", "all")
    assert told["clips"] == sum(map(sum, told["confusion"])) == 5
    right = sum(told["confusion"][k][k] for k in range(2))
    assert told["accuracy"] == pytest.approx(right / 5)
    low, high = told["accuracy_interval"]
    assert 0 <= low <= told["accuracy"] <= high <= 1
    assert [row["clips"] for row in told["classes"]] == [3, 2]
    held_out = here("evaluate", "runs/taught", "--data", "labels.csv", "--metrics", "map")
    assert held_out["clips"] == 2
    assert "accuracy" not in held_out
    plain = sonograph_command("evaluate", "runs/taught", "--data", "labels.csv", cwd=room)
    assert "rows: what it is; columns: what it was taken for" in plain.out


def test_embed_and_search(room, here):
    told = ask(room, "embed", ".", "--model", "runs/taught", "-o", "vectors.npz")
    assert (told["vectors"], told["width"]) == (5, 768)
    with np.load(room / "vectors.npz", allow_pickle=False) as file:
        assert file["values"].shape == (5, 768)
        assert np.isfinite(file["values"]).all()
    words = ("search", "0.wav", "vectors.npz", "--model", "runs/taught", "--top", 2)
    matches = ask(room, *words)["matches"]
    assert {match["name"] for match in matches} == {"2.wav", "4.wav"}  # the other noises
    listened = here("search", "0.wav", ".", "--model", "runs/taught", "--top", 2)["matches"]
    assert [m["name"] for m in listened] == [m["name"] for m in matches]


def test_info_models_doctor(room, here):
    assert ask(room, "info", "0.wav")["rate_hz"] == 16000
    assert here("info", "runs/taught")["parameters"] > 1000
    assert here("info", "ssast-base")["published_parameters"] == 85_649_664
    names = [row["name"] for row in here("models", "ssast-*")]
    assert "ssast-tiny" in names
    assert ask(room, "doctor")["self_test"]["passed"]


def test_systems(room):
    if importlib.util.find_spec("sonograph.verbs.systems") is None:
        pytest.skip("the verb is not there yet")
    entries = {entry["name"]: entry for entry in ask(room, "systems")}
    assert set(entries["ssast"]["rungs"]) == {"exact", "trains", "claim", "usable", "told"}


def test_data(room, here):
    listed = ask(room, "data", "list", "mini")
    assert {"name", "licence", "megabytes", "ready"} <= set(listed["corpora"][0])
    assert "core" in listed["sets"]
    (told,) = here("data", "show", "labels.csv")
    assert told["clips"] == 5
    assert told["tasks"] == {"class": {"noise": 3, "tone": 2}}
    assert told["splits"] == {"test": 2, "train": 3}


def test_train_then_adapt_what_it_left(room, here):
    words = ("train", "ssast-test", "--data", ".", "-o", "runs/trained", "--batch", 2)
    settings = ("--set", "held_out_batches=1", "workers=0", "draw=clips")
    told = ask(room, *words, "--steps", 3, *settings)
    assert told["steps"] == 3
    assert {"loss", "mse", "accuracy"} <= set(told["held_out"])
    longer = here(*words, "--steps", 4, *settings)
    assert longer["steps"] == 4
    steps = [json.loads(line)["step"] for line in (room / "runs/trained/log.jsonl").open()]
    assert 3 in steps
    assert steps[-1] == 4
    taught = ("--data", "labels.csv", "--steps", 2)
    first = here("adapt", "runs/trained", *taught, "--method", "lora", "-o", "runs/low")
    assert first["trained_parameters"] < first["total_parameters"] / 4
    # what was taught by low-rank deltas can be taught again, and loads afterwards
    again = here("adapt", "runs/low", *taught, "--method", "linear", "-o", "runs/again")
    assert again["trained_parameters"] < first["trained_parameters"]
    assert here("tag", "0.wav", "--model", "runs/again")[0]["scores"]
    other = here("adapt", "runs/trained", *taught, "--method", "full", "-o", "runs/low", code=2)
    assert "was begun with method = lora, not full" in other


@pytest.mark.parametrize("verb", ["data", "train", "adapt", "evaluate", "embed", "tag", "search"])
def test_help_tells_the_options(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert not left.value.code
    told = capsys.readouterr().out
    assert f"usage: sonograph {verb}" in told
    assert "--json" in told
