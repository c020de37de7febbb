"""`sonograph serve`: the page and the service."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from tyro.conf import UseAppendAction

CONNECTIONS = 1000  # at a time
GRACE_S = 1  # for answers that are being sent


@dataclasses.dataclass(frozen=True)
class Args:
    port: int = 8000
    """Where to listen; 0 for any that is free."""
    host: str = "127.0.0.1"
    """The address to listen at; this machine alone unless told."""
    name: UseAppendAction[tuple[str, ...]] = ()
    """A host name under which it may be called; may be given several times."""
    token: str = ""
    """Who does not give it is not answered."""
    model: UseAppendAction[tuple[str, ...]] = ()
    """A model folder to offer besides the bundled ones; may be given several times."""
    folder: Path | None = None
    """Where sounds and results are kept while it runs; a temporary folder unless told."""
    keep: str = "1h"
    """How long sounds and results are kept after they were last used: 90s, 10min, 1h, 2d."""
    largest: str = "1GB"
    """Of one upload: 500kB, 20MB, 2GB."""
    longest: str = "4h"
    """Of one sound."""
    quota: str = "10GB"
    """Of all that is kept."""
    jobs: int = 1
    """How many run at a time."""
    queue: int = 32
    """How many may wait."""
    rate: float = 50.0
    """Requests a second of one client; 0 for no limit."""
    json: bool = False
    """Print the address as JSON."""


def run(args: Args) -> int:
    import importlib.util
    import json
    import os
    import sys
    import tempfile

    from sonograph.errors import InputError, missing_extra
    from sonograph.serve.settings import Settings

    for word, value, least in (("jobs", args.jobs, 1), ("queue", args.queue, 1)):
        if value < least:
            raise InputError(f"--{word} is {value}: give at least {least}")
    if args.rate < 0:
        raise InputError(f"--rate is {args.rate}: give requests a second, or 0 for no limit")
    if not 0 <= args.port < 65536:
        raise InputError(f"--port is {args.port}: give 0 to 65535")
    for package in ("fastapi", "uvicorn", "python_multipart", "PIL"):
        if importlib.util.find_spec(package) is None:
            raise missing_extra(package, "serve")
    import uvicorn

    from sonograph.serve.app import app
    from sonograph.serve.running import Server, listen

    settings = Settings(
        folder=args.folder or Path(tempfile.gettempdir()),
        host=args.host,
        names=args.name,
        token=args.token,
        models=args.model,
        keep_s=seconds(args.keep, "keep"),
        largest_bytes=size(args.largest, "largest"),
        longest_s=seconds(args.longest, "longest"),
        quota_bytes=size(args.quota, "quota"),
        jobs=args.jobs,
        queue=args.queue,
        rate=args.rate,
    )
    socket = listen(args.host, args.port)
    application = app(settings)
    shown = f"[{args.host}]" if ":" in args.host else args.host
    address = f"http://{shown}:{socket.getsockname()[1]}"
    told = json.dumps({"address": address}) if args.json else f"Sonograph at {address}"
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=15,
        limit_concurrency=CONNECTIONS,
        lifespan="on",
        proxy_headers=False,
    )
    service = application.state.service
    try:
        Server(config, service, lambda: print(told, flush=True)).run(sockets=[socket])
    finally:
        service.close()
    # The folder is gone, there is nothing to lose. To take the interpreter apart lasts seconds on a
    # busy machine, and a job that hangs in torch would do so among the ruins.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


UNITS_S = {"s": 1, "min": 60, "h": 3600, "d": 86400}
UNITS_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def seconds(text: str, option: str) -> float:
    """A length of time such as 90s or 1h. Raises InputError.

    >>> seconds("10min", "keep")
    600.0
    """
    return _amount(text, option, UNITS_S)


def size(text: str, option: str) -> int:
    """A number of bytes such as 20MB. Raises InputError.

    >>> size("1.5kB", "largest")
    1500
    """
    return int(_amount(text, option, UNITS_BYTES))


def _amount(text: str, option: str, units: dict[str, int]) -> float:
    from sonograph.errors import InputError

    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-zA-Z]+)", text.strip())
    known = {unit.lower(): value for unit, value in units.items()}
    if not found or found[2].lower() not in known or not float(found[1]):
        raise InputError(f"--{option} is {text!r}: give a number with {', '.join(units)}")
    return float(found[1]) * known[found[2].lower()]
