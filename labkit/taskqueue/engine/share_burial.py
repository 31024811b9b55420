"""Bringing the dead tasks of a share group to the dead letters.

The letter is written, then its record is rejected. The preview of confluent-kafka cannot put the two into one
transaction, so a worker that dies between them leaves both, and the task is tried again (at least once). A second
letter of the same record has the same key, so it replaces the first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from labkit.errors import TransportError
from labkit.taskqueue.dead_letters import bury, ensure_dead_topic
from labkit.taskqueue.engine.attempts import describe
from labkit.taskqueue.engine.burial import RETRY_INTERVAL
from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import Outgoing, TransactionClient

log = logging.getLogger("labkit.worker")


class ShareBurial:
    """Writes the dead letters of one worker. `wall_clock` gives seconds since the epoch, `clock` only measures."""

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
        self._worker = worker
        self._group = group
        self._wall_clock = wall_clock
        self._clock = clock
        self._transactions: TransactionClient | None = None
        self._not_before = 0.0

    def bury(self, items: Sequence[Item]) -> bool:
        """Write the dead letters; False if the broker did not answer, and they are to be handed in again."""
        if self._clock() < self._not_before:
            return False
        at = self._wall_clock()
        try:
            self._client().write([self._letter(item, at) for item in items])
        except TransportError as error:
            log.warning("%s: the dead letters have to wait: %s", self._worker, error)
            self._not_before = self._clock() + RETRY_INTERVAL
            return False
        return True

    def close(self) -> None:
        """Let go of the connection."""
        if self._transactions is not None:
            self._transactions.close()
            self._transactions = None

    def _client(self) -> TransactionClient:
        if self._transactions is None:
            ensure_dead_topic(self._topic)
            transactional_id = self._topic.full_group(f"{self._group}.{self._worker}")
            self._transactions = self._topic.transport.transactions(transactional_id)
        return self._transactions

    def _letter(self, item: Item, at: float) -> Outgoing:
        error = describe(item.error) if item.error else ""
        return bury(self._topic, item.record, error=error, attempts=item.attempt, worker=self._worker, at=at)
