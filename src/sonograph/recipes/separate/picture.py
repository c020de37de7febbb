"""Spectrograms of held-out mixtures, of what bundled separators make of them, and of the truth.

    python -m sonograph.recipes.separate.picture docs/systems --claim runs/claim-universal-cpu

writes `mossformer2.png` and `mel_roformer.png`; and `universal.png`, of the models of its claim,
where that was run in the folder that is named.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from sonograph.data.corpora import open_sets
from sonograph.errors import missing_extra
from sonograph.infer.separate import separator_of
from sonograph.losses.separation import in_order, permutation_invariant
from sonograph.recipes.separate.bundled import ALL
from sonograph.recipes.separate.universal import claims
from sonograph.report.picture import ember
from sonograph.weights import load
from sonograph.writing import write_whole

COLUMNS = ("what is heard", "what came out", "what it was")
SYSTEMS = {"mossformer2": ("enhancer", "talkers"), "mel_roformer": ("guitar",)}
SECONDS, RANGE_DB = 4.0, 70.0
ASKED = (("speech", "percussion"), ("door", "speech"), ("guitar", "gunfire"))
NUMBER = 7  # of the held-out mixtures: taken before any was seen

Row = tuple[str, list[np.ndarray], int]  # words, sounds, rate in Hz


def rows_of(name: str) -> list[Row]:
    """One row a stem of a bundled model: (stem, [mixture, estimate, source], rate)."""
    separator = separator_of(load(name))
    batch = ALL[name].mixtures("test", 1, SECONDS, 3).batch(NUMBER)
    with torch.inference_mode():
        made = separator(batch["mixture"])
    wanted = batch["sources"][:, : made.shape[1]]
    if not separator.ordered:
        made = in_order(made, permutation_invariant(made.flatten(2), wanted.flatten(2))[1])
    mixture = batch["mixture"][0].mean(0).numpy()
    return [
        (
            f"{name}: {stem}",
            [mixture, made[0, k].mean(0).numpy(), wanted[0, k].mean(0).numpy()],
            separator.rate_hz,
        )
        for k, stem in enumerate(separator.stems)
    ]


def draw(rows: list[Row], path: Path) -> None:
    """All sounds of a row on one scale of loudness. Raises InputError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.colors import ListedColormap
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot") from None
    import io

    figure = Figure(figsize=(11, 2.4 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 3, squeeze=False)
    shades = ListedColormap(ember() / 255)
    for number, (row, (words, sounds, rate_hz)) in enumerate(zip(axes, rows)):
        pictures = [decibels(sound, rate_hz) for sound in sounds]
        top = pictures[0].max()
        for axis, values, title in zip(row, pictures, COLUMNS):
            axis.imshow(
                values,
                origin="lower",
                aspect="auto",
                cmap=shades,
                vmin=top - RANGE_DB,
                vmax=top,
                extent=(0, len(sounds[0]) / rate_hz, 0, rate_hz / 2000),
                interpolation="nearest",
            )
            if number == 0:
                axis.set_title(title, fontsize=10)
            if number == len(rows) - 1:
                axis.set_xlabel("seconds", fontsize=9)
            axis.tick_params(labelsize=8)
        row[0].set_ylabel(f"{words}\nkHz", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_whole(path, buffer.getvalue())


def decibels(sound: np.ndarray, rate_hz: int) -> np.ndarray:
    """Power in dB, (bins, frames), of frames of some 40 ms."""
    fft = 1 << (round(0.04 * rate_hz) - 1).bit_length()
    spectrum = torch.stft(
        torch.from_numpy(sound), fft, fft // 4, window=torch.hann_window(fft), return_complex=True
    )
    return 20 * np.log10(spectrum.abs().numpy() + 1e-6)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--claim", type=Path, help="where the claim of universal was run")
    given = parser.parse_args(arguments)
    if given.claim is not None:
        clips = open_sets(list(claims.SETS))
        rows = claims.examples(clips, claims.SCALES["cpu"], given.claim, ASKED)
        draw(rows, given.folder / "universal.png")
    for system, names in SYSTEMS.items():
        draw([row for name in names for row in rows_of(name)], given.folder / f"{system}.png")


if __name__ == "__main__":
    main()
