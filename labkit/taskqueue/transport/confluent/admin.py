"""The admin client over confluent-kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any
from uuid import UUID

import confluent_kafka
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it imports these names without exporting them
    AdminClient,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from labkit.errors import LabkitError, TopicMismatch, TransportError, UnknownTopic
from labkit.lab.connection import Connection
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.confluent.client import connect, in_words, kafka_error
from labkit.taskqueue.transport.contract import Position, TopicDescription, TopicPartition
from labkit.taskqueue.transport.reachability import CONNECT_TIMEOUT

#: How long a change may take until the brokers show it, in seconds.
CHANGE_TIMEOUT = 10.0
#: How long to try again while the cluster is not ready for a request, in seconds: right after its start, the
#: coordinator of groups is not, and a partition that is new or has lost its leader has none for a moment.
READY_TIMEOUT = 5.0
_RETRY_INTERVAL = 0.05
#: The brokers' own replication factor (KIP-464).
_BROKERS_DEFAULT = -1

_NOT_READY = {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError._WAIT_COORD,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,  # this client knows of a new leader before that leader itself does
    KafkaError.FENCED_LEADER_EPOCH,
}
_UNKNOWN_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}


class ConfluentAdmin:
    """See `labkit.taskqueue.transport.contract.AdminClient`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._connected: AdminClient | None = connect(AdminClient, connection, client_id="labkit-admin")
        self._made: set[str] = set()

    def create_topic(
        self,
        name: str,
        *,
        partitions: int,
        replication_factor: int | None = None,
        config: Mapping[str, str] | None = None,
        validate_only: bool = False,
    ) -> bool:
        """Create a topic: True if made now, False if the name was taken."""
        topic = NewTopic(name, partitions, replication_factor or _BROKERS_DEFAULT, config=dict(config or {}))
        try:
            self._ask(lambda client: client.create_topics([topic], validate_only=validate_only)[name], name)
        except TransportError as error:
            if _code(error) == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise
        if validate_only:
            return True
        self._made.add(name)
        self._wait_for_partitions(name, partitions)
        return True

    def describe_topic(self, name: str) -> TopicDescription:
        """The topic's shape; raises `UnknownTopic`."""
        description = self._description(name)
        partitions = description.partitions
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        config = self._ask(lambda client: client.describe_configs([resource])[resource], name)
        return TopicDescription(
            name=name,
            id=_uuid(description.topic_id),
            partitions=len(partitions),
            replication_factor=len(partitions[0].replicas),
            config={
                key: entry.value
                for key, entry in sorted(config.items())
                if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
            },
        )

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of these topics, without those that do not exist."""
        found = {}
        for name in names:
            with suppress(UnknownTopic):
                found[name] = _uuid(self._description(name).topic_id)
        return found

    def list_topics(self) -> list[str]:
        """The names of all topics but Kafka's internal ones, sorted."""
        try:
            names = list(self._client.list_topics(timeout=CONNECT_TIMEOUT).topics)
        except KafkaException as error:
            raise in_words(kafka_error(error), self._connection) from error
        if not names:
            return []
        found = self._client.describe_topics(TopicCollection(names))
        return sorted(name for name in names if self._is_there(found[name]))

    def grow_topic(self, name: str, *, partitions: int) -> None:
        """Raise the number of partitions; `UnknownTopic`, `TopicMismatch`."""
        try:
            self._ask(lambda client: client.create_partitions([NewPartitions(name, partitions)])[name], name)
        except TransportError as error:
            if _code(error) != KafkaError.INVALID_PARTITIONS:
                raise
            raise TopicMismatch(f"The topic {name!r} cannot get {partitions} partitions: {error}") from error.__cause__
        self._wait_for_partitions(name, partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and return when the broker no longer lists it; raises `UnknownTopic`."""
        self._made.discard(name)
        self._ask(lambda client: client.delete_topics([name])[name], name)
        wait_until(lambda: not self._exists(name), timeout=CHANGE_TIMEOUT, what=f"the topic {name!r} was to disappear")

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Per partition, the offset that the next record will get."""
        return self._offsets(topic, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def start_offsets(self, topic: str) -> dict[int, int]:
        """Per partition, the offset of the first record kept."""
        return self._offsets(topic, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def committed(self, group: str, topic: str) -> dict[int, Position]:
        """What the group has committed for the topic, per partition."""
        return {
            tp.partition: Position(tp.offset, tp.metadata or "")
            for tp in sorted(self._all_committed(group), key=lambda tp: tp.partition)
            if tp.topic == topic and tp.offset >= 0
        }

    def groups(self) -> dict[str, frozenset[str]]:
        """The groups that have committed something, each with the topics of which it has."""
        listed = self._ask(lambda client: client.list_consumer_groups())
        names = sorted(group.group_id for group in listed.valid)
        # librdkafka takes one group per request
        topics = {name: frozenset(tp.topic for tp in self._all_committed(name)) for name in names}
        return {group: committed for group, committed in topics.items() if committed}

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with their partitions."""
        found = self._ask(lambda client: client.describe_consumer_groups([group])[group])
        members: dict[str, frozenset[TopicPartition]] = {}
        for member in found.members:
            held = frozenset(TopicPartition(tp.topic, tp.partition) for tp in member.assignment.topic_partitions)
            members[member.client_id] = members.get(member.client_id, frozenset()) | held
        return members

    def delete_group(self, group: str) -> None:
        """Forget the group's offsets; no error if it does not exist."""
        try:
            self._ask(lambda client: client.delete_consumer_groups([group])[group])
        except TransportError as error:
            if _code(error) == KafkaError.NON_EMPTY_GROUP:
                raise TransportError(f"The group {group!r} still has members. Stop them first.") from error.__cause__
            if _code(error) != KafkaError.GROUP_ID_NOT_FOUND:
                raise

    def close(self) -> None:
        """Let go of the sockets."""
        # librdkafka ends its threads when the last reference goes
        self._connected = None

    @property
    def _client(self) -> AdminClient:
        if self._connected is None:
            raise TransportError("The admin client is closed.")
        return self._connected

    def _ask(self, request: Callable[[AdminClient], Future[Any]], topic: str = "") -> Any:
        deadline = time.monotonic() + READY_TIMEOUT
        while True:
            try:
                return request(self._client).result()
            except KafkaException as error:
                code = kafka_error(error).code()
                if code in _UNKNOWN_TOPIC and topic not in self._made:
                    raise UnknownTopic(f"There is no topic {topic!r}.") from error
                # a topic that was made here is there, though not every broker may have heard of it yet
                if code not in _NOT_READY | _UNKNOWN_TOPIC or time.monotonic() >= deadline:
                    raise in_words(kafka_error(error), self._connection) from error
            threading.Event().wait(_RETRY_INTERVAL)

    def _all_committed(self, group: str) -> list[confluent_kafka.TopicPartition]:
        request = [ConsumerGroupTopicPartitions(group)]
        found = self._ask(lambda client: client.list_consumer_group_offsets(request)[group])
        partitions: list[confluent_kafka.TopicPartition] = found.topic_partitions
        return partitions

    def _is_there(self, description: Future[Any]) -> bool:
        try:
            return not description.result().is_internal
        except KafkaException as error:
            if kafka_error(error).code() in _UNKNOWN_TOPIC:  # deleted a moment ago
                return False
            raise in_words(kafka_error(error), self._connection) from error

    def _partitions(self, name: str) -> list[Any]:
        partitions: list[Any] = self._description(name).partitions
        return partitions

    def _description(self, name: str) -> Any:
        topics = TopicCollection([name])
        return self._ask(lambda client: client.describe_topics(topics)[name], name)

    def _offsets(self, topic: str, spec: OffsetSpec) -> dict[int, int]:
        wanted = [confluent_kafka.TopicPartition(topic, partition.id) for partition in self._partitions(topic)]
        # a copy: the client completes the futures in its own dict
        answers = dict(self._client.list_offsets(dict.fromkeys(wanted, spec)))

        def answer(tp: confluent_kafka.TopicPartition) -> int:
            found: int = self._ask(lambda client: answers.pop(tp, None) or ask_again(client, tp), topic).offset
            return found

        def ask_again(client: AdminClient, tp: confluent_kafka.TopicPartition) -> Future[Any]:
            return client.list_offsets({tp: spec})[tp]

        return {tp.partition: answer(tp) for tp in wanted}

    def _exists(self, name: str) -> bool:
        try:
            self._partitions(name)
        except UnknownTopic:
            return False
        return True

    def _wait_for_partitions(self, name: str, count: int) -> None:
        def ready() -> bool:
            partitions = self._partitions(name)
            return len(partitions) >= count and all(partition.leader is not None for partition in partitions)

        wait_until(ready, timeout=CHANGE_TIMEOUT, what=f"the topic {name!r} was to have {count} partitions")


def _uuid(theirs: Any) -> str:
    """As others write it; librdkafka writes it in base 64."""
    bits = (theirs.get_most_significant_bits(), theirs.get_least_significant_bits())
    return str(UUID(bytes=b"".join(half.to_bytes(8, "big", signed=half < 0) for half in bits)))


def _code(error: LabkitError) -> int | None:
    cause = error.__cause__
    return kafka_error(cause).code() if isinstance(cause, KafkaException) else None
