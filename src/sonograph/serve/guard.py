"""What every request passes first: host, origin, rate, token, size; and the headers of answers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from sonograph.serve.access import Keys, host_is_ours, is_this_machine, origin_is_ours
from sonograph.serve.answers import Refused, error
from sonograph.serve.limits import Buckets
from sonograph.serve.metrics import Metrics
from sonograph.serve.settings import BODY_BYTES, Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
OPEN = ("/", "/api/health", "/api/session")  # without a token; so are the page's files
UPLOADS = ("/api/sounds", "/api/now/tag", "/api/now/embed")  # they count their bytes themselves
TRIES_A_SECOND, TRIES = 0.2, 10  # of tokens
_LOG = logging.getLogger("sonograph.serve")


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: Keys, metrics: Metrics):
        self.app, self.settings, self.keys, self.metrics = app, settings, keys, metrics
        rate = settings.rate
        self.requests = Buckets(rate, max(1.0, 4 * rate)) if rate else None
        self.tries = Buckets(TRIES_A_SECOND, TRIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            else:  # there are no web sockets here
                await send({"type": "websocket.close", "code": 1008})
            return
        began, answered = time.perf_counter(), False

        async def tell(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered, status = True, message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                seconds = time.perf_counter() - began
                self.metrics.answered(scope["method"], _route(scope), status, seconds)
            await send(message)

        try:
            self._require(scope)
        except Refused as refused:
            answer = error(refused.status_code, str(refused.detail), refused.headers)
            await answer(scope, receive, tell)
            return
        if scope["path"] not in UPLOADS:
            receive = _bounded(receive, self.settings.idle_s)
        try:
            await self.app(scope, receive, tell)
        except Exception as problem:
            route = _route(scope)
            _LOG.error("%s %s failed", scope["method"], route, exc_info=problem)
            if answered:  # too late for another answer: the connection ends
                raise
            answer = error(500, "the service failed on this request: see its log")
            await answer(scope, receive, tell)

    def _require(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        host, origin = headers.get("host", ""), headers.get("origin")
        if not host_is_ours(host, self.settings.host, self.settings.names):
            raise Refused(403, "this host is not served here: start with --name to allow it")
        if origin is not None and not origin_is_ours(origin, scope["scheme"], host):
            raise Refused(403, "requests from other pages are not answered")
        if headers.get("sec-fetch-site") == "cross-site" and path != "/":
            raise Refused(403, "requests from other pages are not answered")
        client, server = (scope[end][0] if scope.get(end) else "" for end in ("client", "server"))
        if not self.keys.needed and not is_this_machine(client, server):
            raise Refused(403, "without a token only this machine is answered: start with --token")
        if self.requests and path != "/api/health":
            _spare(self.requests.take(client), "too many requests")
        if path == "/api/session" and self.keys.needed:
            _spare(self.tries.take(client), "too many tries")
        if path in OPEN or path.startswith("/page/"):
            return
        told, cookie = headers.get("authorization", ""), headers.get("cookie", "")
        if told and self.keys.needed:  # whoever tries tokens learns nothing more, of right ones too
            _spare(self.tries.wait(client), "too many tries")
        if not self.keys.allow(told, cookie):
            if told:
                self.tries.take(client)
            asked = {"WWW-Authenticate": "Bearer"}
            raise Refused(401, "give the token: Authorization: Bearer TOKEN", asked)


def _spare(wait_s: float, words: str) -> None:
    if wait_s:
        seconds = max(1, round(wait_s + 0.5))
        raise Refused(429, f"{words}: wait {seconds} s", {"Retry-After": str(seconds)})


def _bounded(receive: Receive, idle_s: float) -> Receive:
    """What is received, up to the size of a request that is no upload, and not for ever."""
    left, whole, until = BODY_BYTES, False, time.monotonic() + idle_s

    async def bounded() -> Message:
        nonlocal left, whole
        if whole:  # now only the end of the connection is waited for
            return await receive()
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                message = await receive()
        except TimeoutError:
            told = {"Connection": "close"}
            raise Refused(408, f"the request did not come within {idle_s:g} s", told) from None
        whole = not message.get("more_body", False)
        left -= len(message.get("body", b""))
        if left < 0:
            raise Refused(413, f"the request is larger than {BODY_BYTES:,} bytes")
        return message

    return bounded


def _route(scope: Scope) -> str:
    """The route as it is written, so that there are only so many of them."""
    return getattr(scope.get("route"), "path", "") or "none"
