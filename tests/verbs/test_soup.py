from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sonograph import cli, registry, weights
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.verbs import soup

LABELS = ("high", "low")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two runs of one start, and sixteen labelled sounds, four of them test clips."""
    folder = tmp_path_factory.mktemp("soup")
    lines = ["path,label,split"]
    for k in range(16):
        name = LABELS[k % 2]
        pitch = (2000 if name == "high" else 300) + 10 * k
        sound = 0.5 * np.sin(np.arange(8000) * 2 * np.pi * pitch / 16_000)
        soundfile.write(folder / f"{k}.wav", sound, 16_000)
        lines.append(f"{k}.wav,{name},{'test' if k >= 8 else 'train'}")
    (folder / "sounds.csv").write_text("\n".join(lines) + "\n")
    for number in range(2):
        torch.manual_seed(0)
        model = Classifier(registry.build("ssast-test", seed=0), LABELS)
        torch.manual_seed(number)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.02 * torch.randn_like(weight)
        card = {"from": "ssast-mini", "task": "class", "hold_out": "test"}
        weights.save_folder(folder / f"run{number}", model, card)
    return folder


def typed(place: Path, *words: str) -> list[str]:
    return ["soup", *words, "--data", str(place / "sounds.csv")]


def test_a_soup_is_written_loads_and_tells_what_each_run_brought(place, tmp_path, capsys):
    runs = [str(place / f"run{number}") for number in range(2)]
    out = tmp_path / "soup"
    assert cli.main(typed(place, *runs, "--json", "-o", str(out))) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["deciding_clips"] + told["measuring_clips"] == 8
    assert [row["run"] for row in told["ingredients"]] == runs
    assert set(told["accuracy"]) == {"best", "soup", "ensemble"}
    loaded = weights.load(out)
    assert loaded.labels == LABELS
    assert loaded.card["soup"]["best"] == told["best"]
    assert loaded.card["from"] == "ssast-mini"
    assert cli.main(typed(place, *runs, "--recipe", "interpolate", "-o", str(out))) == 0
    said = capsys.readouterr().out
    assert "share of the tuned run" in said
    assert "ensemble of all 2" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{0}"], "at least two runs, not 1"),
        (["{0}", "{0}"], "given twice"),
        (["{0}", "{place}"], "is no model folder"),
        (["{0}", "{1}", "--hold-out", "none"], "no held-out clip"),
        (["{0}", "{1}", "--share", "1.5"], "--share is 1.5"),
        (["{0}", "{1}", "-o", "{1}"], "is one of the runs"),
        (["{0}", "{1}", "-o", "{place}/sounds.csv"], "holds something that is no soup"),
        (["{0}", "{1}", "--recipe", "thick"], "--recipe"),
    ],
)
def test_what_cannot_be_done_is_one_line(place, tmp_path, capsys, words, message):
    known = {"place": str(place)}
    given = [word.format(place / "run0", place / "run1", **known) for word in words]
    output = [] if "-o" in given else ["-o", str(tmp_path / "soup")]
    assert cli.main(typed(place, *given, *output)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "soup").exists()


def test_no_recording_decides_and_measures(place):
    from sonograph.data.clips import Clips

    clips = Clips.open(place / "sounds.csv").labelled("class")
    learned, choose, check = soup.divided(clips, "class", "test")
    assert (len(learned), len(choose), len(check)) == (8, 4, 4)
    assert not {c.id for c in choose} & {c.id for c in check}
    assert set(choose.classes("class")) == set(LABELS)
    everything = soup.divided(clips, "class", "all")
    assert [len(part) for part in everything] == [0, 8, 8]
    alone = clips[:1] + clips[8:9]
    assert [len(part) for part in soup.divided(alone, "class", "test")] == [1, 1, 0]
    with pytest.raises(InputError, match="no held-out clip of class"):
        soup.divided(clips[:8], "class", "valid")
