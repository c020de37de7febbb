"""`sonograph spectrum`: how the vectors of models spread, which tells of noisy pre-training."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg


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
    clips = sorted(
        open_data(args.data, args.folder),
        key=lambda clip: hashlib.sha256(clip.id.encode()).digest(),
    )[: max(2, args.most)]
    rows: list[dict[str, Any]] = []
    for name in args.models:
        encoder: Any = encoder_of(weights.load(name))
        vectors = embed(encoder, [clip.path for clip in clips], "mean", progress=Line(name)).values
        found = spectrum(torch.as_tensor(vectors))
        share = found.singular_values / found.singular_values.sum()
        rows.append(
            {
                "model": name,
                "clips": len(vectors),
                "values": vectors.shape[1],
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
