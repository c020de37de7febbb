"""`sonograph spectrum`: how the vectors of models spread, which tells of noisy pre-training."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from sonograph.data.clips import Clip
    from sonograph.outputs import Audio


@dataclasses.dataclass(frozen=True)
class Args:
    models: Positional[Annotated[tuple[str, ...], arg(metavar="MODEL")]]
    """Bundled names, run folders or published files to compare."""
    data: tuple[str, ...]
    """Sounds to embed: a .csv, a folder, or a corpus."""
    most: int = 1000
    """Clips at most, those whose id hashes lowest."""
    folder: Path | None = None
    """Where fetched corpora lie; else $SONOGRAPH_DATA, else ./sonograph-data."""
    json: bool = False
    """Print JSON."""


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def run(args: Args) -> int:
    import numpy as np
    import torch

    from sonograph import weights
    from sonograph.data.named import open_data
    from sonograph.errors import InputError
    from sonograph.infer.embed import embed, encoder_of
    from sonograph.progress import Line
    from sonograph.systems.adapt.noise_tuning import spectrum
    from sonograph.verbs import show

    if not args.models:
        raise InputError("name at least one model: `sonograph models --bundled` lists some")
    if args.most < 2:
        raise InputError(f"--most is {args.most}: a spectrum is of two clips or more")
    encoders: list[Any] = [encoder_of(weights.load(name)) for name in args.models]
    clips = sorted(open_data(args.data, args.folder), key=lambda clip: _hash(clip.id))[: args.most]
    if len(clips) < 2:
        raise InputError(
            f"{' '.join(args.data)} holds one clip: a spectrum is of two or more, the more the "
            "better"
        )
    rows: list[dict[str, Any]] = []
    for name, encoder in zip(args.models, encoders):
        tell, vectors = Line(name), []
        for number, clip in enumerate(clips):
            vectors.append(embed(encoder, _sound(clip, encoder.spec.rate_hz), "mean").values[0])
            tell(number + 1, len(clips))
        found = spectrum(torch.as_tensor(np.stack(vectors)))
        share = found.singular_values / found.singular_values.sum()
        rows.append(
            {
                "model": name,
                "clips": len(vectors),
                "values": len(vectors[0]),
                "entropy (SVE)": round(found.entropy, 4),
                "largest, -log share (LSVR)": round(found.largest_log_ratio, 4),
                "share of the 5 largest": round(float(share[:5].sum()), 4),
            }
        )
    if args.json:
        show.as_json(rows)
    else:
        show.table(list(rows[0]), [list(row.values()) for row in rows])
    return 0


def _sound(clip: Clip, rate_hz: int) -> Path | Audio:
    """What is heard of a clip: a whole file is read block by block, a part of one at once."""
    from sonograph.outputs import Audio

    frames = round((clip.start_s + clip.duration_s) * clip.rate_hz)
    if clip.start_s == 0 and frames >= clip.file_frames - 1:
        return clip.path
    return Audio(clip.read(rate_hz)[None], rate_hz)
