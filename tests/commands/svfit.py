from __future__ import annotations

from pathlib import Path


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """Singular values of a bundled encoder, learned, measured, used, and wrongly asked for."""
    tuned, heard = str(folder / "tuned"), str(folder / "sounds")
    labelled = ["--data", data, "--task", task]
    adapt = ["adapt", "ast-mini", *labelled, "--steps", "4"]
    return [
        ([*adapt, "--method", "svfit", "-o", tuned], 0),
        ([*adapt, "--method", "svfit", "--budget", "0.05%", "-o", f"{tuned}-small", "--json"], 0),
        ([*adapt, "--method", "svfit+norms", "--merge", "-o", f"{tuned}-merged"], 0),
        (["evaluate", tuned, *labelled, "--json"], 0),
        (["tag", heard, "--model", tuned, "--json"], 0),
        (["tag", heard, "--model", f"{tuned}-merged", "--json"], 0),
        ([*adapt, "--method", "svfit", "--set", "rank=4000", "-o", f"{tuned}-a"], 2),
        ([*adapt, "--method", "svfit", "--set", "where=atention.*", "-o", f"{tuned}-b"], 2),
        ([*adapt, "--method", "svfit", "--budget", "1", "-o", f"{tuned}-c"], 2),
        (["tag", str(folder / "broken" / "text.wav"), "--model", tuned], 2),
    ]
