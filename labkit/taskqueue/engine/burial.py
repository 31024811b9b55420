"""Bringing dead tasks to the dead letters, each exactly once.

The dead letter and the commit that goes past its task are one transaction (KIP-98), from which a worker is kept out
that no longer owns the partition (KIP-447). So there is no moment at which one is written without the other.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from labkit.errors import CommitRefused, TransportError
from labkit.taskqueue.dead_letters import bury, ensure_dead_topic
from labkit.taskqueue.engine.attempts import describe
from labkit.taskqueue.engine.holding import Holding
from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.engine.progress import Memo
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import ConsumerClient, TransactionClient

#: How long to wait after the broker did not answer, in seconds.
RETRY_INTERVAL = 1.0

log = logging.getLogger("labkit.worker")


class Burial:
    """Writes the dead letters of one worker. `wall_clock` gives seconds since the epoch, `clock` only measures."""

    def __init__(
        self,
        topic: Topic,
        client: ConsumerClient,
        *,
        worker: str,
        group: str,
        wall_clock: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._client = client
        self._worker = worker
        self._group = group
        self._wall_clock = wall_clock
        self._clock = clock
        self._transactions: TransactionClient | None = None
        self._open_since_error: list[Item] = []
        self._not_before = 0.0

    def bury(self, items: Sequence[Item]) -> list[Item]:
        """Write the dead letters and commit; what is through, the rest is to be handed in again.

        If the group has moved on, nothing is written, and the new owners see to it.
        """
        if not items or self._clock() < self._not_before:
            return []
        try:
            return self._bury(items)
        except CommitRefused as error:
            log.warning("%s: %s", self._worker, error)
        except TransportError as error:
            log.warning("%s: the dead letters have to wait: %s", self._worker, error)
            self._open_since_error = list(items)
            self.close()  # a new client ends what is left of the transaction
        self._not_before = self._clock() + RETRY_INTERVAL
        return []

    def close(self) -> None:
        """Let go of the connection."""
        if self._transactions is not None:
            self._transactions.close()
            self._transactions = None

    def _bury(self, items: Sequence[Item]) -> list[Item]:
        if self._transactions is None:
            ensure_dead_topic(self._topic)
            transactional_id = self._topic.full_group(f"{self._group}.{self._worker}")
            self._transactions = self._topic.transport.transactions(transactional_id)
        written = [item for item in self._open_since_error if self._is_committed(item)]
        self._open_since_error = []
        left = [item for item in items if item not in written]
        if left:
            self._write(self._transactions, left)
        return [*written, *left]

    def _write(self, transactions: TransactionClient, items: Sequence[Item]) -> None:
        finished: dict[Holding, list[int]] = defaultdict(list)
        for item in items:
            finished[item.owner].append(item.record.offset)
        at = self._wall_clock()
        letters = [
            bury(
                self._topic,
                item.record,
                error=describe(item.error) if item.error else "",
                attempts=item.attempt,
                worker=self._worker,
                at=at,
            )
            for item in items
        ]
        positions = {holding.place: holding.position(finished=offsets) for holding, offsets in finished.items()}
        transactions.write(letters, positions, self._client)
        for item in items:
            log.warning("%s: offset %d of partition %d is a dead letter now", self._worker, *_place(item))

    def _is_committed(self, item: Item) -> bool:
        """Whether a transaction whose end was not seen was committed."""
        place = item.owner.place
        committed = self._client.committed([place])[place]
        if committed is None:
            return False
        offset = item.record.offset
        return offset < committed.offset or offset in Memo.decode(committed.metadata, committed.offset).finished


def _place(item: Item) -> tuple[int, int]:
    return item.record.offset, item.record.partition
