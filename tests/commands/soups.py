"""What a user types to make a soup."""

from __future__ import annotations

from pathlib import Path


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """(arguments, exit code): three runs of one start, a soup by each recipe, and refusals."""
    runs = [str(folder / f"run{number}") for number in range(3)]
    probe, far, heard = (str(folder / name) for name in ("probe", "far", "sounds"))
    labelled = ["--data", data, "--task", task]

    def adapt(run: str, *more: str) -> list[str]:
        return ["adapt", "ssast-mini", *labelled, "-o", run, *more]

    def soup(name: str, *more: str) -> list[str]:
        return ["soup", *more, *labelled, "-o", str(folder / name)]

    rates = ("3e-4", "5e-4", "8e-4")
    return [
        *((adapt(run, "--steps", "12", "--lr", rate), 0) for run, rate in zip(runs, rates)),
        (adapt(probe, "--steps", "60", "--method", "linear"), 0),
        (soup("greedy", *runs), 0),
        (soup("greedy", *runs, "--json"), 0),
        (soup("uniform", *runs, "--recipe", "uniform"), 0),
        (soup("learned", *runs, "--recipe", "learned", "--json"), 0),
        (soup("mixed", probe, runs[0], "--recipe", "interpolate", "--share", "0.5"), 0),
        (["tag", heard, "--model", str(folder / "greedy"), "--json"], 0),
        (["evaluate", str(folder / "learned"), *labelled, "--json"], 0),
        (["adapt", "ssast-demo", *labelled, "-o", far, "--steps", "5"], 0),
        (soup("bad", runs[0]), 2),
        (soup("bad", runs[0], runs[0]), 2),
        (soup("bad", runs[0], far), 2),
        (soup("bad", runs[0], str(folder / "broken")), 2),
        (soup("bad", *runs, "--hold-out", "none"), 2),
        (soup("run1", *runs), 2),
    ]
