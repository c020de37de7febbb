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
        wait = self.wait(client, now)
        self._held[client] = (self._tokens(client, now) - (not wait), now)
        self._held.move_to_end(client)
        if len(self._held) > CLIENTS:
            self._held.popitem(last=False)
        return wait

    def wait(self, client: str, now: float | None = None) -> float:
        """The same, without taking one."""
        tokens = self._tokens(client, time.monotonic() if now is None else now)
        return 0.0 if tokens >= 1 else (1 - tokens) / self.rate

    def _tokens(self, client: str, now: float) -> float:
        tokens, since = self._held.get(client, (self.depth, now))
        return min(self.depth, tokens + (now - since) * self.rate)
