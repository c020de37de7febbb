from __future__ import annotations

from pathlib import Path


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """Spectra of bundled encoders and runs, both heads taught and used, and what is refused."""
    repaired, plain, heard = (str(folder / name) for name in ("repaired", "plain", "sounds"))
    labelled = ["--data", data, "--task", task]
    adapt = ["adapt", "ast-mini", *labelled, "--steps", "20"]
    few = ["--most", "20"]
    return [
        (["spectrum", "ast-mini", "ssast-mini", "--data", data, *few], 0),
        (["spectrum", "ast-mini", "--data", data, *few, "--json"], 0),
        (["spectrum", "ast-mini", "--data", heard], 0),
        ([*adapt, "--method", "nmtune", "-o", repaired], 0),
        ([*adapt, "--method", "nmtune", "-o", repaired, "--json"], 0),
        ([*adapt, "--method", "mlp", "--set", "ratio=2", "-o", plain, "--json"], 0),
        (["evaluate", repaired, *labelled, "--json"], 0),
        (["evaluate", plain, *labelled, "--json"], 0),
        (["tag", heard, "--model", repaired, "--json"], 0),
        (["spectrum", repaired, "--data", heard, "--json"], 0),
        (["spectrum", "ast-mimi", "--data", heard], 2),
        (["spectrum", "ast-mini", "--data", str(folder / "broken")], 2),
        (["spectrum", "ast-mini", "--data", f"{heard}/mono.wav"], 2),
        (["spectrum", "ast-mini", "--data", heard, "--most", "1"], 2),
        (["spectrum", "--data", heard], 2),
        ([*adapt, "--method", "nmtune", "--set", "ratio=0", "-o", f"{plain}-a"], 2),
        ([*adapt, "--method", "nmtune", "--set", "covariance=-1", "-o", f"{plain}-b"], 2),
        ([*adapt, "--method", "nmtoon", "-o", f"{plain}-c"], 2),
        (["tag", str(folder / "broken" / "text.wav"), "--model", repaired], 2),
    ]
