"""The news of a job as server-sent events, until it has ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from sonograph.serve.jobs import ENDED, Job, Jobs

STEP_S = 0.2  # at most five a second
QUIET_S = 15.0  # then a comment is sent, so that nobody on the way gives up


async def events(jobs: Jobs, job: Job, closing: threading.Event) -> AsyncIterator[str]:
    """The job as JSON on every change; ends with the job, or with the service."""
    seen, quiet = -1, 0.0
    while True:
        changes = job.changes
        if changes != seen:
            info = jobs.info(job)
            seen, quiet = changes, 0.0
            yield f"data: {info.model_dump_json(by_alias=True)}\n\n"
            if info.state in ENDED:
                return
        elif quiet >= QUIET_S:
            quiet = 0.0
            yield ": still here\n\n"
        if closing.is_set():
            return
        await asyncio.sleep(STEP_S)
        quiet += STEP_S
