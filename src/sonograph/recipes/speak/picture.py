"""Spectrograms of recordings, of the same through the vocoder, and of their texts spoken.

python -m sonograph.recipes.speak.picture docs/pictures/voice.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sonograph.data.clips import Clip
from sonograph.errors import missing_extra
from sonograph.infer.speak import Voice, open_voice
from sonograph.infer.vocode import analyse, synthesise
from sonograph.outputs import Audio
from sonograph.report.picture import ember
from sonograph.writing import write_whole

COUNT, SHORTEST_S, LONGEST_S = 3, 1.6, 3.0
COLUMNS = ("recording", "through the vocoder", "text spoken")


def draw(voice: Voice, clips: list[Clip], path: Path) -> None:
    """One row a clip, on a common time axis of each row; Raises InputError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.colors import ListedColormap
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot") from None
    import io

    figure = Figure(figsize=(11, 2.3 * len(clips)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(clips), 3, squeeze=False)
    shades = ListedColormap(ember() / 255)
    for number, (row, clip) in enumerate(zip(axes, clips)):
        wanted = np.concatenate([b.numpy() for b in analyse(clip.path, voice.spec)], axis=1)
        sounds = [
            np.concatenate(list(synthesise(voice.vocoder, analyse(clip.path, voice.spec))), axis=1),
            np.concatenate([one.audio.samples for one in voice.say(clip.text or "")], axis=1),
        ]
        made = [
            np.concatenate(
                [b.numpy() for b in analyse(Audio(s, voice.spec.rate_hz), voice.spec)], 1
            )
            for s in sounds
        ]
        widest = max(values.shape[1] for values in (wanted, *made))
        for axis, values, title in zip(row, (wanted, *made), COLUMNS):
            seconds = values.shape[1] / voice.spec.frame_rate_hz
            axis.imshow(
                values,
                origin="lower",
                aspect="auto",
                cmap=shades,
                vmin=wanted.max() - 9,
                vmax=wanted.max(),
                extent=(0, seconds, 0, voice.spec.rows),
                interpolation="nearest",
            )
            axis.set_xlim(0, widest / voice.spec.frame_rate_hz)
            axis.set_facecolor(ember()[0] / 255)
            axis.set_yticks([])
            if number == 0:
                axis.set_title(title, fontsize=10)
            if number == len(clips) - 1:
                axis.set_xlabel("seconds", fontsize=9)
        row[0].set_ylabel("\n".join(_lines(clip.text or "")), fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_whole(path, buffer.getvalue())


def _lines(text: str, width: int = 22) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)[:4]


def main(arguments: list[str] | None = None) -> None:
    from sonograph.recipes.speak.voice import held_out

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path)
    given = parser.parse_args(arguments)
    spoken, _ = held_out()
    fitting = [clip for clip in spoken if SHORTEST_S <= clip.duration_s <= LONGEST_S]
    draw(open_voice(), fitting[:COUNT], given.path)


if __name__ == "__main__":
    main()
