"""Small results with rule-made values, for tests of the page only."""

from __future__ import annotations

import numpy as np

from sonograph.report import (
    Arm,
    Command,
    Costs,
    Curves,
    EmbeddingMap,
    Example,
    Licence,
    MapClip,
    Report,
    Series,
    TaskResult,
)


def example(seconds: float = 0.64, title: str = "first sound", seed: int = 0) -> Example:
    draw = np.random.default_rng(seed)
    columns = int(seconds * 100) // 16
    features = draw.normal(size=(128, 16 * columns)).astype(np.float32)
    samples = draw.uniform(-0.5, 0.5, int(seconds * 16000)).astype(np.float32)
    hidden = draw.random((8, columns)) < 0.5
    labels = {"sound": "rain"}
    return Example(title, labels, samples, 16000, features, hidden, 0.5 * features, (16, 16), 100.0)


def arm(name: str, accuracies: tuple[float, ...]) -> Arm:
    mean = float(np.mean(accuracies))
    return Arm(name, f"what {name} is", accuracies, mean, mean - 0.05, mean + 0.05, 1290, 10**6, 4)


def task(
    pretrained: tuple[float, ...] = (0.8, 0.82, 0.81),
    scratch: tuple[float, ...] = (0.6, 0.61, 0.62),
    classes: tuple[str, ...] = ("rain", "dog", "crow"),
    name: str = "weather or animal",
) -> TaskResult:
    size = len(classes)
    counts = 7 * np.eye(size, dtype=int) + np.arange(size * size).reshape(size, size) % 3
    arms = (arm("scratch", scratch), arm("full", pretrained))
    return TaskResult(
        name, "Which is it?", classes, 30, 21, 1 / size, arms, ("full", "scratch"), counts, "full"
    )


def full_report() -> Report:
    steps = list(range(100))
    curves = Curves(
        "Pre-training",
        "What was trained.",
        steps,
        [
            Series("joint", [5.0 / (1 + s) for s in steps], "loss"),
            Series("right patch", [s / 200 for s in steps], "accuracy", 0.01),
            Series("speed", [50.0] * 100, "clips/s"),
        ],
    )
    points = np.random.default_rng(1).normal(size=(9, 2))
    labels = ["rain", "dog", "crow"] * 3
    clips = {2: MapClip(np.zeros(4000, np.float32), 8000)}
    return Report(
        title="The demo",
        about="What was done.",
        made="made on a Sunday",
        facts=[("5 214", "clips heard")],
        examples=[example()],
        tasks=[task()],
        embedding_map=EmbeddingMap(
            points, labels, [f"clip {i}" for i in range(9)], "principal components", clips=clips
        ),
        pretraining=curves,
        adaptation=[
            Curves("Weather", "Learning.", [0, 5], [Series("full", [0.2, 0.7], "accuracy")])
        ],
        costs=Costs([("pre-training", 182.0), ("probe", 4.0)], 912_000_000, "two cores", 2),
        next_steps=[Command("Name a sound", "sonograph tag FILE --model runs/demo/weather")],
        licences=[Licence("Drums", "GPL-2+", "drum samples", "Debian package drums")],
        limits=["Three runs on one split."],
    )
