"""Back-pressure that reaches the client: a queue with too many unfinished messages answers 429 until it is shorter."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from labkit.api.problems import Problem, later
from labkit.backpressure import Action, AdmissionState, Strategy, make_strategy
from labkit.errors import LabkitError

log = logging.getLogger("labkit.api")

#: How often the lags are looked at, in seconds.
LOOK_INTERVAL = 0.5
#: The least and the most that a client is told to wait, in seconds.
SHORTEST, LONGEST = 1, 30

Lags = Callable[[], Awaitable[dict[str, int]]]


class QueueAdmission:
    """One door per queue, which counts what was let in since the lags were last seen.

    A request with several messages is let in whole or not at all. A door that is open takes a whole batch, so a queue
    can get longer than its limit by one batch per server.
    """

    def __init__(
        self, lags: Lags, queues: Iterable[str], limit: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        strategy: Strategy[None] = make_strategy("refuse", limit=limit)
        self._lags = lags
        self._limit = limit
        self._clock = clock
        self._gates = {queue: AdmissionState(strategy) for queue in queues}
        self._seen: dict[str, int] = {}
        self._rates: dict[str, float] = {}
        self._let_in: Counter[str] = Counter()
        #: those of them whose request is over: the next look at the lags sees them, if they were queued
        self._through: Counter[str] = Counter()
        self._looked_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, and from now on again and again."""
        await self.look()
        self._task = asyncio.create_task(self._look_on(), name="lags")

    async def aclose(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def lags(self) -> dict[str, int]:
        """How many messages of each queue are not finished, as last seen, with those that were let in since."""
        return {queue: self._seen.get(queue, 0) + self._let_in[queue] for queue in self._gates}

    async def look(self) -> None:
        """See how long the queues are."""
        before = self._through.copy()  # what is under way while we look may be counted there or not
        lags = await self._lags()
        now = self._clock()
        if self._looked_at is not None and now > self._looked_at:
            passed = now - self._looked_at
            for queue in self._gates:
                finished = self._seen.get(queue, 0) + before[queue] - lags.get(queue, 0)
                self._rates[queue] = max(0.0, finished / passed)
        self._seen, self._looked_at = lags, now
        self._let_in -= before
        self._through -= before

    @contextmanager
    def enter(self, wanted: Counter[str]) -> Iterator[None]:
        """Let in so many messages for each queue, which are queued inside the context.

        Raises `Problem` 429 if one of the doors is closed.
        """
        for queue in wanted:
            verdict = self._gates[queue].judge(self._clock(), lag=self.lags[queue])
            if verdict.action is not Action.ADMIT:
                raise self._refusal(queue, verdict.reason)
        self._let_in += wanted
        try:
            yield
        finally:
            self._through += wanted

    def _refusal(self, queue: str, reason: str) -> Problem:
        seconds = self._seconds_until_open(queue)
        return later(
            429,
            f"The queue {queue} is full: {reason}. Send the messages again in {seconds} s.",
            seconds=seconds,
            name="queue-full",
        )

    def _seconds_until_open(self, queue: str) -> int:
        excess = self.lags[queue] - self._limit + 1
        rate = self._rates.get(queue, 0.0)
        return max(SHORTEST, min(LONGEST, math.ceil(excess / rate))) if rate else LONGEST

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
