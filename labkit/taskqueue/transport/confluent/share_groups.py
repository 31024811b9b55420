"""Share groups over confluent-kafka's `ShareConsumer`, which is a preview."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import AcknowledgeType, IllegalStateException, KafkaError, KafkaException, ShareConsumer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it imports these names without exporting them
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from labkit.errors import CommitRefused, LabkitError, TransportError, Unsupported
from labkit.lab.condition import wait_for
from labkit.lab.connection import Connection
from labkit.resource import LazyResource
from labkit.taskqueue.transport.checks import must_be_open
from labkit.taskqueue.transport.confluent.client import (
    REFUSALS,
    client_settings,
    connect,
    headers_of,
    in_words,
    kafka_error,
)
from labkit.taskqueue.transport.contract import Record, TopicPartition
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.reachability import unreachable
from labkit.taskqueue.transport.share_contract import (
    DELIVERIES,
    Acknowledgement,
    ShareClient,
    ShareConfig,
    SharedRecord,
    ShareLag,
)
from labkit.taskqueue.transport.values import Timeouts

if TYPE_CHECKING:
    from labkit.taskqueue.transport.confluent.share_admin import ShareGroupAdmin


Answer = TypeVar("Answer")

_ACKNOWLEDGEMENTS: dict[Acknowledgement, AcknowledgeType] = {
    "accept": AcknowledgeType.ACCEPT,
    "release": AcknowledgeType.RELEASE,
    "reject": AcknowledgeType.REJECT,
}
#: The codes by which a broker says that a lock was over.
_LOCK_LOST = {KafkaError.INVALID_RECORD_STATE, KafkaError.SHARE_SESSION_NOT_FOUND, KafkaError.FENCED_STATE_EPOCH}
#: The codes by which a broker refuses the settings of a group.
_NOT_ALLOWED = {KafkaError.INVALID_CONFIG, KafkaError.UNSUPPORTED_VERSION, KafkaError.INVALID_REQUEST}
#: How often the broker is asked whether it knows the settings of a group, in seconds.
LOOK_INTERVAL = 0.05
#: How often it is asked whether the group still has its settings, which anybody may delete, in seconds.
SETTINGS_INTERVAL = 30.0
#: A group that is not there after so many seconds was there before; sooner, it is none, in seconds.
JOINED_AFTER = 5.0
#: librdkafka warns with every new client that this is a preview; docs/share_groups.md says what that means.
_LOG_ERRORS = 3


class ConfluentShareConsumer:
    """See `labkit.taskqueue.transport.share_contract.ShareClient`."""

    def __init__(self, connection: Connection, config: ShareConfig, timeouts: Timeouts) -> None:
        self._connection = connection
        self._config = config
        self._timeouts = timeouts
        self._group = config.group
        self._topics: list[str] = []
        self._closed = self._is_gone = False
        self._begin()

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group for these topics, at the next `poll`."""
        self._topics = list(topics)
        self._client.subscribe(self._topics)

    def poll(self, timeout: float) -> list[SharedRecord]:
        """Records that came within `timeout`, locked for this member."""
        must_be_open("share consumer", closed=self._closed)
        if self._is_gone:
            self._begin_anew()
        elif time.monotonic() - self._configured_at > SETTINGS_INTERVAL:
            self._look_at_settings()
        try:
            messages = self._client.poll(timeout)
        except IllegalStateException as error:
            raise TransportError(f"Not all records of the last poll have their verdict: {error}") from error
        except KafkaException as error:
            self._raise_unless_gone(kafka_error(error))
            return []
        return [_shared(message) for message in messages if self._is_record(message)]

    def acknowledge(self, record: Record, verdict: Acknowledgement) -> None:
        """What becomes of this record."""
        must_be_open("share consumer", closed=self._closed)
        place = record.topic, record.partition, record.offset
        try:
            self._client.acknowledge_offset(*place, _ACKNOWLEDGEMENTS[verdict])
        except (IllegalStateException, KafkaException) as error:
            raise CommitRefused(f"Kafka takes no verdict on {'/'.join(map(str, place))} any more: {error}") from error

    def commit(self) -> None:
        """Tell the broker all verdicts since the last commit."""
        must_be_open("share consumer", closed=self._closed)
        try:
            answers = self._client.commit_sync(self._timeouts.request)
        except KafkaException as error:
            raise self._in_words(kafka_error(error)) from error
        errors = [kafka_error(answer) for answer in answers.values() if answer is not None]
        # what is open is worse than what is refused, so it is told first
        errors.sort(key=lambda error: error.code() in _LOCK_LOST)
        if errors:
            raise self._in_words(errors[0])

    def close(self) -> None:
        """Leave the group; what has no verdict is released."""
        if self._closed:
            return
        self._closed = True
        try:
            self._client.close()
        except KafkaException as error:
            raise self._in_words(kafka_error(error)) from error

    def _is_record(self, message: Any) -> bool:
        """Raise what the user must mend; anything else that is no record is only logged."""
        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() in REFUSALS:
            self._raise_unless_gone(error)
        LOGGER.warning("%s", error.str())
        return False

    def _begin(self) -> None:
        _configure(self._connection, self._config, self._timeouts)
        self._client = ShareConsumer(_share_settings(self._connection, self._config, self._timeouts))
        self._joined_at = self._configured_at = time.monotonic()

    def _begin_anew(self) -> None:
        """The broker is another now, which never heard of the group: it gets its settings before it is joined."""
        with suppress(KafkaException):  # there is nothing that it could leave
            self._client.close()
        self._begin()
        self._client.subscribe(self._topics)
        self._is_gone = False

    def _look_at_settings(self) -> None:
        """Set them again if somebody has deleted them."""
        self._configured_at = time.monotonic()
        try:
            _configure(self._connection, self._config, self._timeouts)
        except TransportError as error:
            LOGGER.warning("the settings of the share group %r: %s", self._group, error)

    def _raise_unless_gone(self, error: KafkaError) -> None:
        """Raise the error; but a group that was there and is not is made anew by the next `poll`."""
        is_of_before = time.monotonic() - self._joined_at > JOINED_AFTER
        if error.code() != KafkaError.GROUP_ID_NOT_FOUND or not is_of_before:
            raise self._in_words(error) from None
        LOGGER.warning("the share group %r is gone, so it is made anew", self._group)
        self._is_gone = True

    def _in_words(self, error: KafkaError) -> LabkitError:
        if error.code() in _LOCK_LOST:
            return CommitRefused("The lock on a record was over, so it is another worker's by now.")
        if error.code() == KafkaError.GROUP_ID_NOT_FOUND:
            return TransportError(
                f"{self._group!r} is no share group: a consumer group has that name, or the group was deleted. "
                "Give the share group a name of its own."
            )
        if error.code() == KafkaError.UNSUPPORTED_VERSION:
            return _no_share_groups(error)
        return in_words(error, self._connection)


