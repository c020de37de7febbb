"""`sonograph forecast` on logs and tables as they are found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sonograph.cli import main
from sonograph.errors import InputError
from sonograph.train.log import Log
from sonograph.verbs import forecast as verb

STEPS = range(50, 1050, 50)


def curve(step):
    return 0.9 - 3 * step**-0.5


def log(folder, lines):
    folder.mkdir(parents=True, exist_ok=True)
    for line in lines:
        Log(folder / "log.jsonl").write(line)
    return folder


def held_out(name, values):
    return [{"step": s, "kind": "valid", name: v} for s, v in zip(STEPS, values)]


def table(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def told(capsys, *arguments):
    code = main(["forecast", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_run_folder_and_its_training_folder(tmp_path, capsys):
    lines = held_out("accuracy", map(curve, STEPS))
    lines += [{"step": s, "kind": "train", "loss": 1.0, "accuracy": 0.1} for s in STEPS]
    log(tmp_path / "a", lines)
    log(tmp_path / "b" / "training", lines)
    for name in ("a", "b"):
        code, (one,) = told(capsys, tmp_path / name, "--at", "2000,5000")
        assert (code, one["of"], one["last"]) == (0, "held-out accuracy", 1000)
        np.testing.assert_allclose(one["mean"], [curve(2000), curve(5000)], atol=1e-4)
        np.testing.assert_allclose(one["change"], np.array(one["mean"]) - curve(1000), atol=1e-9)


def test_a_loss_falls_and_is_told_in_words(tmp_path, capsys):
    log(tmp_path, held_out("loss", [0.2 + 5 * s**-0.5 for s in STEPS]))
    assert main(["forecast", str(tmp_path), "--at", "4000"]) == 0
    text = capsys.readouterr().out
    assert "held-out loss 0.3581 at 1,000, 20 observations" in text
    assert "at 4,000: 0.279" in text
    assert "-0.079" in text


def test_a_log_without_evaluations_is_read_from_training_lines_and_averaged(tmp_path, capsys):
    lines = [{"step": s, "kind": "train", "loss": 0.2 + 5 * s**-0.5} for s in range(5, 1005, 5)]
    log(tmp_path, lines)
    _, (one,) = told(capsys, tmp_path)
    assert one["of"] == "training loss"
    assert one["observations"] == verb.MOST
    assert one["at"] == [2 * one["last"]]


def test_tables_with_folds(tmp_path, capsys):
    rng = np.random.default_rng(0)
    sizes = list(range(100, 2100, 100))
    folds = [[curve(s) * 100 + rng.normal(0, 0.2) for _ in range(3)] for s in sizes]
    wide = table(
        tmp_path / "wide.csv",
        "size,accuracy_1,accuracy_2,accuracy_3",
        [[s, *f] for s, f in zip(sizes, folds)],
    )
    long = table(
        tmp_path / "long.csv", "clips,accuracy", [[s, v] for s, f in zip(sizes, folds) for v in f]
    )
    (tmp_path / "a.json").write_text(json.dumps({"x": sizes, "accuracy": folds}))
    rows = [{"size": s, "accuracy": f} for s, f in zip(sizes, folds)]
    (tmp_path / "b.json").write_text(json.dumps(rows))
    answers = []
    for path in (wide, long, tmp_path / "a.json", tmp_path / "b.json"):
        code, (one,) = told(capsys, path, "--at", "5000")
        assert code == 0
        answers.append((one["mean"], one["low"], one["high"]))
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert answers[0][0][0] == pytest.approx(100 * curve(5000), abs=1)


def test_several_runs_are_ordered(tmp_path, capsys):
    """The one that is behind now will be ahead."""
    log(tmp_path / "slow", held_out("accuracy", [0.95 - 6 * s**-0.5 for s in STEPS]))
    log(tmp_path / "quick", held_out("accuracy", [0.8 - 1 * s**-0.8 for s in STEPS]))
    slow, quick = str(tmp_path / "slow"), str(tmp_path / "quick")
    assert main(["forecast", slow, quick, "--at", "1100,9000"]) == 0
    text = capsys.readouterr().out
    assert f"ahead at 1,100: {quick}, {slow}" in text
    assert f"ahead at 9,000: {slow}, {quick}" in text


def test_no_forecast_is_an_answer_with_exit_code_one(tmp_path, capsys):
    log(tmp_path, held_out("accuracy", [0.8 - (s / 500 - 1) ** 2 / 2 for s in STEPS]))
    assert main(["forecast", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "no forecast: the accuracy rises until about 500 and then falls" in text
    code, (one,) = told(capsys, tmp_path)
    assert (code, one["mean"], one["limit"]) == (1, [], None)


def test_since_leaves_out_the_beginning(tmp_path, capsys):
    values = [0.0 if s < 200 else curve(s) for s in STEPS]
    log(tmp_path, held_out("accuracy", values))
    code, (one,) = told(capsys, tmp_path, "--since", "200", "--at", "4000")
    assert (code, one["observations"]) == (0, 17)
    assert one["mean"][0] == pytest.approx(curve(4000), abs=1e-3)


def test_a_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    log(tmp_path / "run", held_out("accuracy", map(curve, STEPS)))
    picture = tmp_path / "curve.png"
    assert main(["forecast", str(tmp_path / "run"), "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["forecast", str(tmp_path / "run"), "--plot", str(tmp_path / "curve.gif")]) == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "no column of sizes"),
        ("a.csv", "accuracy\n0.5\n", "no column of sizes"),
        ("a.csv", "size,height\n1,2\n", "--of"),
        ("a.csv", "size,accuracy\n1,high\n", "line 2"),
        ("a.csv", "size,accuracy\n1\n", "line 2"),
        ("a.csv", "size,accuracy\n1,nan\n2,0.5\n", "NaN"),
        ("a.csv", "size,accuracy\n-1,0.1\n2,0.5\n", "above 0"),
        ("a.csv", "size,accuracy\n1,0.1\n2,500\n", "ceiling"),
        ("a.json", "[1, 2]", "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.json", '{"size": [1, 2], "accuracy": [1]}', "cannot be read"),
        ("a.jsonl", '{"step": 1, "kind": "valid", "height": 3}', "no 'loss'"),
        ("a.jsonl", '{"step": 1, "kind": "valid", "loss": NaN}', "finite"),
        ("a.txt", "1 2", "is no run folder"),
    ],
)
def test_what_is_no_curve_is_one_line(tmp_path, capsys, name, text, words):
    (tmp_path / name).write_text(text)
    assert main(["forecast", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_missing_things_are_one_line(tmp_path, capsys):
    for arguments in (["nowhere"], [str(tmp_path)], [], [str(tmp_path), "--at", "five"]):
        assert main(["forecast", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    log(tmp_path, held_out("accuracy", map(curve, STEPS)))
    with pytest.raises(InputError, match="since 5000"):
        verb.observed(tmp_path, since=5000)
    assert main(["forecast", str(tmp_path), "--of", "acuracy"]) == 2
    assert "Did you mean 'accuracy'" in capsys.readouterr().err
