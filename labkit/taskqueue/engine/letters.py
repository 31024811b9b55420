"""Writing dead letters: what is the same for every kind of worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from labkit.taskqueue.dead_letters import bury, ensure_dead_topic
from labkit.taskqueue.engine.attempts import describe
from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import (
    ConsumerClient,
    Outgoing,
    Position,
    TopicPartition,
    TransactionClient,
)

#: How long to wait after the broker did not answer, in seconds.
RETRY_INTERVAL = 1.0

log = logging.getLogger("labkit.worker")


class LetterWriter:
    """Writes the dead letters of one worker, over a client of its own that is there from the first one on.

    `wall_clock` gives seconds since the epoch, `clock` only measures.
    """

    def __init__(
        self,
        topic: Topic,
        *,
        worker: str,
        group: str,
        wall_clock: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self.worker = worker
        self._group = group
        self._wall_clock = wall_clock
        self._clock = clock
        self._client: TransactionClient | None = None
        self._not_before = 0.0

    def may_write(self) -> bool:
        """Whether the time after `put_off` is over."""
        return self._clock() >= self._not_before

    def put_off(self) -> None:
        """The next try is to be made later."""
        self._not_before = self._clock() + RETRY_INTERVAL

    def open(self) -> TransactionClient:
        """The client; a new one ends what the last one left open. Raises `TransportError`."""
        if self._client is None:
            ensure_dead_topic(self._topic)
            transactional_id = self._topic.full_group(f"{self._group}.{self.worker}")
            self._client = self._topic.transport.transactions(transactional_id)
        return self._client

    def write(
        self,
        items: Sequence[Item],
        positions: Mapping[TopicPartition, Position] | None = None,
        consumer: ConsumerClient | None = None,
    ) -> None:
        """One transaction with all the letters and positions; raises `TransportError` or `CommitRefused`."""
        at = self._wall_clock()
        self.open().write([self._letter(item, at) for item in items], positions, consumer)
        for item in items:
            place = item.record.offset, item.record.partition
            log.warning("%s: offset %d of partition %d is a dead letter now", self.worker, *place)

    def close(self) -> None:
        """Let go of the connection; the next letter opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _letter(self, item: Item, at: float) -> Outgoing:
        error = describe(item.error) if item.error else ""
        return bury(self._topic, item.record, error=error, attempts=item.attempt, worker=self.worker, at=at)
