"""G.722 prompts become FLAC once, when a corpus is prepared: exact, and readable everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from sonograph.errors import missing_extra

RATE_HZ = 16_000
BITS_PER_S = 64_000


def decode_folder(folder: Path) -> int:
    """Replace every `.g722` file below a folder by a 16 kHz FLAC; returns how many were made.

    Empty files (the Russian prompts have one) are dropped. Raises InputError if the
    library G722 is needed and not installed.
    """
    paths = sorted(folder.rglob("*.g722"))
    if not paths:
        return 0
    try:
        from G722 import G722
    except ImportError:
        raise missing_extra("G722", "g722") from None
    full = [path for path in paths if path.stat().st_size]
    for path in full:
        samples = np.asarray(G722(RATE_HZ, BITS_PER_S).decode(path.read_bytes()), dtype=np.int16)
        soundfile.write(path.with_suffix(".flac"), samples, RATE_HZ, subtype="PCM_16")
    for path in paths:
        path.unlink()
    return len(full)
