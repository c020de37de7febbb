from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sonograph import cli, registry, weights
from sonograph.infer.embed import embed
from sonograph.systems.adapt.noise_tuning import spectrum


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two models, six sounds in a folder, a table of parts of one file, and what is broken."""
    folder = tmp_path_factory.mktemp("spectrum")
    sounds = folder / "sounds"
    for name in ("sounds", "one", "broken", "silent"):
        (folder / name).mkdir()
    draw = np.random.default_rng(0)
    for k in range(6):
        tone = np.sin(np.arange(8000) * 2 * np.pi * 200 * (k + 1) / 16_000)
        noise = draw.standard_normal(8000)
        soundfile.write(sounds / f"{k}.wav", 0.3 * tone + 0.02 * k * noise, 16_000)
    whole = [soundfile.read(sounds / f"{k}.wav", dtype="float32")[0] for k in range(6)]
    soundfile.write(folder / "long.wav", np.concatenate(whole), 16_000, subtype="FLOAT")
    rows = [f"{k},long.wav,{k / 2},0.5" for k in range(6)]
    (folder / "parts.csv").write_text("\n".join(["id,path,start_s,duration_s", *rows]) + "\n")
    soundfile.write(folder / "one" / "a.wav", whole[0], 16_000)
    for k in range(2):
        (folder / "broken" / f"{k}.wav").write_text("this is no sound")
        soundfile.write(folder / "silent" / f"{k}.wav", np.zeros(8000), 16_000)
    for seed in range(2):
        weights.save_folder(folder / f"model{seed}", registry.build("ssast-test", seed=seed), {})
    return folder


def told(place: Path, capsys, *words: str) -> list[dict]:
    assert cli.main(["spectrum", *(word.format(place) for word in words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_says_of_each_model_what_its_vectors_are_like(place, capsys):
    rows = told(place, capsys, "{0}/model0", "{0}/model1", "--data", "{0}/sounds")
    assert [row["model"] for row in rows] == [str(place / f"model{k}") for k in range(2)]
    vectors = embed(weights.load(place / "model0"), sorted((place / "sounds").iterdir()), "mean")
    found = spectrum(torch.as_tensor(vectors.values))
    assert rows[0]["clips"] == 6
    assert rows[0]["values"] == vectors.values.shape[1]
    assert rows[0]["entropy (SVE)"] == pytest.approx(found.entropy, abs=1e-4)
    assert rows[0]["largest, -log share (LSVR)"] == pytest.approx(found.largest_log_ratio, abs=1e-4)
    assert rows[0]["entropy (SVE)"] != rows[1]["entropy (SVE)"]
    assert cli.main(["spectrum", str(place / "model0"), "--data", str(place / "sounds")]) == 0
    assert "LSVR" in capsys.readouterr().out


def test_parts_of_a_file_are_heard_as_parts(place, capsys):
    whole = told(place, capsys, "{0}/model0", "--data", "{0}/sounds")[0]
    parts = told(place, capsys, "{0}/model0", "--data", "{0}/parts.csv")[0]
    assert parts["clips"] == 6
    assert parts["entropy (SVE)"] == pytest.approx(whole["entropy (SVE)"], abs=1e-3)
    assert parts["entropy (SVE)"] > 0.1


def test_sounds_that_are_all_alike_have_one_direction(place, capsys):
    found = told(place, capsys, "{0}/model0", "--data", "{0}/silent")[0]
    assert found["entropy (SVE)"] == pytest.approx(0, abs=1e-3)
    assert found["share of the 5 largest"] == 1


def test_no_more_clips_than_asked_for(place, capsys):
    found = told(place, capsys, "{0}/model0", "--data", "{0}/sounds", "--most", "3")
    assert found[0]["clips"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{0}/model0", "--data", "{0}/one"], "holds one clip"),
        (["{0}/model0", "--data", "{0}/broken"], "0.wav"),
        (["{0}/model0", "--data", "{0}/nothing"], "no data set and no file or folder"),
        (["{0}/model0", "--data", "{0}/sounds", "--most", "1"], "--most is 1"),
        (["ast-mimi", "--data", "{0}/sounds"], "Did you mean 'ast-mini'"),
        (["{0}/model0", "ast-mimi", "--data", "{0}/sounds"], "Did you mean 'ast-mini'"),
        (["{0}/sounds", "--data", "{0}/sounds"], "is no model folder"),
        (["--data", "{0}/sounds"], "name at least one model"),
        (["{0}/model0"], "--data"),
    ],
)
def test_what_cannot_be_done_is_one_line(place, capsys, words, message):
    assert cli.main(["spectrum", *(word.format(place) for word in words)]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.strip().count("\n") == 0
    assert said.out == ""
