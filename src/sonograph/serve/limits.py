"""How much one client may ask for: a bucket that fills at a steady rate, a token a request."""

from __future__ import annotations

import time
from collections import OrderedDict

CLIENTS = 4096  # remembered; the one that was quiet longest is forgotten first


class Buckets:
    """rate: tokens a second of each client; depth: how many may be taken at once."""

    def __init__(self, rate: float, depth: float):
        self.rate, self.depth = rate, depth
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float | None = None) -> float:
        """Take a token; 0, or the seconds after which there will be one."""
        now = time.monotonic() if now is None else now
        tokens, since = self._held.pop(client, (self.depth, now))
        tokens = min(self.depth, tokens + (now - since) * self.rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self.rate
        self._held[client] = (tokens - (not wait), now)
        if len(self._held) > CLIENTS:
            self._held.popitem(last=False)
        return wait
