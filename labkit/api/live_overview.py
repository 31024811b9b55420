"""The overview as it changes, looked for once for all streams of a server, as long as there are any.

Where what is asked is away, the streams stay open with what was known last: that is said once, and they go on later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from labkit.api.models import OverviewOut
from labkit.api.problems import later
from labkit.errors import LabkitError
from labkit.outage import Outage

log = logging.getLogger("labkit.api")

#: How many streams one server has at most: each is a connection that stays.
MOST_STREAMS = 200
#: How often it is looked for something new, and how often for what is away, in seconds.
LOOK_INTERVAL, TRY_AGAIN = 0.25, 1.0

Answer = TypeVar("Answer")


class LiveOverview:
    """Whoever has `entered` may wait for what comes next. Used by one event loop."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, OverviewOut]]) -> None:
        self._look = look
        self._latest: OverviewOut | None = None
        self._next: asyncio.Future[OverviewOut | None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._streams = 0
        self._over = asyncio.Event()
        self._outage = Outage(
            log, "The live view", "the jobs' store or the topic", meanwhile="its streams show what was known last"
        )

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
        """The next one that is another than the one seen; None if none comes in so many seconds, or after `end`."""
        if self._over.is_set() or timeout <= 0:
            return None
        if self._looking is None:
            self._latest, self._next = None, asyncio.get_running_loop().create_future()
            self._looking = asyncio.create_task(self._go_on(), name="overview")
        if self._latest is not None and self._latest != seen:
            return self._latest
        assert self._next is not None
        done, _ = await asyncio.wait([self._next], timeout=timeout)
        return done.pop().result() if done else None

    async def answer(self, question: Callable[[], Coroutine[Any, Any, Answer]], timeout: float) -> Answer | None:
        """The answer of what may be away, as soon as there is one; None if there is none in so many seconds, though
        it is asked once at least, or after `end`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        over = asyncio.create_task(self._over.wait(), name="the end of the streams")
        try:
            while not over.done():
                asked = asyncio.create_task(self._ask(question), name="a stream's question")
                try:
                    await asyncio.wait([asked, over], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    asked.cancel()  # nothing, if it is answered
                if asked.done() and (found := asked.result()) is not None:
                    return found
                left = deadline - loop.time()
                if left <= 0:
                    break
                await asyncio.wait([over], timeout=min(left, TRY_AGAIN))
        finally:
            over.cancel()
        return None

    def end(self) -> None:
        """Have all that wait return, now and from now on."""
        self._over.set()
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    async def _ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """None if it is away."""
        known = self._outage.on
        try:
            with self._outage.asked(Exception):
                return await question()
        except Exception as error:  # whatever it is, the streams are to go on
            if not isinstance(error, LabkitError) and not known:
                log.exception("a live stream could not be told what is new")
            return None

    async def _go_on(self) -> None:
        assert self._next is not None
        while not self._next.done():
            found = await self._ask(self._look)
            if found is not None and found != self._latest and not self._next.done():
                self._latest, before = found, self._next
                self._next = asyncio.get_running_loop().create_future()
                before.set_result(found)
            await asyncio.sleep(TRY_AGAIN if found is None else LOOK_INTERVAL)
