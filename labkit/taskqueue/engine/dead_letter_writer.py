"""Writes dead letters, each exactly once where the group can tell.

In a group, the dead letter and the commit that goes past its task are one transaction (KIP-98), from which a worker is
kept out that no longer owns the partition (KIP-447). So there is no moment at which one is written without the other.

In a share group, the letter is written, then its record is rejected. The preview of confluent-kafka cannot put the two
into one transaction, so a worker that dies between them leaves both, and the task is tried again (at least once). A
second letter of the same record has the same key, so it replaces the first.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from labkit.errors import CommitRefused, TransportError
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.dead_letters import encode_dead_letter, ensure_dead_topic
from labkit.taskqueue.engine.failure import describe
from labkit.taskqueue.engine.offset_tracker import OffsetMetadata
from labkit.taskqueue.engine.partition_state import PartitionState
from labkit.taskqueue.engine.work_item import WorkItem
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

log = safe_logger("labkit.worker")


class DeadLetterClient:
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
        items: Sequence[WorkItem],
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

    def _letter(self, item: WorkItem, at: float) -> Outgoing:
        error = "" if item.error is None else describe(item.error)
        return encode_dead_letter(
            self._topic, item.record, error=error, attempts=item.attempt, worker=self.worker, at=at
        )


class DeadLetterWriter:
    """Buries what is dead of one worker, whose `client` is a member of the group."""

    def __init__(self, letters: DeadLetterClient, client: ConsumerClient) -> None:
        self._letters = letters
        self._client = client
        self._open_since_error: list[WorkItem] = []

    def bury(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """Write the dead letters and commit; what is through, the rest is to be handed in again.

        If the group has moved on, nothing is written, and the new owners see to it.
        """
        if not items or not self._letters.may_write():
            return []
        try:
            return self._bury(items)
        except CommitRefused as error:
            log.warning("%s: %s", self._letters.worker, error)
        except TransportError as error:
            log.warning("%s: the dead letters have to wait: %s", self._letters.worker, error)
            self._open_since_error = list(items)
            self.close()  # a new client ends what is left of the transaction
        self._letters.put_off()
        return []

    def close(self) -> None:
        """Let go of the connection."""
        self._letters.close()

    def _bury(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        self._letters.open()  # before the look at what is committed, which is settled only then
        written = [item for item in self._open_since_error if self._is_committed(item)]
        self._open_since_error = []
        left = [item for item in items if item not in written]
        if left:
            self._write(left)
        return [*written, *left]

    def _write(self, items: Sequence[WorkItem]) -> None:
        finished: dict[PartitionState, list[int]] = defaultdict(list)
        for item in items:
            finished[item.owner].append(item.record.offset)
        positions = {holding.place: holding.position(finished=offsets) for holding, offsets in finished.items()}
        self._letters.write(items, positions, self._client)

    def _is_committed(self, item: WorkItem) -> bool:
        """Whether a transaction whose end was not seen was committed."""
        place = item.owner.place
        committed = self._client.committed([place])[place]
        if committed is None:
            return False
        offset = item.record.offset
        return (
            offset < committed.offset or offset in OffsetMetadata.decode(committed.metadata, committed.offset).finished
        )


class ShareDeadLetterWriter:
    """Buries what is dead of one worker."""

    def __init__(self, letters: DeadLetterClient) -> None:
        self._letters = letters

    def bury(self, items: Sequence[WorkItem]) -> bool:
        """Write the dead letters; False if the broker did not answer, and they are to be handed in again."""
        if not self._letters.may_write():
            return False
        try:
            self._letters.write(items)
        except TransportError as error:
            log.warning("%s: the dead letters have to wait: %s", self._letters.worker, error)
            self._letters.put_off()
            return False
        return True

    def close(self) -> None:
        """Let go of the connection."""
        self._letters.close()
