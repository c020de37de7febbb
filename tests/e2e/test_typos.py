"""What is mistyped is answered with one line that suggests, and exit code 2."""

from __future__ import annotations

import pytest

from sonograph.cli import VERBS, main
from tests.e2e.commands import furnish


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("room"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("embd 0.wav", "Did you mean 'embed'"),
        ("adapt ssast-tst --data labels.csv", "Did you mean 'ssast-test'"),
        ("adapt ssast-test --dta labels.csv", "no option --dta. Did you mean '--data'"),
        ("adapt ssast-test --data label.csv", "is no data set and no file or folder"),
        ("adapt ssast-test --data labels.csv --task clas", "Did you mean 'class'"),
        ("adapt ssast-test --data labels.csv --method laro", "'lora'"),
        ("adapt ssast-test --data labels.csv --hold-out tst", "Did you mean 'test'"),
        ("adapt ssast-test", "--data"),
        ("adapt ssast-test --data labels.csv --steps many", "--steps"),
        ("adapt ssast-test --data labels.csv --steps 0", "steps is 0"),
        ("train ssast-tst --data .", "Did you mean 'ssast-test'"),
        ("train ssast-test --data mni", "Did you mean 'mini'"),
        ("train ssast-test --data . --objective jont", "joint, discriminative, generative"),
        ("train ssast-test --data . --set trian.lr=1", "Did you mean 'train'"),
        ("train ssast-test --data . --set train.lr", "is no FIELD=VALUE"),
        ("train ssast-test --data core", "run `sonograph data get core`"),
        ("data gte mini", "Did you mean 'get'"),
        ("data get minii", "Did you mean 'mini'"),
        ("data get", "what? Give names"),
        ("data show timgm6mb", "run `sonograph data get timgm6mb`"),
        ("evaluate ssast-test --data labels.csv", "no model 'ssast-test'"),
        ("embed 0.wav --model ssast-mni", "no model 'ssast-mni'"),
        ("tag 0.wav --least 2", "--least is 2.0: give a probability"),
        ("tag 0.wav --format cvs", "Expected one of ('text', 'json', 'csv', 'audacity')"),
        ("models ssats-*", "no model is called 'ssats-*'"),
        ("info ssast-tst", "Did you mean 'ssast-test'"),
    ],
)
def test_one_line_that_suggests(room, monkeypatch, capsys, words, said):
    monkeypatch.chdir(room)
    monkeypatch.delenv("SONOGRAPH_DATA", raising=False)
    assert main(words.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith("sonograph: ")
    assert said in told.err
    assert {path.name for path in room.iterdir()} == {*(f"{k}.wav" for k in range(5)), "labels.csv"}


def test_every_verb_is_listed_with_what_it_does(capsys):
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(f"  {verb}" in told for verb in VERBS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sonograph 0.")
