"""The process of the service: its socket, and what a signal does."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

from sonograph.errors import InputError

if TYPE_CHECKING:
    from types import FrameType

    from sonograph.serve.service import Service


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Tells the service of a signal at once: streams of events end, and jobs stop meanwhile.

    A signal is the usual way to end a service: it is not raised once more afterwards, so that the
    verb can put everything away.
    """

    def __init__(self, config: uvicorn.Config, service: Service, begun: Callable[[], None]):
        super().__init__(config)
        self.service, self.begun = service, begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun()  # from here on a signal is heard

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # only there can signals be heard
            return
        for one in SIGNALS:  # for good: the process ends after this, whoever is impatient
            signal.signal(one, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> Any:
        self.service.end()
        return super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises InputError where that cannot be."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(512)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"cannot listen at {host} port {port} ({reason}): give another --port or --host"
        ) from None
    return made
