"""Speech Synthesis Markup: what one stretch of text is said like."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Segment:
    text: str
    pause_s: float = 0.0
    pace: float = 1.0
    pitch: float = 1.0
    energy: float = 1.0
    phones: tuple[str, ...] = ()
