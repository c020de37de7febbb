"""Threads for what takes a moment, so that the loop that answers never waits; few enough."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from sonograph.serve.settings import AT_WORK, LOOKING


async def work(function: Callable[..., Any], *given: Any) -> Any:
    """Checks, small requests, and whatever touches the disk."""
    return await _within(AT_WORK, function, given)


async def look(function: Callable[..., Any], *given: Any) -> Any:
    """Pictures: some may read a long sound, and none should keep small requests waiting."""
    return await _within(LOOKING, function, given)


async def _within(most: int, function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    import asyncio

    from anyio import to_thread

    limiter = _limiter(asyncio.get_running_loop(), most)
    return await to_thread.run_sync(functools.partial(function, *given), limiter=limiter)


@functools.lru_cache(maxsize=8)
def _limiter(loop: Any, most: int) -> Any:
    """A limiter belongs to the loop that it was first used in."""
    from anyio import CapacityLimiter

    return CapacityLimiter(most)
