"""Pollers that wait for a message, without a thread for each: a bell in Redis wakes them.

The bell is a channel on which each script says which queue has something new. Per queue and process one poller is
woken; if there is more than it takes, it wakes the next. Who hears no bell, since the connection was lost, looks again
after `LOOK_AGAIN` seconds, one poller of each queue at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from weakref import WeakValueDictionary

from redis.asyncio import Redis

from labkit.api.messages.redis_client import PAUSE
from labkit.api.messages.topic_log import bell_channel
from labkit.outage import Outage

log = logging.getLogger("labkit.api")

#: How long the first of those that wait goes without looking, in seconds.
LOOK_AGAIN = 0.25


class LongPolls:
    """Those that wait at one queue, first come, first served. `rings` counts how often the bell rang."""

    def __init__(self) -> None:
        self.rings = 0
        #: from when on nobody waits here
        self.over = False
        self._line: deque[asyncio.Future[None]] = deque()

    def ring(self) -> None:
        """There is something new: wake one."""
        self.rings += 1
        while self._line:
            sleeper = self._line.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return

    def end(self) -> None:
        """Wake all, and have nobody wait any more."""
        self.over = True
        while self._line:
            self.ring()

    async def wait(self, seconds: float, *, heard: int) -> None:
        """Return when it is this one's turn to look, and after so many seconds.

        `heard` is how often the bell had rung before the last look, so that no ring is missed in between.
        """
        if self.over or self.rings != heard:
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(sleeper)
        try:
            async with asyncio.timeout(seconds):
                await sleeper
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if sleeper.done() and not sleeper.cancelled():
                self.ring()  # it was its turn: the next one's now
            raise
        finally:
            with suppress(ValueError):
                self._line.remove(sleeper)


class Bell:
    """Listens on the channel and rings at the lines, which are made by `line` and last while somebody holds them."""

    def __init__(self, client: Redis, topic_prefix: str) -> None:
        self._client = client
        self._channel = bell_channel(topic_prefix)
        #: each for as long as a poller has it, since anybody may poll with a group of a new name
        self._lines: WeakValueDictionary[str, LongPolls] = WeakValueDictionary()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        #: from when on nobody waits
        self.over = False
        self._outage = Outage(log, "The bell of the queues", "Redis", meanwhile="pollers look from time to time")

    def line(self, queue: str) -> LongPolls:
        """The line at this queue, by what is said on the channel; to be held by who waits there."""
        line = self._lines.setdefault(queue, LongPolls())
        line.over = self.over
        return line

    def end_polls(self) -> None:
        """Wake all that wait, and have nobody wait any more."""
        self.over = True
        for line in list(self._lines.values()):
            line.end()

    def start(self) -> None:
        """Listen from now on."""
        self._tasks = [
            asyncio.create_task(self._listen(), name="bell"),
            asyncio.create_task(self._look(), name="bell's clock"),
        ]

    async def aclose(self) -> None:
        """Listen no more."""
        self._closed = True
        await asyncio.gather(*self._tasks)

    async def _listen(self) -> None:
        while not self._closed:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._channel)
                    self._outage.ends()
                    while not self._closed:
                        said = await channel.get_message(timeout=LOOK_AGAIN)
                        if said is not None and (line := self._lines.get(said["data"].decode())) is not None:
                            line.ring()
            except Exception as error:  # noqa: BLE001 - whatever it is, the pollers look by themselves meanwhile
                self._outage.begins(error)
                await asyncio.sleep(PAUSE)

    async def _look(self) -> None:
        while not self._closed:
            await asyncio.sleep(LOOK_AGAIN)
            for line in list(self._lines.values()):
                line.ring()
