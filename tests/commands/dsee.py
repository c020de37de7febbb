from __future__ import annotations

from pathlib import Path


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """Changes learned on a bundled encoder, weights and heads taken out, and wrong wishes."""
    tuned, heard = str(folder / "tuned"), str(folder / "sounds")
    labelled = ["--data", data, "--task", task]
    adapt = ["adapt", "ast-mini", *labelled, "--steps", "3", "--method", "dsee"]
    return [
        ([*adapt, "--set", "prune=0.2", "heads=1", "-o", tuned], 0),
        ([*adapt, "--budget", "0.3%", "-o", f"{tuned}-small", "--json"], 0),
        ([*adapt, "--set", "heads=1", "--merge", "-o", f"{tuned}-merged"], 0),
        (["evaluate", tuned, *labelled, "--json"], 0),
        (["tag", heard, "--model", tuned, "--json"], 0),
        (["tag", heard, "--model", f"{tuned}-merged", "--json"], 0),
        ([*adapt, "--set", "heads=3", "-o", f"{tuned}-a"], 2),
        ([*adapt, "--set", "prune=1.5", "-o", f"{tuned}-b"], 2),
        ([*adapt, "--set", "mask=smallest", "-o", f"{tuned}-c"], 2),
        (["tag", str(folder / "broken" / "text.wav"), "--model", tuned], 2),
    ]
