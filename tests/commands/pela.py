from __future__ import annotations

from pathlib import Path


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """A bundled encoder made small with labels and without, used, and wrongly asked for."""
    small, cut, tuned, heard = (str(folder / n) for n in ("small", "cut", "tuned", "sounds"))
    labelled = ["--data", data, "--task", task, "--steps", "4"]
    compress = ["compress", "ast-mini", "--data", data]
    taught = ["adapt", "ast-mini", *labelled, "--method", "pela"]
    return [
        ([*compress, "--ratio", "2", "--steps", "4", "-o", small], 0),
        ([*compress, "--objective", "pretraining", "--steps", "3", "-o", f"{small}-own"], 0),
        (["compress", "ast-mini", "--ratio", "3", "--steps", "0", "-o", cut, "--json"], 0),
        (["embed", heard, "--model", small, "--json"], 0),
        (["adapt", small, *labelled, "-o", tuned], 0),
        (["adapt", small, *labelled, "--method", "lora", "-o", f"{tuned}-lora"], 0),
        ([*taught, "-o", f"{tuned}-labels"], 0),
        ([*taught, "--set", "ratio=3", "-o", f"{tuned}-third", "--json"], 0),
        (["evaluate", tuned, *labelled[:4], "--json"], 0),
        (["tag", heard, "--model", tuned, "--json"], 0),
        (["tag", heard, "--model", f"{tuned}-lora", "--json"], 0),
        (["tag", heard, "--model", f"{tuned}-labels", "--json"], 0),
        ([*compress, "--ratio", "0.5", "-o", f"{small}-a"], 2),
        ([*compress, "--method", "lora", "-o", f"{small}-b"], 2),
        (["compress", small, "--data", data, "--ratio", "4", "-o", f"{small}-c"], 2),
        (["compress", str(folder / "gone"), "--data", data, "-o", f"{small}-d"], 2),
        ([*taught, "--set", "ratio=0"], 2),
        (["embed", str(folder / "broken" / "text.wav"), "--model", small], 2),
    ]
