"""The pictures and sounds of the first page and the guides, made by the models that come along.

    python docs/pictures.py [--esc path/to/ESC-10]

Needs the sets core and asterisk-moh of `sonograph data get`; with ESC-10 (its first four folds were
learned from, the fifth is shown) also the scene and the curve of accuracy against labels.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sonograph as sound
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets
from sonograph.infer.tag import tag
from sonograph.losses.separation import si_snr
from sonograph.recipes.separate.bundled import ALL
from sonograph.recipes.separate.picture import RANGE_DB, decibels
from sonograph.report.picture import ember
from sonograph.writing import write_whole

HERE = Path(__file__).parent
INK, SOFT, ACCENT, BLUE, PAPER = "#211d29", "#67616f", "#9c3d1e", "#0b66a8", "#faf8f3"
HEARD = 41  # held-out mixtures, of which the one with the median gain is shown
LEAST = 0.1  # sounds in quick succession share windows, and none of them fills one
FEW, SEEDS = (1, 2, 4, 8, 16), 5


def figure(width: float, height: float, rows: int, **more: Any) -> tuple[Any, Any]:
    """A figure on paper, with its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(made)
    return made, np.atleast_1d(made.subplots(rows, 1, sharex=True, **more))


def plain(axis: Any) -> None:
    """An axis without a box."""
    axis.set_facecolor(PAPER)
    axis.tick_params(labelsize=8, colors=SOFT, length=0)
    for side in axis.spines.values():
        side.set_visible(False)


def keep(made: Any, name: str) -> None:
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=110, facecolor=PAPER)
    from PIL import Image

    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(96).save(small, "png", optimize=True)
    write_whole(HERE / "pictures" / name, small.getvalue())


def show(axis: Any, samples: np.ndarray, rate_hz: int, top: float | None = None) -> float:
    """A spectrogram up to 8 kHz; the loudest value, which others of a picture are held against."""
    from matplotlib.colors import ListedColormap

    values = decibels(samples, rate_hz)
    values = values[: round(len(values) * min(1.0, 16_000 / rate_hz))]
    top = values.max() if top is None else top
    extent = (0, len(samples) / rate_hz, 0, min(8.0, rate_hz / 2000))
    axis.imshow(
        values, origin="lower", aspect="auto", cmap=ListedColormap(ember() / 255),
        vmin=top - RANGE_DB, vmax=top, extent=extent,
    )  # fmt: skip
    plain(axis)
    axis.set_ylabel("kHz", fontsize=8, color=SOFT)
    return float(top)


