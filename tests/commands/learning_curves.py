"""What a user types to know what more data or more steps would bring."""

from __future__ import annotations

from pathlib import Path

from sonograph import records


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """(arguments, exit code): real curves of the claim, a training that is watched, refusals."""
    kept = records.of(records.read_all(), "learning_curves", "claim")
    curves = [row for record in kept for row in record.details.get("curves", ())]
    calm = write(folder / "calm.csv", next(row for row in curves if row["half"]))
    wild = write(folder / "wild.csv", next(row for row in curves if not row["half"]))
    words, run = folder / "words.csv", str(folder / "run")
    words.write_text("size,accuracy\n10,high\n")
    few = ["train", "ssast-test", "--data", data, "--steps", "5", "-o", run]
    return [
        (["forecast", calm, "--at", "500,1000"], 0),
        (["forecast", calm, wild, "--json"], 0),
        (["forecast", calm, "--plot", str(folder / "calm.png")], 0),
        (["forecast", wild], 1),
        ([*few, "--stop-when-flat", "0.01", "--set", "held_out_batches=1"], 0),
        (["forecast", run, "--of", "loss"], 1),  # five evaluations are too few
        (["forecast", str(words)], 2),
        (["forecast", str(folder / "nothing")], 2),
        (["forecast", calm, "--at", "soon"], 2),
        ([*few, "--stop-when-flat", "-1"], 2),
    ]


def write(path: Path, curve: dict) -> str:
    """The first half of a measured curve as a table."""
    pairs = zip(curve["sizes"], curve["accuracies"])
    seen = [f"{n},{a}" for n, a in pairs if n <= curve["sizes"][-1] / 2]
    path.write_text("\n".join(["size,accuracy", *seen]) + "\n")
    return str(path)
