"""Make a trained encoder one that ships: half precision, with a card that states what it is worth.

    sonograph train ssast-mini --data core -o runs/ssast-mini      (goes on where it was)
    python -m sonograph.recipes.bundle runs/ssast-mini ssast-mini --probe path/to/ESC-10

The worth is a linear probe of frozen vectors over the published folds of a labelled set, beside
two things that never heard a sound in training: MFCC statistics and the same encoder untrained.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from tyro.conf import Positional

from sonograph import weights
from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.data.clips import Clips
from sonograph.infer.embed import Pool, embed
from sonograph.metrics.intervals import mean_interval
from sonograph.progress import Line, Progress, silent
from sonograph.train.probe import linear_probe

# 20 coefficients of 64 Slaney bands, windows of 64 ms every 32
MFCC = FeatureSpec(
    kind="mfcc",
    window_samples=1024,
    hop_samples=512,
    fft_samples=1024,
    window="hann",
    bins=64,
    high_hz=8000.0,
    mel_scale="slaney",
    mel_norm="slaney",
    log="db",
    log_floor=1e-10,
    center="reflect",
    preemphasis=0.0,
    remove_dc="none",
    clip_mean="keep",
    mean=0.0,
    deviation=1.0,
    coefficients=20,
)


def mfcc_statistics(clips: Clips) -> np.ndarray:
    """Mean and standard deviation over time of 20 MFCCs: (clips, 40)."""
    frontend, rows = Frontend(MFCC), []
    for clip in clips:
        values = frontend(torch.from_numpy(clip.read(MFCC.rate_hz))[None], None).values[0]
        rows.append(torch.cat([values.mean(1), values.std(1, unbiased=False)]).numpy())
    return np.stack(rows)


def probe_folds(vectors: np.ndarray, clips: Clips, task: str) -> list[float]:
    """Accuracy of a linear probe on each published fold, the penalty chosen within the others."""
    classes, folds = clips.classes(task), sorted({clip.split or "" for clip in clips})
    x = torch.from_numpy(vectors.astype(np.float64))
    y = torch.tensor([classes.index(clip.labels[task]) for clip in clips])
    fold = torch.tensor([folds.index(clip.split or "") for clip in clips])
    accuracies = []
    for k in range(len(folds)):
        train, test = fold != k, fold == k
        found = linear_probe(x[train], y[train], x[test], y[test], folds=fold[train])
        accuracies.append(found.accuracy)
    return accuracies


def _measured(vectors: np.ndarray, clips: Clips, task: str) -> dict[str, Any]:
    accuracies = probe_folds(vectors, clips, task)
    return {
        "accuracy": mean_interval(accuracies).mean,
        "folds": accuracies,
        "values_a_clip": vectors.shape[1],
    }


def worth(encoder: Any, probe: Path, progress: Progress = silent) -> dict[str, Any]:
    """A linear probe of frozen vectors: of the encoder, of the same untrained, and of MFCCs."""
    clips = Clips.open(probe)
    task = next(iter(clips.tasks()))
    paths = [clip.path for clip in clips]
    measured = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = weights.build(encoder.describe()).eval()
    for words, one in (("this encoder, frozen", encoder), ("the same untrained", untrained)):
        for pool in get_args(Pool):
            vectors = embed(one, paths, pool, progress=progress).values
            measured[f"{words}, {pool}"] = _measured(vectors, clips, task)
    measured["statistics of 20 MFCCs"] = _measured(mfcc_statistics(clips), clips, task)
    return {
        "data": f"{probe.name}: {len(clips)} clips, {len(clips.classes(task))} classes, "
        "published folds; never trained on",
        "vectors": "statistics: mean and deviation over time of each frequency row; mean: of "
        "all tokens (sonograph.infer.embed)",
        "measured": measured,
    }


def bundle(
    run: Path, name: str, probe: Path, target: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Write `target/name` from the encoder of a pre-training run; returns the card."""
    model: Any = weights.load_folder(run)
    trained = model.encoder
    card = {
        **{key: value for key, value in model.card.items() if key != "sha256"},
        "name": name,
        "parameters": sum(p.numel() for p in trained.parameters()),
        "intended_use": (
            "Vectors of any sound for search, clustering, and labels from few examples; a start "
            "for `sonograph adapt`."
        ),
        "limits": (
            "Trained for about an hour on two cores on a few hours of prompts in five languages, "
            "Mandarin syllables, rock music, game sound effects and samples; it has not heard the "
            "breadth of the world, and does not recognise words or people."
        ),
        "linear_probe": worth(trained, probe, progress),
    }
    weights.save_folder(target / name, trained, card, dtype="float16")
    return card


@dataclasses.dataclass(frozen=True)
class Args:
    run: Positional[Path]
    """A pre-training run."""
    name: Positional[str]
    """What the bundled model is called."""
    probe: Path
    """A labelled set with published folds, like ESC-10."""
    target: Path = weights.BUNDLED
    """The folder of bundled models."""


def main() -> None:
    import tyro

    args = tyro.cli(Args, description=__doc__)
    card = bundle(args.run, args.name, args.probe, args.target, Line("listening"))
    for words, found in card["linear_probe"]["measured"].items():
        print(f"{found['accuracy']:.1%}  {words} ({found['values_a_clip']} values)")


if __name__ == "__main__":
    main()
