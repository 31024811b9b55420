"""The admin client over kafka-python."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import kafka
import kafka.errors as kafka_errors
from kafka.admin import ConfigResourceType, ConfigSourceType, KafkaAdminClient
from kafka.protocol.admin import DescribeConfigsRequest
from kafka.protocol.consumer import OffsetSpec, OffsetTimestamp

from labkit.errors import BrokerUnreachable, DeadlineExceeded, LabkitError, TopicMismatch, UnknownTopic
from labkit.kafka_names import must_be_topic_name
from labkit.lab.connection import Connection
from labkit.resource import end_all
from labkit.taskqueue.timeouts import CHANGE_TIMEOUT, wait_until_there
from labkit.taskqueue.transport.checks import must_be_open
from labkit.taskqueue.transport.contract import TopicDescription
from labkit.taskqueue.transport.kafka_python.client import Answer, ask, connect, in_words
from labkit.taskqueue.transport.kafka_python.group_admin import KafkaPythonGroups
from labkit.taskqueue.transport.kafka_python.network_overrides import has_ended
from labkit.taskqueue.transport.kafka_python.overrides import ask_broker
from labkit.taskqueue.transport.values import Timeouts

#: How long after a topic was made here one of the brokers may not have heard of it yet, in seconds. Less than a client
#: asks again for, since in the end it is unknown: somebody else has deleted it.
SPREAD_TIMEOUT = 2.0
#: The brokers' own replication factor (KIP-464).
_BROKERS_DEFAULT = -1


class KafkaPythonAdmin(KafkaPythonGroups):
    """See `labkit.taskqueue.transport.contract.AdminClient`."""

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        super().__init__(connection, timeouts)
        self._connection = connection
        self._timeouts = timeouts
        self._renewal = threading.Lock()
        self._client = self._connect()
        #: until when what was made here may be unknown to a broker
        self._made: dict[str, float] = {}
        self._closed = False

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
        factor = replication_factor or _BROKERS_DEFAULT
        shape = {"num_partitions": partitions, "replication_factor": factor, "configs": dict(config or {})}

        def create() -> dict[str, Any]:
            answer = self._client.create_topics({name: shape}, validate_only=validate_only, raise_errors=False)
            made: dict[str, Any] = answer["topics"][0]
            if made["error_code"] == no_replicas and "fenced" in (made["error_message"] or ""):
                # the brokers have been silent, as while a laptop slept, and are about to be heard again
                raise kafka_errors.LeaderNotAvailableError(made["error_message"])
            return made

        no_replicas = kafka_errors.InvalidReplicationFactorError.errno
        result = self._change(create)
        if result["error_code"] == kafka_errors.TopicAlreadyExistsError.errno:
            return False
        self._check(result["error_code"], result["error_message"], name)
        if validate_only:
            return True
        self._made[name] = time.monotonic() + SPREAD_TIMEOUT
        self._wait_for_partitions(name, partitions)
        return True

    def describe_topic(self, name: str) -> TopicDescription:
        """The topic's shape; raises `UnknownTopic`."""
        description = self._description(name)
        partitions = description["partitions"]
        return TopicDescription(
            name=name,
            id=str(description["topic_id"]),
            partitions=len(partitions),
            replication_factor=len(partitions[0]["replica_nodes"]),
            config=self._config(name),
        )

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of these topics, without those that do not exist."""
        found = self._descriptions(list(names))
        for topic in found:
            if topic["error_code"] != kafka_errors.UnknownTopicOrPartitionError.errno:
                self._check(topic["error_code"], None, topic["name"])
        return {topic["name"]: str(topic["topic_id"]) for topic in found if topic["error_code"] == 0}

    def list_topics(self) -> list[str]:
        """The names of all topics but Kafka's internal ones, sorted."""
        topics = self._ask(lambda: self._client.describe_topics())  # noqa: PLW0108 - it may be another one by then
        return sorted(topic["name"] for topic in topics if not topic["is_internal"])

    def grow_topic(self, name: str, *, partitions: int) -> None:
        """Raise the number of partitions; `UnknownTopic`, `TopicMismatch`."""
        answer = self._change(lambda: self._client.create_partitions({name: partitions}, raise_errors=False))
        result = answer.results[0]
        if result.error_code == kafka_errors.InvalidPartitionsError.errno:
            raise TopicMismatch(f"The topic {name!r} cannot get {partitions} partitions: {result.error_message}")
        self._check(result.error_code, result.error_message, name)
        self._wait_for_partitions(name, partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and return when it is gone; raises `UnknownTopic`."""
        self._made.pop(name, None)
        answer = self._change(lambda: self._client.delete_topics([name], raise_errors=False))
        result = answer["topics"][0]
        self._check(result["error_code"], result["error_message"], name)
        self._wait(lambda: not self.topic_ids([name]), f"the topic {name!r} was to disappear")

    def end_offsets(self, topic: str, *, available_only: bool = False) -> dict[int, int]:
        """Per partition, the offset that the next record will get."""
        return self._offsets(topic, OffsetSpec.LATEST, available_only=available_only)

    def start_offsets(self, topic: str) -> dict[int, int]:
        """Per partition, the offset of the first record kept."""
        return self._offsets(topic, OffsetSpec.EARLIEST)

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Per partition, the offset of the first record of that time or later; the end where there is none."""
        ends = self.end_offsets(topic)
        found = self._offsets(topic, OffsetTimestamp(max(timestamp_ms, 0)))
        return {
            partition: found.get(partition, -1) if found.get(partition, -1) >= 0 else end
            for partition, end in ends.items()
        }

    def close(self) -> None:
        """Let go of the sockets."""
        self._closed = True
        end_all(self._share_groups.close, self._client.close)

    def _connect(self) -> KafkaAdminClient:
        return connect(KafkaAdminClient, self._connection, self._timeouts, client_id="labkit-admin")

    def _in_use(self) -> KafkaAdminClient:
        """The client, which is made anew, once for all threads, when it has broken down."""
        must_be_open("admin client", closed=self._closed)
        with self._renewal:
            if has_ended(self._client):
                self._client.close()
                self._client = self._connect()
            return self._client

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        return ask(self._in_use(), request, self._connection, self._timeouts)

    def _change(self, request: Callable[[], Answer]) -> Answer:
        """As `_ask`, for what must not be done a second time because the first answer did not come."""
        return ask(self._in_use(), request, self._connection, self._timeouts, repeatable=False)

    def _check(self, code: int, message: str | None, topic: str) -> None:
        if code == 0:
            return
        error_type = kafka_errors.for_code(code)
        if error_type is kafka_errors.UnknownTopicOrPartitionError:
            raise _unknown(topic)
        if error_type is kafka_errors.InvalidTopicError:
            must_be_topic_name(topic)
        raise _with_cause(in_words(error_type(message), self._connection), error_type(message))

    def _partitions(self, name: str) -> list[dict[str, Any]]:
        partitions: list[dict[str, Any]] = self._description(name)["partitions"]
        return partitions

    def _description(self, name: str) -> dict[str, Any]:
        [found] = self._descriptions([name])
        self._check(found["error_code"], None, name)
        return found

    def _descriptions(self, names: list[str]) -> list[dict[str, Any]]:
        def describe() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = self._client.describe_topics(names)
            for topic in found:
                if topic["error_code"] == unknown and time.monotonic() < self._made.get(topic["name"], 0.0):
                    raise kafka_errors.LeaderNotAvailableError(topic["name"])
            return found

        unknown = kafka_errors.UnknownTopicOrPartitionError.errno
        return self._ask(describe)

    def _config(self, name: str) -> dict[str, str]:
        """The settings of the topic itself. The library's own call takes an error for a topic without settings."""
        request = DescribeConfigsRequest(resources=[(ConfigResourceType.TOPIC, name, None)], min_version=1)

        def describe() -> Any:
            found = ask_broker(self._client, request).results[0]
            if found.error_code == kafka_errors.UnknownTopicOrPartitionError.errno:
                self._description(name)  # raises `UnknownTopic`; else the broker that was asked lags behind
                raise kafka_errors.LeaderNotAvailableError(name)
            return found

        found = self._ask(describe)
        if found.error_code == kafka_errors.TopicAuthorizationFailedError.errno:
            return {}  # who may read and write a topic need not be told its settings
        self._check(found.error_code, found.error_message, name)
        own = [entry for entry in found.configs if entry.config_source == ConfigSourceType.DYNAMIC_TOPIC_CONFIG]
        return {entry.name: entry.value for entry in sorted(own, key=lambda entry: entry.name)}

    def _offsets(
        self, topic: str, spec: OffsetSpec | OffsetTimestamp, *, available_only: bool = False
    ) -> dict[int, int]:
        partitions = [p for p in self._partitions(topic) if not available_only or p["leader_id"] >= 0]
        wanted = {kafka.TopicPartition(topic, p["partition_index"]): spec for p in partitions}
        found = self._ask(lambda: self._client.list_partition_offsets(wanted))
        return {partition.partition: answer.offset for partition, answer in sorted(found.items())}

    def _wait_for_partitions(self, name: str, count: int) -> None:
        def ready() -> bool:
            try:
                partitions = self._partitions(name)
            except UnknownTopic:  # the controller has answered before this broker has heard of it
                return False
            return len(partitions) >= count and all(p["leader_id"] >= 0 for p in partitions)

        self._wait(ready, f"the topic {name!r} was to have {count} partitions")

    def _wait(self, is_shown: Callable[[], bool], what: str) -> None:
        """Return when the brokers show a change that they have taken; `BrokerUnreachable` if they do not in time."""
        try:
            wait_until_there(is_shown, timeout=CHANGE_TIMEOUT, what=what)
        except DeadlineExceeded as error:
            where = self._connection.bootstrap_servers
            raise BrokerUnreachable(f"Kafka at {where} has not done in time what it was to do. {error}") from error


def _unknown(topic: str) -> UnknownTopic:
    return UnknownTopic(f"There is no topic {topic!r}.")


def _with_cause(error: LabkitError, cause: Exception) -> LabkitError:
    error.__cause__ = cause
    return error