def front() -> None:
    """A held-out mixture of speech and noise, and the speech that the enhancer took out of it."""
    mixtures = ALL["enhancer"].mixtures("test", 1, 6.0, 3)
    rows = []
    for number in range(HEARD):
        batch = mixtures.batch(number)
        noisy = sound.Audio(batch["mixture"][0].numpy(), 16_000)
        clear, truth = sound.enhance(noisy), batch["sources"][0, :1]
        made = [torch.from_numpy(one.samples)[None] for one in (noisy, clear)]
        before, after = (float(si_snr(one, truth[None]).mean()) for one in made)
        rows.append((after - before, before, after, noisy, clear))
    _, before, after, noisy, clear = sorted(rows, key=lambda row: row[0])[len(rows) // 2]
    print(f"of {HEARD} mixtures the one in the middle: {before:.1f} -> {after:.1f} dB")
    made, axes = figure(9, 4.2, 2)
    top = show(axes[0], noisy.samples[0], 16_000)
    show(axes[1], clear.samples[0], 16_000, top)
    for axis, words in zip(axes, ("as it was recorded", "after `sonograph enhance`")):
        axis.set_title(words.replace("`", ""), fontsize=10, color=INK, loc="left")
    axes[1].set_xlabel("seconds", fontsize=8, color=SOFT)
    keep(made, "enhance.png")
    level = 0.7 / np.abs(noisy.samples).max()
    for name, audio in (("noisy", noisy), ("clear", clear)):
        sound.Audio(audio.samples * level, 16_000).write(HERE / "sounds" / f"{name}.mp3")


def scene(folder: Path) -> tuple[sound.Audio, Any]:
    """Sounds one after the other, each of recordings that the tagger never heard, and its tags."""
    esc = [clip for clip in Clips.open(folder) if clip.split == "fold5"]
    speech = open_sets(["asterisk-en"]).split("test")
    music = open_sets(["fretsonfire-sectoid"])
    parts = [
        next(c for c in speech if c.duration_s > 3).read(16_000)[:56_000],
        next(c for c in esc if c.labels["class"] == "dog_bark").read(16_000)[:24_000],
        next(c for c in esc if c.labels["class"] == "rain").read(16_000)[:48_000],
        next(c for c in esc if c.labels["class"] == "rooster").read(16_000)[:40_000],
        next(iter(music)).read(16_000)[320_000:384_000],  # songs begin softly
    ]
    quiet = np.zeros(6_000, np.float32)
    levelled = [0.3 * part / np.abs(part).max() for part in parts]
    audio = sound.Audio(np.concatenate([x for part in levelled for x in (part, quiet)]), 16_000)
    return audio, tag(sound.load("panns-mini"), audio, least=LEAST)  # type: ignore[arg-type]


def tags(folder: Path) -> None:
    """What is heard in a scene, and when."""
    audio, found = scene(folder)
    rows = list(dict.fromkeys(span.label for span in found.spans))
    made, axes = figure(9, 2.6 + 0.22 * len(rows), 2, height_ratios=(2.2, 0.25 * len(rows)))
    show(axes[0], audio.samples[0], 16_000)
    plain(axes[1])
    for span in found.spans:
        place = len(rows) - 1 - rows.index(span.label)
        axes[1].barh(place, span.end_s - span.start_s, 0.7, span.start_s, color=ACCENT,
                     alpha=0.35 + 0.65 * span.score)  # fmt: skip
    axes[1].set_yticks(range(len(rows)), rows[::-1], fontsize=8)
    axes[1].set_ylim(-0.6, len(rows) - 0.4)
    axes[1].set_xlabel("seconds", fontsize=8, color=SOFT)
    keep(made, "tags.png")
    for span in found.spans:
        print(f"{span.start_s:6.2f} - {span.end_s:6.2f} s  {span.label} {span.score:.0%}")


def labels(folder: Path) -> None:
    """Accuracy on ESC-10's last fold against the labels of each class that are learned from."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clips = Clips.open(folder).labelled("class")
    paths, truth = [clip.path for clip in clips], np.array([c.labels["class"] for c in clips])
    held = np.array([clip.split == "fold5" for clip in clips])
    ways = {
        "ast-mini": (sound.load("ast-mini").embed(paths).values, ACCENT),  # type: ignore[operator]
        "mean and deviation of 40 MFCC": (np.stack([mfcc(p) for p in paths]), SOFT),
    }
    made, axes = figure(6, 3.4, 1)
    for name, (vectors, colour) in ways.items():
        scores = np.zeros((SEEDS, len(FEW)))
        for seed in range(SEEDS):
            order = np.random.default_rng(seed).permutation(np.flatnonzero(~held))
            for k, count in enumerate(FEW):
                rows = np.concatenate([order[truth[order] == c][:count] for c in np.unique(truth)])
                head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
                head.fit(vectors[rows], truth[rows])
                scores[seed, k] = head.score(vectors[held], truth[held])
        mean, low, high = 100 * scores.mean(0), 100 * scores.min(0), 100 * scores.max(0)
        axes[0].fill_between(FEW, low, high, color=colour, alpha=0.15, linewidth=0)
        axes[0].plot(FEW, mean, color=colour, marker="o", label=name)
        print(
            name,
            " ".join(
                f"{n}: {m:.0f} % ({a:.0f}-{b:.0f})" for n, m, a, b in zip(FEW, mean, low, high)
            ),
        )
    plain(axes[0])
    axes[0].set_xscale("log", base=2)
    axes[0].set_xticks(FEW, FEW)
    axes[0].grid(axis="y", color="#e3ddd2")
    axes[0].set_xlabel("labelled sounds of each class", fontsize=9, color=SOFT)
    axes[0].set_ylabel("% of new sounds right", fontsize=9, color=SOFT)
    axes[0].legend(frameon=False, fontsize=9, labelcolor=INK)
    keep(made, "few-labels.png")


def mfcc(path: Path) -> np.ndarray:
    """What a sound looks like without any model: mean and deviation over time of 40 MFCC."""
    from sonograph.audio.feature_spec import FeatureSpec, Frontend

    spec = FeatureSpec(kind="mfcc", coefficients=40)
    audio = sound.read(path, rate_hz=spec.rate_hz, channels="mono")
    values = Frontend(spec)(torch.from_numpy(audio.samples), None).values[0]
    return torch.cat([values.mean(1), values.std(1)]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--esc", type=Path, help="a folder with ESC-10")
    given = parser.parse_args()
    front()
    if given.esc is not None:
        tags(given.esc)
        labels(given.esc)


if __name__ == "__main__":
    main()