def _configure(connection: Connection, config: ShareConfig, timeouts: Timeouts) -> None:
    """Make the settings of the group if it does not have them; raises `Unsupported` if the broker does not allow them.

    The controller answers before the broker has them, and a group that begins before that begins at the end of its
    topics: what is there already would never be delivered. So the broker is asked until it knows them.
    """
    wanted = {
        "share.auto.offset.reset": "earliest",
        "share.isolation.level": "read_committed",
        "share.record.lock.duration.ms": str(int(config.lock * 1000)),
        "share.delivery.count.limit": str(DELIVERIES),
    }
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()]
    resource = ConfigResource(ResourceType.GROUP, config.group, incremental_configs=entries)
    admin: AdminClient = connect(AdminClient, connection, timeouts, client_id=config.client_id)

    def is_known() -> bool:
        group = ConfigResource(ResourceType.GROUP, config.group)
        [asked] = admin.describe_configs([group], request_timeout=timeouts.request).values()
        known = _await(asked, connection, timeouts)
        return all(name in known and known[name].value == value for name, value in wanted.items())

    if is_known():
        return
    [answer] = admin.incremental_alter_configs([resource], request_timeout=timeouts.request).values()
    _await(answer, connection, timeouts)
    patience = timeouts.connect + timeouts.request
    if not wait_for(is_known, patience, interval=LOOK_INTERVAL):
        raise TransportError(
            f"Kafka has taken the settings of the share group {config.group!r}, and after {patience:g} s the broker "
            "still does not have them. It may have too much to do: try again when it is less busy."
        )


def _await(answer: Future[Answer], connection: Connection, timeouts: Timeouts) -> Answer:
    try:
        return answer.result(timeouts.connect + timeouts.request)
    except TimeoutError as late:
        raise unreachable(connection) from late
    except KafkaException as exception:
        error = kafka_error(exception)
        raise (_no_share_groups(error) if error.code() in _NOT_ALLOWED else in_words(error, connection)) from exception


def _no_share_groups(error: KafkaError) -> Unsupported:
    return Unsupported(
        f"This Kafka refused the share group: {error.str()} labkit knows the share groups (KIP-932) of Kafka 4.4. "
        "How long a lock may last is set there by group.share.min.record.lock.duration.ms and "
        "group.share.max.record.lock.duration.ms: by default 15 to 60 s, in the lab from 1 s on."
    )


def _share_settings(connection: Connection, config: ShareConfig, timeouts: Timeouts) -> dict[str, object]:
    settings = client_settings(connection, timeouts)
    del settings["allow.auto.create.topics"]  # not known to the preview
    return settings | {
        "group.id": config.group,
        "client.id": config.client_id,
        "share.acknowledgement.mode": "explicit",
        "max.poll.records": config.max_poll_records,
        "logger": LOGGER.getChild("librdkafka"),
        "log_level": _LOG_ERRORS,
    }


def _shared(message: Any) -> SharedRecord:
    place = message.topic(), message.partition(), message.offset()
    record = Record(*place, message.key(), message.value(), headers_of(message), message.timestamp()[1])
    return SharedRecord(record, message.delivery_count())


class ConfluentShareGroups:
    """See `labkit.taskqueue.transport.share_contract.ShareGroups`."""

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self._connection = connection
        self._timeouts = timeouts
        self._admin = LazyResource(self._make_admin)

    def consumer(self, config: ShareConfig) -> ShareClient:
        """A new member, connected."""
        return ConfluentShareConsumer(self._connection, config, self._timeouts)

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with the partitions they read."""
        return self._admin.get().members(group)

    def lag(self, group: str, topic: str) -> dict[int, ShareLag]:
        """How many offsets of each partition are neither accepted nor given up."""
        return self._admin.get().lag(group, topic)

    def close(self) -> None:
        """Let go of the sockets."""
        self._admin.close()

    def _make_admin(self) -> ShareGroupAdmin:
        # it imports kafka-python, which workers do without
        from labkit.taskqueue.transport.confluent.share_admin import ShareGroupAdmin

        return ShareGroupAdmin(self._connection, self._timeouts)
