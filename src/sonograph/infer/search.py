"""Sounds that sound like another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from sonograph.errors import InputError
from sonograph.infer.embed import embed
from sonograph.infer.windows import Sound
from sonograph.outputs import Embedding, Match, Matches
from sonograph.progress import Progress, silent


def search(
    model: nn.Module,
    query: Sound,
    collection: Sequence[Sound] | Embedding,
    top: int = 10,
    progress: Progress = silent,
) -> Matches:
    """The sounds of a collection nearest to a query, the nearest first.

    Vectors are standardised by the collection before cosine similarity, so that what all its
    sounds have in common does not count. The query itself is left out where it is part of it.
    """
    index = collection if isinstance(collection, Embedding) else None
    if index is None:
        index = embed(model, collection, progress=progress)  # type: ignore[arg-type]
    vector = embed(model, query).values[0]
    if vector.shape[0] != index.values.shape[1]:
        raise InputError(
            f"the index has vectors of {index.values.shape[1]} values, the model of "
            f"{vector.shape[0]}: make the index again with this model"
        )
    scores = similarity(vector, index.values)
    order = [int(i) for i in np.argsort(-scores) if not _same(query, index.names[int(i)])]
    matches = tuple(Match(index.names[i], float(scores[i])) for i in order[:top])
    return Matches(str(query) if not hasattr(query, "samples") else "query", matches)


def similarity(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cosine similarity of (d,) with each of (n, d), after standardising by the n."""
    mean = vectors.mean(0)
    spread = vectors.std(0) if len(vectors) > 1 else np.ones_like(mean)
    spread = np.where(spread > 1e-6, spread, 1.0)
    a, b = (query - mean) / spread, (vectors - mean) / spread
    if len(vectors) == 1:  # nothing to stand out from
        a, b = query, vectors
    norms = np.linalg.norm(a) * np.linalg.norm(b, axis=1)
    return (b @ a) / np.maximum(norms, 1e-12)


def _same(query: Sound, name: str) -> bool:
    if hasattr(query, "samples"):
        return False
    try:
        return Path(str(query)).resolve() == Path(name).resolve()
    except OSError:
        return False
