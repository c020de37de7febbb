"""The shards of a result as one: rows in the order of the manifest, vectors as one .npz.

Neither is held in memory: rows are copied, vectors are written into the archive shard by shard.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonograph.errors import InputError
from sonograph.scale.manifest import Shard
from sonograph.scale.places import Place
from sonograph.scale.work import SHARDS

ROWS, VECTORS = "results.jsonl", "vectors.npz"


def merge(place: Place, shards: Sequence[Shard], model: str) -> tuple[str, ...]:
    """Write `results.jsonl`, and `vectors.npz` as `outputs.Embedding` reads it; their names."""
    held = place.sizes(SHARDS)
    with_vectors = [shard for shard in shards if f"{shard.name}.npz" in held]
    with place.room() as room:
        with open(room / ROWS, "wb") as out:
            for shard in shards:
                out.write(_part(place, f"{shard.name}.jsonl"))
        if with_vectors:
            _vectors(place, with_vectors, model, room / VECTORS)
            place.put(room / VECTORS, VECTORS)
        place.put(room / ROWS, ROWS)
    return (ROWS, VECTORS) if with_vectors else (ROWS,)


def _part(place: Place, name: str) -> bytes:
    content = place.read(f"{SHARDS}/{name}")
    if content is None:
        raise InputError(f"{place.at(f'{SHARDS}/{name}')} is gone: run again")
    return content


def _vectors(place: Place, shards: Sequence[Shard], model: str, target: Path) -> None:
    """The .npz in two passes: what there is, then the values of one shard after the other."""
    names: list[str] = []
    widths: set[int] = set()
    for shard in shards:
        with np.load(io.BytesIO(_part(place, f"{shard.name}.npz"))) as part:
            names += [str(name) for name in part["names"]]
            widths.add(part["values"].shape[1])
    if len(widths) != 1:
        raise InputError(f"{place.url} holds vectors of {sorted(widths)} values: start it anew")
    head = {"descr": "<f4", "fortran_order": False, "shape": (len(names), widths.pop())}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("values.npy", "w", force_zip64=True) as out:
            np.lib.format.write_array_header_1_0(out, head)
            for shard in shards:
                with np.load(io.BytesIO(_part(place, f"{shard.name}.npz"))) as part:
                    shutil.copyfileobj(io.BytesIO(part["values"].astype("<f4").tobytes()), out)
        for key, value in (("names", np.array(names)), ("model", np.array(model))):
            with archive.open(f"{key}.npy", "w") as out:
                np.lib.format.write_array(out, value, allow_pickle=False)
