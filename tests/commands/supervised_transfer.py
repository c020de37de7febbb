"""What a user of LOOK types, and the exit code to expect."""

from __future__ import annotations

from pathlib import Path

ENCODERS = ("ssast-test", "beats-test", "panns-test", "tera-test")


def commands(folder: Path, preset: str, data: str, task: str) -> list[tuple[list[str], int]]:
    """The three objectives on several encoders; the runs tag, embed, search and are adapted."""
    heard, broken = str(folder / "sounds"), str(folder / "broken" / "text.wav")
    look, plain, other, tuned = (str(folder / name) for name in ("look", "plain", "other", "tuned"))
    labelled = ["--data", data, "--task", task]
    chosen = ENCODERS[0]

    def train(encoder: str, objective: str, *more: str) -> list[str]:
        return ["train", encoder, "--objective", objective, *labelled, "--steps", "10", *more]

    every = [(train(name, "look", "-o", str(folder / f"look-{name}")), 0) for name in ENCODERS[1:]]
    return [
        (train(chosen, "look", "-o", look), 0),
        (train(chosen, "look", "-o", look, "--json"), 0),  # there already: goes on, to no end
        (train(chosen, "cross-entropy", "-o", plain), 0),
        (train(chosen, "supcon", "-o", other), 0),
        *every,
        (["tag", heard, "--model", look, "--json"], 0),
        (["tag", heard, "--model", plain, "--json"], 0),
        (["tag", heard, "--model", other], 0),
        (["evaluate", plain, *labelled, "--json"], 0),
        (["embed", heard, "--model", look, "-o", str(folder / "vectors.npz")], 0),
        (["search", f"{heard}/mono.wav", heard, "--model", look, "--json"], 0),
        (["adapt", look, *labelled, "--steps", "10", "-o", tuned], 0),
        (train(chosen, "look", "--task", "nothing-like-it", "-o", str(folder / "a")), 2),
        (train(chosen, "look", "--set", "model.k=5000", "-o", str(folder / "b")), 2),
        (train(chosen, "lok", "-o", str(folder / "c")), 2),
        (["train", chosen, *labelled, "-o", str(folder / "d")], 2),
        (train(chosen, "supcon", "-o", look), 2),  # that run was begun with another objective
        (["tag", broken, "--model", look], 2),
    ]
