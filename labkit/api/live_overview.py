"""The overview as it changes, looked for once for all streams of a server, as long as there are any."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from labkit.api.models import OverviewOut
from labkit.api.problems import later

#: How many streams one server has at most: each is a connection that stays.
MOST_STREAMS = 200
#: How often it is looked for something new, in seconds.
LOOK_INTERVAL = 0.25


class LiveOverview:
    """Whoever has `entered` may wait for what comes next. Used by one event loop."""

    def __init__(self, look: Callable[[], Awaitable[OverviewOut]]) -> None:
        self._look = look
        self._latest: OverviewOut | None = None
        self._next: asyncio.Future[OverviewOut | None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._streams = 0
        self._ended = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        """For as long as a stream lasts. Raises `Problem` (429) if there are too many."""
        if self._streams >= MOST_STREAMS:
            raise later(429, f"{MOST_STREAMS} streams are open at this server already. Close some.", name="streams")
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1
            if not self._streams and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def after(self, seen: OverviewOut | None, timeout: float) -> OverviewOut | None:
        """The next one that is another than the one seen; None if none comes in so many seconds, or after `end`.

        Raises what the look has raised.
        """
        if self._ended or timeout <= 0:
            return None
        if self._looking is None:
            self._latest, self._next = None, asyncio.get_running_loop().create_future()
            self._looking = asyncio.create_task(self._go_on(), name="overview")
        if self._latest is not None and self._latest != seen:
            return self._latest
        assert self._next is not None
        done, _ = await asyncio.wait([self._next], timeout=timeout)
        return done.pop().result() if done else None

    def end(self) -> None:
        """Have all that wait return, now and from now on."""
        self._ended = True
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    async def _go_on(self) -> None:
        assert self._next is not None
        while not self._next.done():
            try:
                found = await self._look()
            except Exception as error:  # noqa: BLE001 - it is raised where somebody waits, and the next one looks anew
                self._looking = None
                if not self._next.done():
                    self._next.set_exception(error)
                    self._next.exception()  # nobody may have waited
                return
            if found != self._latest and not self._next.done():
                self._latest, before = found, self._next
                self._next = asyncio.get_running_loop().create_future()
                before.set_result(found)
            await asyncio.sleep(LOOK_INTERVAL)
