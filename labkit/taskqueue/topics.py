"""Topics as a user sees them: created, described, grown, deleted, read from end to end, and how far a group lags."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Self

from labkit.errors import BrokerUnreachable, DeadlineExceeded, TopicMismatch, UnknownTopic
from labkit.parameters import checked
from labkit.resource import LazyResource, Resource
from labkit.taskqueue.namespace import OwnTopics, is_in_namespace
from labkit.taskqueue.timeouts import CHANGE_TIMEOUT, wait_until
from labkit.taskqueue.topic import PartitionLag, Topic, missing, must_match, must_not_be_internal, partition_lags
from labkit.taskqueue.transport.contract import (
    AdminClient,
    ConsumerClient,
    ConsumerConfig,
    Position,
    Record,
    TopicDescription,
    TopicPartition,
    Transport,
)

__all__ = ["PartitionLag", "Topic", "Topics", "first_records", "read_topic"]


class Topics(Resource, checked=True):
    """The topics of one cluster, under one prefix. A context manager; `close` lets go of the connection, of which there
    is one however many threads use this.

    A topic that this object has made with `fresh` or `temporary` is meant here whenever its name is.
    """

    def __init__(self, transport: Transport, *, prefix: str = "") -> None:
        self.transport = transport
        self.prefix = prefix
        self._admin: LazyResource[AdminClient] = LazyResource(transport.admin)
        self._own = OwnTopics(prefix)

    @classmethod
    def of(cls, topic: Topic) -> Self:
        """The topics among which this one is found by its name, whoever has made it."""
        topics = cls(topic.transport, prefix=topic.prefix)
        topics._own.know(topic)
        return topics

    def create(
        self,
        name: str,
        *,
        partitions: int,
        replication_factor: int | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Topic:
        """Create a topic; no error if it exists already with the same number of partitions.

        Without a replication factor the cluster's own default applies: 1 on a lab of one broker, 3 on one of three.
        Raises `TopicMismatch` when it exists with another shape, `InternalTopic` for one of Kafka's own, and
        `BrokerUnreachable` when for `CHANGE_TIMEOUT` seconds its name is taken and there is no such topic. Raises
        `SettingsError` for fewer than one partition or replica.
        """
        topic = self._topic(name, partitions)
        full_name = topic.full_name

        def is_there() -> bool:
            if self._client.create_topic(
                full_name, partitions=partitions, replication_factor=replication_factor, config=config
            ):
                return True
            with suppress(UnknownTopic):  # a broker lags behind, or it was just deleted
                must_match(self.describe(name), name, partitions, config or {})
                return True
            return False

        try:
            wait_until(is_there, timeout=CHANGE_TIMEOUT, what="its name is taken, and there is no such topic")
        except DeadlineExceeded as error:
            raise BrokerUnreachable(f"The topic {name!r} could be neither made nor found. {error}") from error
        return topic

    def get(self, name: str) -> Topic:
        """The topic of that name; raises `UnknownTopic`, and `InternalTopic` for one of Kafka's own."""
        return self._topic(name, self.describe(name).partitions)

    def names(self) -> list[str]:
        """The names of all topics under the prefix, sorted and without it; what other programs have for themselves
        is left out.
        """
        names = [name for name in self._client.list_topics() if name.startswith(self.prefix)]
        shared = {name.removeprefix(self.prefix) for name in names}
        return sorted({name for name in shared if not is_in_namespace(name)} | self._own.names(names))

    def describe(self, name: str) -> TopicDescription:
        """The topic's partitions, replication factor and configuration; raises `UnknownTopic`."""
        try:
            return self._client.describe_topic(self.full_name(name))
        except UnknownTopic as error:
            raise missing(name) from error

    def grow(self, name: str, *, partitions: int) -> Topic:
        """Raise the number of partitions. Records stay where they are; keys may go elsewhere from now on.

        Raises `TopicMismatch` when the number would not grow: Kafka cannot take partitions away. Raises
        `UnknownTopic`, and `InternalTopic` for one of Kafka's own.
        """
        topic = self._topic(name, partitions)
        full_name = topic.full_name
        try:
            self._client.grow_topic(full_name, partitions=partitions)
        except TopicMismatch as error:
            raise TopicMismatch(str(error).replace(full_name, name)) from error
        except UnknownTopic as error:
            raise missing(name) from error
        return topic

    def delete(self, name: str) -> None:
        """Delete a topic with all its records; raises `UnknownTopic`, and `InternalTopic` for one of Kafka's own."""
        must_not_be_internal(self.full_name(name))
        self._client.delete_topic(self.full_name(name))

    def recreate(self, name: str, *, partitions: int) -> Topic:
        """An empty topic; what had that name before, whoever has made it, is deleted first, with all its records."""
        with suppress(UnknownTopic):
            self.delete(name)
        return self.create(name, partitions=partitions)

    def temporary(self, name: str, *, partitions: int) -> Topic:
        """An empty topic of this program's own, until `close`: others may have one of that name, and keep it.

        On the broker it has a name that nobody else has (`Topic.full_name`). Its groups are its own too, so a group of
        the same name on another topic has nothing to do with it. What this object has had for itself under that name
        is deleted, and so is what killed programs of this machine have left behind.
        """
        self._own.release(self._client, name)
        connection = self.transport.connection
        self._own.sweep(self._client, is_local=connection is not None and connection.is_local)
        return self._own.create(self._client, self._shared(name, partitions))

    @contextmanager
    def fresh(self, name: str, *, partitions: int) -> Iterator[Topic]:
        """As `temporary`, for the length of a `with` block: the topic is deleted at its end, with its dead letters."""
        topic = self.temporary(name, partitions=partitions)
        try:
            yield topic
        finally:
            if self._own.find(name) is topic:
                self._own.release(self._client, name)

    def full_name(self, name: str) -> str:
        """The name on the broker of the topic that is meant by this name, which may be one of its dead letters."""
        own = self._own.find(name)
        return (self.prefix if own is None else own.prefix) + name

    def full_group(self, topic: str, group: str) -> str:
        """The name on the broker of a group that reads the topic that is meant by this name."""
        own = self._own.find(topic)
        return self.prefix + group if own is None else own.full_group(group)

    def own(self) -> list[dict[str, object]]:
        """The topics of this program's own, as JSON values, for a process that works for it: see `know`."""
        return self._own.describe()

    def know(self, described: Iterable[Mapping[str, object]]) -> None:
        """Mean these topics, which another process has described by `own`, by their names."""
        for one in described:
            self._own.know(Topic(**one, transport=self.transport))  # type: ignore[arg-type]

    def end_offsets(self, name: str) -> dict[int, int]:
        """Per partition, the offset that the next record will get."""
        return self._client.end_offsets(self.full_name(name))

    def committed(self, name: str, *, group: str) -> dict[int, Position]:
        """What the group has committed, per partition; nothing for what was never committed."""
        return self._client.committed(self.full_group(name, group), self.full_name(name))

    def lag(self, name: str, *, group: str) -> list[PartitionLag]:
        """How far the group is behind, one entry per partition, in order.

        It counts from where the partition begins, if nothing is committed beyond that for this very topic.
        """
        full_name = self.full_name(name)
        committed = self._client.committed(self.full_group(name, group), full_name)
        topic_id = self._client.topic_ids([full_name]).get(full_name)
        if topic_id is None:
            raise missing(name)
        starts = self._client.start_offsets(full_name)
        ends = self._client.end_offsets(full_name)  # there may be more partitions now, which begin at 0
        return partition_lags(committed, topic_id, starts, ends)

    def groups(self) -> dict[str, list[str]]:
        """The groups under the prefix that have committed something, each with the topics of which it has, sorted."""
        return {
            group.removeprefix(self.prefix): sorted(topic.removeprefix(self.prefix) for topic in topics)
            for group, topics in self._client.groups().items()
            if group.startswith(self.prefix) and not is_in_namespace(group.removeprefix(self.prefix))
        }

    def members(self, group: str, *, topic: str | None = None) -> dict[str, list[tuple[str, int]]]:
        """The group's members by name, each with its (topic, partition) pairs, sorted.

        Name the `topic` if it is one of this program's own, which has groups of its own.
        """
        own = None if topic is None else self._own.find(topic)
        members = self._client.members(self.prefix + group if own is None else own.full_group(group))
        prefix = self.prefix if own is None else own.prefix
        return {
            name: sorted((tp.topic.removeprefix(prefix), tp.partition) for tp in partitions)
            for name, partitions in sorted(members.items())
        }

    def forget_group(self, group: str) -> None:
        """Forget what the group has committed; the group must have no members."""
        self._client.delete_group(self.prefix + group)

    def close(self) -> None:
        """Delete what is `temporary`, and let go of the connection; a new one is opened when it is used again."""
        try:
            if self._own:
                self._own.release_all(self._client)
        finally:
            self._admin.close()

    @property
    def _client(self) -> AdminClient:
        return self._admin.get()

    def _shared(self, name: str, partitions: int) -> Topic:
        return Topic(name=name, partitions=partitions, transport=self.transport, prefix=self.prefix)

    def _topic(self, name: str, partitions: int) -> Topic:
        own = self._own.find(name)
        return self._shared(name, partitions) if own is None else replace(own, name=name, partitions=partitions)


