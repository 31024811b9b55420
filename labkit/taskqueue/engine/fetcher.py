"""How much is fetched: never much more than a worker may hold, and the group always hears of the worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

from labkit.taskqueue.transport.contract import ConsumerClient, Record, TopicPartition

MAX_POLL_RECORDS = 500
#: How long a worker that holds as much as it may waits before it looks again whether there is room, in seconds.
FULL_WAIT = 0.015
#: When a worker has held as much as it may for so long, in seconds, it pauses fetching.
PAUSE_AFTER = 1.0


class Fetcher:
    """Polls for one worker that may hold `limit` tasks. `pace` is how often it polls at least, in seconds.

    To pause and resume costs a new fetch from the broker, so it is not worth it for a moment. Until `PAUSE_AFTER` the
    client keeps what it has fetched, and one record more every now and then is the price of looking after the group.
    """

    def __init__(self, client: ConsumerClient, limit: int, *, pace: float, clock: Callable[[], float]) -> None:
        self._client = client
        self._limit = limit
        self._pace = pace
        self._clock = clock
        self._wait = threading.Event().wait
        self._paused = False
        self._stopped: set[TopicPartition] = set()
        self._full_since = self._polled_at = clock()

    @property
    def paused(self) -> bool:
        """Whether nothing is fetched."""
        return self._paused

    def poll(self, held: int, patience: float) -> list[Record]:
        """What may be taken on beside the `held` tasks; waits at most `patience` seconds for it."""
        room = self._limit - held
        if room <= 0 or self._paused:
            patience = min(patience, FULL_WAIT)
        if room > 0 or self._paused:
            return self._client.poll(patience, max(1, min(room, MAX_POLL_RECORDS)))
        self._wait(patience)
        if self._clock() - self._polled_at < self._pace:
            return []
        self._polled_at = self._clock()
        return self._client.poll(0, 1)

    def bound(self, held: int, places: Sequence[TopicPartition], stopped: Collection[TopicPartition] = ()) -> None:
        """Pause these partitions, or resume them at half of the limit, as `held` asks for; stopped ones stay paused."""
        now = self._clock()
        if held < self._limit:
            self._full_since = now
        if not self._paused and now - self._full_since > PAUSE_AFTER:
            self._client.pause(places)
            self._paused = True
        elif self._paused and held <= self._limit // 2:
            self._client.resume([place for place in places if place not in stopped])
            self._paused = False
        if stopped or self._stopped:
            self._stop(set(stopped))

    def forget(self) -> None:
        """The partitions were given up, or are others now."""
        self._paused = False
        self._stopped.clear()

    def _stop(self, stopped: set[TopicPartition]) -> None:
        """Pause those that are stopped now, resume those that no longer are."""
        if stopped - self._stopped:
            self._client.pause(sorted(stopped - self._stopped))
        if self._stopped - stopped and not self._paused:
            self._client.resume(sorted(self._stopped - stopped))
        self._stopped = stopped
