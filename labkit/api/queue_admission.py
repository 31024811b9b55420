"""Back-pressure that reaches the client: a queue with too many unfinished messages answers 429 until it is shorter."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from labkit.api.messages.topic_log import QueueBacklog, RecordPosition
from labkit.api.problems import Problem, later
from labkit.backpressure import Action, AdmissionState, Strategy, make_strategy
from labkit.errors import LabkitError

log = logging.getLogger("labkit.api")

#: How often the backlogs are looked at, in seconds.
LOOK_INTERVAL = 0.5
#: The least and the most that a client is told to wait, in seconds.
SHORTEST, LONGEST = 1, 30

Backlogs = Callable[[], Awaitable[Mapping[str, QueueBacklog]]]


@dataclass(slots=True)
class _Count:
    """How long one queue is: what was seen of it, and what was let in and is not in there.

    A record is in the backlog if it stands before the ends that were seen, so nothing counts twice. Only of what is
    under way it is not known yet where it stands.
    """

    seen: QueueBacklog = field(default_factory=QueueBacklog)
    #: positions that were taken, at or beyond the ends that were seen
    beyond: set[RecordPosition] = field(default_factory=set)
    #: messages that were let in and have no position yet, and those of them that were so at the last look
    under_way: int = 0
    doubtful: int = 0
    #: records in the backlog which nobody has told of: some of the doubtful, or another server's
    untold: int = 0
    #: messages finished per second
    rate: float = 0.0

    @property
    def length(self) -> int:
        """How many messages are not finished."""
        return self.seen.lag + len(self.beyond) + self.under_way - min(self.doubtful, self.untold)

    def saw(self, backlog: QueueBacklog, told_before: set[RecordPosition], seconds: float) -> None:
        """Take what a look has brought that began `seconds` after the one before, and after those were told."""
        rise = sum(backlog.ends.values()) - sum(self.seen.ends.values())
        beyond = {one for one in self.beyond if one.offset >= backlog.ends.get(one.partition, 0)}
        if seconds > 0:
            self.rate = max(0.0, (self.seen.lag + rise - backlog.lag) / seconds)
        self.untold = max(0, min(self.untold, self.doubtful) + rise - (len(self.beyond) - len(beyond)))
        # what was told before the look and is not in it belongs to a topic that is no more
        self.beyond = beyond - told_before
        self.seen, self.doubtful = backlog, self.under_way

    def let_in(self, number: int) -> None:
        """So many are under way."""
        self.under_way += number

    def through(self, number: int, *, doubtful: bool) -> None:
        """So many are under way no more."""
        self.under_way -= number
        if doubtful:
            self.doubtful -= number

    def told(self, positions: Collection[RecordPosition]) -> None:
        """These were taken."""
        beyond = {one for one in positions if one.offset >= self.seen.ends.get(one.partition, 0)}
        self.untold = max(0, self.untold - (len(positions) - len(beyond)))
        self.beyond |= beyond


class Entry:
    """What one request was let in with."""

    def __init__(self, counts: Mapping[str, _Count], wanted: Mapping[str, int]) -> None:
        self._counts = counts
        self._left = dict(wanted)
        self.doubtful = False  # whether a look at the backlogs was made meanwhile
        for queue, number in wanted.items():
            counts[queue].let_in(number)

    def queued(self, queue: str, positions: Collection[RecordPosition]) -> None:
        """Some of its messages stand there now."""
        self._through(queue, min(len(positions), self._left[queue]))
        self._counts[queue].told(positions)

    def close(self) -> None:
        """What has no position by now, was queued before or was not queued."""
        for queue, number in list(self._left.items()):
            self._through(queue, number)

    def _through(self, queue: str, number: int) -> None:
        self._left[queue] -= number
        self._counts[queue].through(number, doubtful=self.doubtful)


class QueueAdmission:
    """One admission per queue, which counts what was let in since the backlogs were last seen.

    A request with several messages is let in whole or not at all. One that is open takes a whole batch, so a queue
    can get longer than its limit by one batch, and by what other servers let in between two looks.
    """

    def __init__(
        self, backlogs: Backlogs, queues: Iterable[str], limit: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        strategy: Strategy[None] = make_strategy("refuse", limit=limit)
        self._backlogs = backlogs
        self._limit = limit
        self._clock = clock
        self._states = {queue: AdmissionState(strategy) for queue in queues}
        self._counts = {queue: _Count() for queue in self._states}
        self._entries: set[Entry] = set()
        self._looked_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, and from now on again and again."""
        await self.look()
        self._task = asyncio.create_task(self._look_on(), name="backlogs")

    async def aclose(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def lags(self) -> dict[str, int]:
        """How many messages of each queue are not finished, as last seen, with those that were let in since."""
        return {queue: count.length for queue, count in self._counts.items()}

    async def look(self) -> None:
        """See how long the queues are."""
        told = {queue: count.beyond.copy() for queue, count in self._counts.items()}
        backlogs = await self._backlogs()
        now = self._clock()
        seconds = 0.0 if self._looked_at is None else now - self._looked_at
        for queue, count in self._counts.items():
            count.saw(backlogs.get(queue, QueueBacklog()), told[queue], seconds)
        for entry in self._entries:
            entry.doubtful = True
        self._looked_at = now

    @contextmanager
    def enter(self, wanted: Counter[str]) -> Iterator[Entry]:
        """Let in so many messages for each queue, which are queued inside the context.

        Raises `Problem` 429 if one of them is closed.
        """
        for queue in wanted:
            verdict = self._states[queue].judge(self._clock(), lag=self._counts[queue].length)
            if verdict.action is not Action.ADMIT:
                raise self._refusal(queue, verdict.reason)
        entry = Entry(self._counts, wanted)
        self._entries.add(entry)
        try:
            yield entry
        finally:
            self._entries.remove(entry)
            entry.close()

    def _refusal(self, queue: str, reason: str) -> Problem:
        seconds = self._seconds_until_open(queue)
        return later(
            429,
            f"The queue {queue} is full: {reason}. Send the messages again in {seconds} s.",
            seconds=seconds,
            name="queue-full",
        )

    def _seconds_until_open(self, queue: str) -> int:
        count = self._counts[queue]
        excess = count.length - self._limit + 1
        return max(SHORTEST, min(LONGEST, math.ceil(excess / count.rate))) if count.rate else LONGEST

    async def _look_on(self) -> None:
        lost = False
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            try:
                await self.look()
                lost = False
            except Exception as error:  # whatever it is, the next look may succeed
                if not lost:
                    log.warning("How long the queues are is not known for now: %s", error, exc_info=_defect(error))
                lost = True


def _defect(error: Exception) -> bool:
    """Whether it is no error that labkit knows: its traceback is worth having."""
    return not isinstance(error, LabkitError)
