"""Share groups over confluent-kafka's `ShareConsumer`, which is a preview."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from confluent_kafka import AcknowledgeType, IllegalStateException, KafkaError, KafkaException, ShareConsumer

from labkit.errors import BrokerUnreachable, CommitRefused, LabkitError, NotAuthorized, TransportError
from labkit.kafka_words import in_words as in_sentence
from labkit.lab.connection import Connection
from labkit.resource import LazyResource
from labkit.taskqueue.timeouts import on_a_thread
from labkit.taskqueue.transport.checks import must_be_open
from labkit.taskqueue.transport.confluent.client import (
    REFUSALS,
    client_settings,
    headers_of,
    in_words,
    kafka_error,
    words_of,
)
from labkit.taskqueue.transport.confluent.share_settings import ShareSettings, refused_group
from labkit.taskqueue.transport.contract import Record, TopicPartition
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.share_contract import (
    Acknowledgement,
    ShareClient,
    ShareConfig,
    SharedRecord,
    ShareLag,
)
from labkit.taskqueue.transport.values import Timeouts

if TYPE_CHECKING:
    from labkit.taskqueue.transport.kafka_python.share_admin import ShareGroupAdmin

_ACKNOWLEDGEMENTS: dict[Acknowledgement, AcknowledgeType] = {
    "accept": AcknowledgeType.ACCEPT,
    "release": AcknowledgeType.RELEASE,
    "reject": AcknowledgeType.REJECT,
}
#: The codes by which a broker says that a lock was over.
_LOCK_LOST = {KafkaError.INVALID_RECORD_STATE, KafkaError.SHARE_SESSION_NOT_FOUND, KafkaError.FENCED_STATE_EPOCH}
#: How often it is asked whether the group still has its settings, which anybody may delete, in seconds.
SETTINGS_INTERVAL = 30.0
#: A group that is not there after so many seconds was there before; sooner, it is none, in seconds.
JOINED_AFTER = 5.0
#: So long a broker that has just started may refuse a group that was there before, in seconds: it may still be loading.
START_TIMEOUT = 60.0
#: So long a client may take to leave, in seconds: the preview was seen not to come back from that within 300 s, on a
#: broker that answered. The broker takes the member out by itself.
CLOSE_TIMEOUT = 30.0
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
        self._settings = ShareSettings(connection, config, timeouts)
        # since when the broker refuses the group that is made anew
        self._refused_since: float | None = None
        self._begin()

    @property
    def lock(self) -> float:
        """How long the group's locks last, in seconds."""
        return self._settings.lock

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
            raise CommitRefused(
                f"Kafka takes no verdict on {'/'.join(map(str, place))} any more: {in_sentence(None, str(error))}."
            ) from error

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
        """Leave the group; what has no verdict is released. In bounded time: see `CLOSE_TIMEOUT`."""
        if self._closed:
            return
        self._closed = True
        try:
            self._leave()
        except KafkaException as error:
            raise self._in_words(kafka_error(error)) from error

    def _leave(self) -> None:
        try:
            left = on_a_thread(self._client.close)
        except RuntimeError:  # no thread can be started, as when the interpreter ends
            self._client.close()
            return
        try:
            left.result(CLOSE_TIMEOUT)
        except TimeoutError:
            text = "the client of the share group %r did not leave it within %g s, and is left behind"
            LOGGER.warning(text, self._group, CLOSE_TIMEOUT)

    def _is_record(self, message: Any) -> bool:
        """Raise what the user must mend; anything else that is no record is only logged."""
        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() in REFUSALS:
            self._raise_unless_gone(error)
        LOGGER.warning("%s", words_of(error))
        return False

    def _begin(self) -> None:
        self._settings.make()
        self._client = ShareConsumer(_share_settings(self._connection, self._config, self._timeouts))
        self._joined_at = self._configured_at = time.monotonic()

    def _begin_anew(self) -> None:
        """The broker is another now, which never heard of the group: it gets its settings before it is joined."""
        with suppress(KafkaException):  # there is nothing that it could leave
            self._leave()
        try:
            self._begin()
        except (BrokerUnreachable, NotAuthorized):
            self._refused_since = None
            raise
        except TransportError as error:
            now = time.monotonic()
            self._refused_since = now if self._refused_since is None else self._refused_since
            if now - self._refused_since > START_TIMEOUT:
                raise
            raise BrokerUnreachable(f"The broker may be about to start. {error}") from error
        self._client.subscribe(self._topics)
        self._is_gone, self._refused_since = False, None

    def _look_at_settings(self) -> None:
        """Set again what somebody has deleted of them."""
        self._configured_at = time.monotonic()
        try:
            self._settings.look_after()
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
            return refused_group(error)
        return in_words(error, self._connection)


def _share_settings(connection: Connection, config: ShareConfig, timeouts: Timeouts) -> dict[str, object]:
    settings = client_settings(connection, timeouts)
    del settings["allow.auto.create.topics"]  # not known to the preview, which makes none
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
        from labkit.taskqueue.transport.kafka_python.share_admin import ShareGroupAdmin

        return ShareGroupAdmin(self._connection, self._timeouts)
