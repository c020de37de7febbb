"""Ctrl-C that loses nothing: the step is finished and saved first."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Self


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after the step was finished and saved; says how to go on."""


class Interrupts:
    """Listens to Ctrl-C and SIGTERM within a `with` block.

    The first sets `asked`; the second raises KeyboardInterrupt at once.
    """

    KINDS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self.before: list[Any] = []

    def __enter__(self) -> Self:
        self.asked = False
        if threading.current_thread() is threading.main_thread():  # no other may listen
            self.before = [signal.signal(kind, self._hear) for kind in self.KINDS]
        return self

    def __exit__(self, *error: object) -> None:
        for kind, handler in zip(self.KINDS, self.before):
            signal.signal(kind, handler)
        self.before = []

    def _hear(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        # Not print: a handler may come in the middle of one.
        os.write(2, b"\nfinishing this step and saving; again to stop at once\n")