#: How long reading may get nothing at all, in seconds: a transaction of a killed worker may be open for 12 s.
PATIENCE = 15.0


@checked
def read_topic(transport: Transport, name: str, *, floor: Mapping[int, int] | None = None) -> Iterator[Record]:
    """All records there now, in the order of their offsets per partition; `name` as on the broker.

    With a `floor`, an offset per partition, only those at or beyond it; all of a partition that it does not name.
    Records of open transactions are waited for: one that was committed a moment ago may count as open yet.
    Raises `UnknownTopic`, and `BrokerUnreachable` if nothing comes for `PATIENCE` seconds.
    """
    with closing(transport.admin()) as admin:
        starts = admin.start_offsets(name)
        ends = admin.end_offsets(name)
    starts = {number: starts.get(number, 0) for number in ends}  # a partition that came meanwhile begins at 0
    for number, offset in (floor or {}).items():
        starts[number] = max(starts.get(number, 0), offset)
    left = {TopicPartition(name, number): end for number, end in ends.items() if end > starts[number]}
    if not left:
        return
    with closing(transport.consumer(ConsumerConfig())) as consumer:
        consumer.assign(sorted(left))
        for place in sorted(left):
            consumer.seek(place, starts[place.partition])
        yield from _read_up_to(left, consumer)


def first_records(topic: Topic, most: int = 20) -> list[Record]:
    """To see what the topic holds; fewer where a transaction is open for long. Raises `UnknownTopic`."""
    found: list[Record] = []
    with suppress(BrokerUnreachable):  # what was read so far counts
        found.extend(islice(read_topic(topic.transport, topic.full_name), most))
    return found


def _read_up_to(ends: dict[TopicPartition, int], consumer: ConsumerClient) -> Iterator[Record]:
    quiet_since = time.monotonic()
    while any((consumer.position(place) or 0) < end for place, end in ends.items()):
        records = consumer.poll(0.1)
        yield from (
            record for record in records if record.offset < ends[TopicPartition(record.topic, record.partition)]
        )
        if records:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > PATIENCE:
            topic = next(iter(ends)).topic
            raise BrokerUnreachable(f"Nothing came for {PATIENCE:g} s while {topic} was read. Does Kafka run?")
