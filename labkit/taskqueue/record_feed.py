"""The records of a topic as they are, whoever has written them: those that are there, and those that come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from labkit.errors import BrokerUnreachable, UnknownTopic
from labkit.resource import Resource
from labkit.taskqueue.cluster_errors import UnknownPartition
from labkit.taskqueue.start_point import StartPoint
from labkit.taskqueue.topics import Topics, read_topic
from labkit.taskqueue.transport.contract import ConsumerClient, ConsumerConfig, Record, TopicPartition

#: How long to wait for records before it is looked whether to stop, in seconds.
POLL_TIMEOUT = 0.2
#: How often it is looked which topic bears the name, in seconds; and how often it must not be there to be gone.
LOOK_INTERVAL, GONE_AFTER = 1.0, 2


class RecordFeed(Resource):
    """Reads one topic, or one partition of it, from a place on. Used from one thread. A context manager.

    It belongs to no group and commits nothing; the topic may be one of Kafka's own. Records of transactions are read
    when these are committed. `say` is told in a sentence what a reader who waits should know.

    Raises `UnknownTopic`, and `UnknownPartition` if the topic does not have that one.
    """

    def __init__(
        self,
        topics: Topics,
        name: str,
        start: StartPoint,
        *,
        partition: int | None = None,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._transport = topics.transport
        self._name = name
        self._full_name = topics.full_name(name)
        self._partition = partition
        self._say = say
        self._admin = topics.transport.admin()
        try:
            self._id = topics.describe(name).id
            self._offsets = self._chosen(start.offsets(self._admin, self._full_name))
        except BaseException:
            self.close()
            raise

    def stored(self) -> Iterator[Record]:
        """What is there now, in the order of the offsets per partition.

        Raises `BrokerUnreachable` if nothing comes for a while.
        """
        ends = self._admin.end_offsets(self._full_name)
        for record in read_topic(self._transport, self._full_name, floor=ends | self._offsets):
            if record.partition in self._offsets:
                yield record

    def follow(self, stop: threading.Event) -> Iterator[Record]:
        """The same and all that comes, until `stop` is set. A broker that is away is waited for.

        When the topic is made anew, it goes on with that one from its beginning. Raises `UnknownTopic` when it is gone.
        """
        with closing(self._transport.consumer(ConsumerConfig())) as consumer:
            self._read(consumer)
            due, misses, is_away, is_back = time.monotonic() + LOOK_INTERVAL, 0, False, False
            while not stop.is_set():
                records = consumer.poll(POLL_TIMEOUT)
                is_back = is_back or any(record.offset < self._offsets[record.partition] for record in records)
                if not is_back:
                    for record in records:
                        self._offsets[record.partition] = record.offset + 1
                        yield record
                    if time.monotonic() < due:
                        continue
                # what lies before what was read is of a topic made anew, or of one that has lost its end
                for record in records if is_back else ():
                    self._offsets[record.partition] = min(record.offset, self._offsets[record.partition])
                try:
                    misses = 0 if self._look(consumer, again=is_back) else misses + 1
                    is_away = is_back = False
                except BrokerUnreachable as error:
                    if not is_away:
                        self._say(f"{error} This view goes on when that has changed; Ctrl-C ends it.")
                    is_away = True
                if misses >= GONE_AFTER:
                    raise UnknownTopic(f"The topic {self._name!r} is gone: somebody has deleted it.")
                due = time.monotonic() + LOOK_INTERVAL

    def close(self) -> None:
        """Let go of the connection."""
        self._admin.close()

    def _chosen(self, offsets: dict[int, int]) -> dict[int, int]:
        if self._partition is None:
            return offsets
        if self._partition not in offsets:
            raise UnknownPartition(
                f"The topic {self._name!r} has no partition {self._partition}; it has {len(offsets)}, counted from 0."
            )
        return {self._partition: offsets[self._partition]}

    def _read(self, consumer: ConsumerClient) -> None:
        places = {TopicPartition(self._full_name, number): offset for number, offset in self._offsets.items()}
        consumer.assign(sorted(places))
        for place, offset in places.items():
            consumer.seek(place, offset)

    def _look(self, consumer: ConsumerClient, *, again: bool) -> bool:
        """Read also partitions that have come, and those of a topic made anew; whether there is a topic at all.

        `again`: all are read again from where this is.
        """
        try:
            topic_id = self._admin.topic_ids([self._full_name]).get(self._full_name)
            found = None if topic_id is None else StartPoint("earliest").offsets(self._admin, self._full_name)
            found = None if found is None else self._chosen(found)
        except (UnknownTopic, UnknownPartition):  # deleted just now, or made anew with fewer
            found = None
        if found is not None and topic_id is not None and topic_id != self._id:
            self._say(f"The topic {self._name!r} was made anew; its records from the beginning follow.")
            self._id, self._offsets, again = topic_id, found, True
        elif found is not None and found.keys() - self._offsets.keys():
            self._offsets, again = found | self._offsets, True
        if again:
            self._read(consumer)
        return found is not None
