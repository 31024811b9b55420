"""Live streams by server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html.

A stream ends after a while and when the server does; browsers connect again by themselves and say what they saw last.
It does not end where the jobs' store is away: it goes on when that is back.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial
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
    deadline = time.monotonic() + seconds
    view, ask = services.view, services.job_threads.ask
    yield ServerSentEvent(comment="jobs", retry=RETRY)
    if cursor is None:
        cursor = await live.answer(partial(ask, view.last_change), seconds)
    if cursor is None:
        return
    async for _ in _looks(live, deadline):
        while found := await live.answer(
            partial(ask, view.changes_since, cursor, AT_ONCE), deadline - time.monotonic()
        ):
            for job in found:
                yield ServerSentEvent(raw_data=JobOut.of(job).model_dump_json(), event="job", id=str(job.change))
            cursor = found[-1].change


async def overviews(services: Services, live: LiveOverview, seconds: float) -> AsyncIterator[ServerSentEvent]:
    """The overview now, and whenever it has changed."""
    deadline = time.monotonic() + seconds
    yield ServerSentEvent(comment="overview", retry=RETRY)
    last = None
    async for seen in _looks(live, deadline):
        now = seen or await live.answer(services.overview, deadline - time.monotonic())
        text = None if now is None else now.model_dump_json()
        if text is not None and text != last:
            yield ServerSentEvent(raw_data=text, event="overview")
            last = text


async def _looks(live: LiveOverview, deadline: float) -> AsyncIterator[OverviewOut | None]:
    """None at the beginning, then each overview that is another one, until the stream is to end."""
    seen: OverviewOut | None = None
    while True:
        yield seen
        seen = await live.after(seen, deadline - time.monotonic())
        if seen is None:
            return
