"""Who may ask: the token and the sessions it opens, and from which pages requests may come."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

COOKIE = "sonograph"
SESSION_S = 12 * 3600.0
SESSIONS = 1000  # at most; the oldest ends first


class Keys:
    """The token of a service, if it has one, and the sessions that it opened."""

    def __init__(self, token: str):
        self.needed = bool(token)
        self._digest = _digest(token)
        self._sessions: dict[str, float] = {}

    def fits(self, token: str) -> bool:
        """Compared in constant time."""
        return not self.needed or hmac.compare_digest(_digest(token), self._digest)

    def open(self) -> str:
        """A new session."""
        now = time.monotonic()
        self._sessions = {k: t for k, t in self._sessions.items() if t > now}
        while len(self._sessions) >= SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        name = secrets.token_urlsafe(32)
        self._sessions[_digest(name).hex()] = now + SESSION_S
        return name

    def allow(self, authorization: str, cookie: str) -> bool:
        """Whether a request's headers hold the token or an open session."""
        if not self.needed:
            return True
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.fits(token.strip()):
            return True
        until = self._sessions.get(_digest(_cookie(cookie)).hex())
        return until is not None and until > time.monotonic()


def _digest(word: str) -> bytes:
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()


def _cookie(header: str) -> str:
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def host_is_ours(host: str, bound: str, names: Iterable[str]) -> bool:
    """Whether a Host header names this service, and not a stranger's name that leads here.

    A name can be made to lead to any address by who owns it; an address cannot. So addresses are
    ours, of the loopback only where the service is bound to that, and names only if told.
    """
    name = hostname(host)
    if name is None:
        return False
    if name in {"localhost", bound.lower(), *(one.lower() for one in names)}:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not _is_loopback(bound)


def hostname(host: str) -> str | None:
    """The name in a Host header, without brackets and port; None where it holds none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in host:
        return None
    return parts.hostname.lower()


def origin_is_ours(origin: str, scheme: str, host: str) -> bool:
    """Whether an Origin header is the page that this service serves."""
    return origin.lower() in {f"{scheme}://{host}".lower(), f"https://{host}".lower()}


def is_this_machine(client: str, server: str) -> bool:
    """Whether a request comes from here: from a loopback address, or from the one it came to.

    What is no address at all (a socket of this machine has none) comes from here, too.
    """
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return True
    inner = getattr(address, "ipv4_mapped", None) or address
    return inner.is_loopback or client == server


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
