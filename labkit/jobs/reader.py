"""Reading the topic of the jobs, as one who only looks: from given offsets on, also on partitions that come to it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from labkit.errors import BadRecord
from labkit.jobs.batch import Placed
from labkit.jobs.event import JobEvent
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import ConsumerClient, ConsumerConfig, Record, TopicPartition

log = logging.getLogger("labkit.jobs")

#: How many events are added to the store at once, at most.
BATCH = 50_000
#: How many records one poll may bring.
MAX_POLL_RECORDS = 5_000


class Batch(NamedTuple):
    """The events between two offsets per partition."""

    events: list[Placed]
    before: Mapping[int, int]
    after: Mapping[int, int]


class Reader:
    """Reads on from the offsets `positions`; a partition that is not among them from its beginning.

    Used from one thread at a time. Raises what a consumer raises (`labkit.taskqueue.transport.contract`).
    """

    def __init__(self, topic: Topic, positions: Mapping[int, int]) -> None:
        self._topic = topic
        #: what the store has, by what is known here
        self.positions = dict(positions)
        self._starts: dict[int, int] = {}
        self._consumer: ConsumerClient = topic.transport.consumer(ConsumerConfig(max_poll_records=MAX_POLL_RECORDS))

    def read(self, starts: Mapping[int, int]) -> None:
        """Read these partitions, each from where it was read to or from this offset, whichever comes later."""
        if starts.keys() != self._starts.keys():
            self._starts = {number: max(start, self.positions.get(number, start)) for number, start in starts.items()}
            self._consumer.assign([self._place(number) for number in sorted(self._starts)])
            for number, start in self._starts.items():
                self._consumer.seek(self._place(number), start)

    def poll(self, timeout: float, ends: Mapping[int, int]) -> Batch:
        """What has come within `timeout` seconds; while there is more, up to `ends`, some `BATCH` events at once."""
        records = more = self._consumer.poll(timeout)
        while more and len(records) < BATCH and any(end > self._position(number) for number, end in ends.items()):
            records += (more := self._consumer.poll(timeout))
        after = {number: self._position(number) for number in self._starts}
        return Batch(_events(records), dict(self.positions), after)

    def took(self, batch: Batch) -> None:
        """The batch is in the store."""
        self.positions.update(batch.after)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic.full_name, partition)

    def _position(self, partition: int) -> int:
        known = self._consumer.position(self._place(partition))
        return self._starts[partition] if known is None else max(known, self._starts[partition])


def _events(records: list[Record]) -> list[Placed]:
    events = []
    for record in records:
        try:
            events.append(Placed(record.partition, record.offset, JobEvent.of(record)))
        except BadRecord as error:
            log.warning("%s The view passes it over.", error)
    return events
