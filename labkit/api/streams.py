"""Live streams by server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html.

A stream ends after a while and when the server does; browsers connect again by themselves and say what they saw last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import Query
from fastapi.sse import ServerSentEvent

from labkit.api.models import JobOut, OverviewOut, QueueOut
from labkit.api.services import Services

#: How long a stream lasts at most, in seconds.
LONGEST = 3_600.0
#: How often a stream looks for something new, in seconds.
LOOK_INTERVAL = 0.25
#: How long a browser waits before it connects again, in ms.
RETRY = 1_000
#: The most changes that are read at once.
AT_ONCE = 200

Seconds = Annotated[float, Query(ge=0, le=LONGEST, description="the stream ends after so many seconds")]


async def changes(services: Services, seconds: float, cursor: int | None) -> AsyncIterator[ServerSentEvent]:
    """Every change of a job after that number, None for the next one."""
    if cursor is None:
        cursor = await asyncio.to_thread(services.view.last_change)
    yield ServerSentEvent(comment="jobs", retry=RETRY)
    async for _ in _looks(services, seconds):
        while found := await asyncio.to_thread(services.view.changes_since, cursor, AT_ONCE):
            for job in found:
                yield ServerSentEvent(raw_data=JobOut.of(job).model_dump_json(), event="job", id=str(job.change))
            cursor = found[-1].change


async def overviews(services: Services, seconds: float) -> AsyncIterator[ServerSentEvent]:
    """The overview now, and whenever it has changed."""
    yield ServerSentEvent(comment="overview", retry=RETRY)
    last = None
    async for _ in _looks(services, seconds):
        text = (await overview(services)).model_dump_json()
        if text != last:
            yield ServerSentEvent(raw_data=text, event="overview")
            last = text


async def overview(services: Services) -> OverviewOut:
    """The queues and the jobs at this moment."""
    lags, limit = services.admission.lags, services.settings.api_max_lag
    queues = [QueueOut(name=name, unfinished=lags[name], limit=limit) for name in services.names]
    view = services.view
    changes, counts = await asyncio.to_thread(lambda: (view.last_change(), view.counts()))
    return OverviewOut(queues=queues, jobs=counts, changes=changes)


async def _looks(services: Services, seconds: float) -> AsyncIterator[None]:
    """Once at the beginning, then again and again until the stream is to end."""
    deadline = time.monotonic() + seconds
    while True:
        yield
        left = deadline - time.monotonic()
        if left <= 0 or services.closing.is_set():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(services.closing.wait(), min(left, LOOK_INTERVAL))
