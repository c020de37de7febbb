"""Where phones end by their labels, by the learned aligner and by CTC; and how far off they are.

    python -m sonograph.recipes.speak.boundary_picture docs/systems/fastspeech.png \
        --run runs/claim-fastspeech-cpu

draws what `sonograph claim fastspeech` left in that folder, the first seed's first held-out
sentence above; nothing is trained again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sonograph.data.corpora import open_corpus
from sonograph.errors import InputError, missing_extra
from sonograph.progress import silent
from sonograph.recipes.speak import boundaries
from sonograph.recipes.speak.boundaries import Heard, Labelled, Scale, Source
from sonograph.recipes.speak.corpus import measured_folder
from sonograph.report.picture import ember
from sonograph.writing import write_whole

SECONDS = 2.6  # of the sentence
FARTHEST_MS = 100
COLOURS = {
    boundaries.ALIGNER: "#00a5e0", boundaries.FORCED: "#3fbf6b", boundaries.ATTENTION: "#756bb1",
    boundaries.MEANS: "#999999", boundaries.EQUAL: "#cccccc", boundaries.ROUNDED: "#333333",
}  # fmt: skip


def draw(
    corpus: Labelled,
    row: int,
    sources: Mapping[str, Source],
    found: Mapping[str, Sequence[Heard]],
    path: Path,
) -> None:
    """row: the sentence that is shown; sources: whose ends are drawn into it; found: for the
    curves. Raises InputError without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.colors import ListedColormap
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot") from None
    import io

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=(1.25, 1))
    speech, item = corpus.speech, corpus.speech.items[row]
    values, rate = item.read()[0], speech.spec.frame_rate_hz
    above.imshow(
        values, origin="lower", aspect="auto", cmap=ListedColormap(ember() / 255),
        vmin=values.max() - 9, vmax=values.max(), interpolation="nearest",
        extent=(0, values.shape[1] / rate, 0, len(values)),
    )  # fmt: skip
    rows = len(values)
    labelled = np.r_[corpus.ends_s[item.id], item.frames / rate]
    above.vlines(labelled[:-1], 0, rows, color="white", lw=0.9, label="labels")
    for begin, end, number in zip(np.r_[0, labelled], labelled, item.ids):
        if end <= SECONDS:
            above.text((begin + end) / 2, rows + 2, corpus.symbols[number - 1], ha="center",
                       fontsize=8)  # fmt: skip
    batch = speech.batch([row])
    for place, (name, source) in enumerate(sources.items()):
        ends = source(batch)[0].numpy().cumsum()[:-1] / rate
        top = rows * (1 - place / len(sources))
        above.vlines(ends, top - rows / len(sources), top, color=COLOURS[name], lw=2.2,
                     label=name)  # fmt: skip
    above.set_xlim(0, min(SECONDS, values.shape[1] / rate))
    above.set_ylim(0, rows + 8)
    above.set_yticks([])
    above.set_xlabel("seconds", fontsize=9)
    above.legend(loc="upper left", bbox_to_anchor=(1, 1), facecolor="#666666", labelcolor="white",
                 fontsize=8)  # fmt: skip
    limits = np.arange(0, FARTHEST_MS + 1)
    for name, heard in found.items():
        off = np.abs(np.concatenate([one.offsets for one in heard]))
        shares = [100 * float((off <= limit).mean()) for limit in limits]
        below.plot(limits, shares, color=COLOURS[name], label=name)
    below.set_xlim(0, FARTHEST_MS)
    below.set_ylim(0, 100)
    below.grid(alpha=0.3)
    below.set_xlabel("at most so many milliseconds off", fontsize=9)
    below.set_ylabel("% of boundaries", fontsize=9)
    below.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_whole(path, buffer.getvalue())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="folder of the measured claim")
    given = parser.parse_args(arguments)
    plan, folder = boundaries.SCALES["cpu"], given.run / "boundaries"
    if not (folder / "seed0" / "listener").is_dir():
        raise InputError(f"{folder} has no run: `sonograph claim fastspeech --part boundaries`")
    clips = open_corpus(boundaries.CORPUS)
    of_run(boundaries.labelled(clips, measured_folder(), plan.longest_s), plan, folder, given.path)


def of_run(corpus: Labelled, plan: Scale, folder: Path, path: Path) -> None:
    """The picture of a finished run of this corpus and plan."""
    found = boundaries.reported(corpus, plan, folder, lambda title: silent)
    learned, held_out = boundaries.parts_of(corpus, 0)
    taught = boundaries.taught(corpus, learned, plan, 0, folder / "seed0", lambda title: silent)
    shown = {name: source for name, source in taught.items() if name in boundaries.SENTENCES}
    draw(corpus, held_out[0], shown, found, path)


if __name__ == "__main__":
    main()
