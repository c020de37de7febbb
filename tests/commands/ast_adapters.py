from __future__ import annotations

from pathlib import Path


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """Each kind of adaptation of a bundled encoder, used, and wrongly asked for."""
    tuned, heard = str(folder / "tuned"), str(folder / "sounds")
    labelled = ["--data", data, "--task", task]
    adapt = ["adapt", "ast-mini", *labelled, "--steps", "4"]
    return [
        (["methods"], 0),
        (["methods", "adapter*", "--json"], 0),
        (["methods", "adaptor"], 2),
        ([*adapt, "--method", "adapter", "--budget", "0.3%", "-o", tuned], 0),
        ([*adapt, "--method", "conformer+norms", "-o", f"{tuned}-conformer"], 0),
        ([*adapt, "--method", "lora", "--set", "rank=4", "-o", f"{tuned}-lora"], 0),
        ([*adapt, "--method", "prompt-deep", "--set", "count=4", "-o", f"{tuned}-prompts"], 0),
        ([*adapt, "--method", "prefix", "--merge", "-o", f"{tuned}-prefix"], 0),
        ([*adapt, "--method", "moa-soft", "-o", f"{tuned}-mixture"], 0),
        (["evaluate", tuned, *labelled, "--json"], 0),
        (["tag", heard, "--model", f"{tuned}-conformer", "--json"], 0),
        (["tag", heard, "--model", f"{tuned}-prefix", "--json"], 0),
        ([*adapt, "--method", "conformr", "-o", f"{tuned}-a"], 2),
        ([*adapt, "--method", "adapter", "--set", "iner=4", "-o", f"{tuned}-b"], 2),
        ([*adapt, "--method", "bitfit", "--budget", "3", "-o", f"{tuned}-c"], 2),
        (["adapt", "panns-mini", *labelled, "--method", "adapter", "-o", f"{tuned}-d"], 2),
        (["tag", str(folder / "broken" / "cut.flac"), "--model", tuned], 2),
    ]
