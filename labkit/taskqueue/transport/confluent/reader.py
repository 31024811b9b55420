"""The part of a consumer over confluent-kafka that speaks to librdkafka; all of it runs on the client's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaError, KafkaException

from labkit.lab.connection import Connection
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport.confluent.client import (
    REFUSALS,
    headers_of,
    in_words,
    kafka_error,
    to_offsets,
    to_ours,
    to_theirs,
    words_of,
)
from labkit.taskqueue.transport.contract import Position, Record, TopicPartition
from labkit.taskqueue.transport.library_logs import LOGGER

#: How long one wait inside `poll` may be, in seconds, so that it can be woken.
POLL_SLICE = 0.1
#: How long one wait may be while the group is left, in seconds; and how much is thrown away at once.
LEAVE_SLICE, MANY = 0.02, 1000

#: What the owner is told of its partitions.
Tell = Callable[[list[TopicPartition]], object]


class Reader:
    """Reads for one consumer. `usual_start` is from where a partition is read of which nothing else is known."""

    def __init__(self, client: Consumer, connection: Connection, *, usual_start: int) -> None:
        self._client = client
        self._connection = connection
        self._usual_start = usual_start
        self.assignment: frozenset[TopicPartition] = frozenset()
        self.woken = threading.Event()
        # what to do when the assignment begins, from `seek` and `pause` before the library can do it
        self._starts: dict[TopicPartition, int] | None = None
        self._paused: set[TopicPartition] = set()
        # how far there was something to read, by the library's word; past the marks that end a transaction
        self._ends: dict[TopicPartition, int] = {}
        self._revocations = 0
        self._leaving = False

    def subscribe(self, topics: Sequence[str], *, on_assigned: Tell, on_revoked: Tell) -> None:
        """Join the group for these topics; the owner is told while records are fetched."""

        def assigned(_: Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
            if self._leaving:
                self._client.unassign()
                return
            self.assignment = to_ours(partitions)
            self._starts, self._paused = {}, set()
            on_assigned(sorted(self.assignment))
            self._begin()

        def revoked(_: Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
            mine = to_ours(partitions) & self.assignment  # what comes while this one leaves was never begun
            if mine:
                self._paused = set()
                on_revoked(sorted(mine))
            self.assignment = frozenset()
            self._revocations += 1

        self._client.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def assign(self, partitions: Sequence[TopicPartition], timeout: float) -> None:
        """Read these partitions without a group; each topic may take so many seconds to be looked up."""
        for topic in {tp.topic for tp in partitions}:  # librdkafka would take a second for one that it has not heard of
            self._client.list_topics(topic, timeout=timeout)
        self.assignment = frozenset(partitions)
        self._starts, self._paused = {}, set()

    def fetch(self, timeout: float, limit: int) -> list[Record]:
        """Records that came within `timeout`, at most so many; [] if it was woken."""
        if self._starts is not None:
            self._begin()
        deadline = time.monotonic() + timeout
        left = timeout
        while True:
            revocations = self._revocations
            records = self._records(self._gather(min(left, POLL_SLICE), limit))
            left = left_until(deadline)
            if records or revocations != self._revocations:
                return records
            if left == 0 or self.woken.is_set():
                self.woken.clear()
                return []

    def commit(self, positions: Mapping[TopicPartition, Position]) -> list[confluent_kafka.TopicPartition]:
        """Commit these offsets; what became of each. It does not return while the broker does not answer."""
        return self._client.commit(offsets=to_offsets(positions), asynchronous=False) or []

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[confluent_kafka.TopicPartition]:
        """What the group has committed."""
        answers: list[confluent_kafka.TopicPartition] = self._client.committed(to_theirs(partitions), timeout=timeout)
        return answers

    def membership(self) -> tuple[Any, bool]:
        """The generation that this consumer is in, and whether it is a member."""
        found = self._client.consumer_group_metadata()
        return found, bool(self._client.memberid())

    def position(self, partition: TopicPartition) -> int | None:
        """From where it reads on, as far as the client knows without asking."""
        [found] = self._client.position([confluent_kafka.TopicPartition(*partition)])
        known = max(found.offset, self._ends.get(partition, OFFSET_INVALID))
        return None if known < 0 else known

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""
        self._ends.pop(partition, None)
        if self._starts is not None:
            self._starts[partition] = offset
        else:
            self._client.seek(confluent_kafka.TopicPartition(*partition, offset))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from these partitions, as far as they are assigned."""
        mine = [partition for partition in partitions if partition in self.assignment]
        self._paused.update(mine)
        if self._starts is None:
            self._client.pause(to_theirs(mine))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch from these partitions again, as far as they are assigned."""
        mine = [partition for partition in partitions if partition in self.assignment]
        self._paused.difference_update(mine)
        if self._starts is None:
            self._client.resume(to_theirs(mine))

    def leave(self, timeout: float) -> None:
        """Leave the group as long as its events are answered, and close.

        librdkafka may wait for ever for what becomes of an event that it meets while it closes (its issue 4884).
        """
        self._leaving = True
        deadline = time.monotonic() + timeout
        try:
            self._client.unsubscribe()
            self._client.consume(MANY, 0)
            while self._client.assignment() and left_until(deadline):
                self._client.consume(MANY, LEAVE_SLICE)
        except KafkaException as error:
            LOGGER.warning("leaving the group: %s", words_of(kafka_error(error)))
        self.close()

    def close(self) -> None:
        """Let go of the client."""
        self._client.close()

    def _begin(self) -> None:
        """Read the assigned partitions from where `seek` said, or from the usual start."""
        starts, self._starts = self._starts or {}, None
        self._ends.clear()
        self._client.assign(
            [confluent_kafka.TopicPartition(*tp, starts.get(tp, self._usual_start)) for tp in sorted(self.assignment)]
        )
        # librdkafka remembers what was paused before, also across rebalances
        self._client.resume(to_theirs(sorted(self.assignment - self._paused)))
        self._client.pause(to_theirs(sorted(self._paused)))

    def _gather(self, timeout: float, limit: int) -> list[Any]:
        """The messages that are there; waits for the first.

        Not by the library's `consume`: that one waits for the last, and when a rebalance comes meanwhile nobody
        can tell which of its messages are from before.
        """
        messages: list[Any] = []
        while len(messages) < limit:
            revocations = self._revocations
            message = self._client.poll(0 if messages else timeout)
            if revocations != self._revocations:
                messages.clear()  # whoever has their partitions now begins with what was committed
            if message is None:
                break
            messages.append(message)
        return messages

    def _records(self, messages: list[Any]) -> list[Record]:
        records = []
        for m in messages:
            if m.error() is None:
                place = m.topic(), m.partition(), m.offset()
                self._ends.pop(TopicPartition(*place[:2]), None)  # it may end before that now
                records.append(Record(*place, m.key(), m.value(), headers_of(m), m.timestamp()[1]))
            else:
                self._take_note(m.error(), m)
        return records

    def _take_note(self, error: KafkaError, message: Any) -> None:
        """Raise what the user must mend; a topic that is not there yet or a poll that came late is only logged."""
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends[TopicPartition(message.topic(), message.partition())] = message.offset()
            return
        if error.fatal() or error.code() in REFUSALS:
            raise in_words(error, self._connection)
        LOGGER.warning("%s", words_of(error))


def usual_start(group: str | None) -> int:
    """From where a partition is read: the group's committed offset, or without a group the beginning."""
    return OFFSET_BEGINNING if group is None else OFFSET_INVALID
