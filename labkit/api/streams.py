"""Live streams by server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html.

A stream ends after a while and when the server does; browsers connect again by themselves and say what they saw last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Query
from fastapi.sse import ServerSentEvent

from labkit.api.live_overview import LiveOverview
from labkit.api.models import JobOut, OverviewOut
from labkit.api.services import OfServer, Services

#: How long a stream lasts at most, in seconds.
LONGEST = 3_600.0
#: How long a browser waits before it connects again, in ms.
RETRY = 1_000
#: The most changes that are read at once.
AT_ONCE = 200

Seconds = Annotated[float, Query(ge=0, le=LONGEST, description="the stream ends after so many seconds")]


async def _enter(services: OfServer) -> AsyncIterator[LiveOverview]:
    with services.live.entered():
        yield services.live


#: What streams wait for, as a parameter of a route that is one; 429 if there are too many.
OfStream = Annotated[LiveOverview, Depends(_enter)]


async def changes(
    services: Services, live: LiveOverview, seconds: float, cursor: int | None
) -> AsyncIterator[ServerSentEvent]:
    """Every change of a job after that number, None for the next one."""
    if cursor is None:
        cursor = await asyncio.to_thread(services.view.last_change)
    yield ServerSentEvent(comment="jobs", retry=RETRY)
    async for _ in _looks(live, seconds):
        while not services.closing and (found := await asyncio.to_thread(services.view.changes_since, cursor, AT_ONCE)):
            for job in found:
                yield ServerSentEvent(raw_data=JobOut.of(job).model_dump_json(), event="job", id=str(job.change))
            cursor = found[-1].change


async def overviews(services: Services, live: LiveOverview, seconds: float) -> AsyncIterator[ServerSentEvent]:
    """The overview now, and whenever it has changed."""
    yield ServerSentEvent(comment="overview", retry=RETRY)
    last = None
    async for seen in _looks(live, seconds):
        text = (seen or await services.overview()).model_dump_json()
        if text != last:
            yield ServerSentEvent(raw_data=text, event="overview")
            last = text


async def _looks(live: LiveOverview, seconds: float) -> AsyncIterator[OverviewOut | None]:
    """None at the beginning, then each overview that is another one, until the stream is to end."""
    deadline = time.monotonic() + seconds
    seen: OverviewOut | None = None
    while True:
        yield seen
        seen = await live.after(seen, deadline - time.monotonic())
        if seen is None:
            return
