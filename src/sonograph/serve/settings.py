"""How a service is run: where it keeps things, for how long, and how much it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MOST_CHANNELS = 16
RATES_HZ = (1_000, 384_000)  # of sounds that are taken
NOW_LONGEST_S = 60.0  # of sounds that are answered at once
NOW_LARGEST_BYTES = 64 << 20
BODY_BYTES = 1 << 20  # of a request that is no upload
UPLOADS = 16  # of sounds to keep, at a time
WAITING = 512  # requests to be answered at once, at a time
AT_WORK = 8  # of those and of checks, threads
LOOKING = 2  # threads that draw
IDLE_S = 30.0  # a request that sends nothing for so long has ended
SLOWEST_BYTES_A_S = 1000  # one that is slower than this for longer than that, too
MOST_SOUNDS = 10_000  # kept at a time
MOST_ENDED = 1_000  # jobs that are remembered at a time; the oldest is forgotten first


@dataclass(frozen=True)
class Settings:
    """What `sonograph serve` was told.

    folder: a folder of the service's own is made in it, and removed at the end.
    names: hosts under which a browser may call the service, besides addresses.
    rate: requests a second of one client, 0 for no limit; four seconds' worth may come at once.
    """

    folder: Path
    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    token: str = ""
    models: tuple[str, ...] = ()
    keep_s: float = 3600.0
    largest_bytes: int = 1 << 30
    longest_s: float = 4 * 3600.0
    quota_bytes: int = 10 << 30
    jobs: int = 1
    queue: int = 32
    rate: float = 50.0
    idle_s: float = IDLE_S
