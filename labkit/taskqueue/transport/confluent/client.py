"""What all confluent-kafka clients share: settings, connecting, how partitions are written, errors in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from functools import partial
from operator import methodcaller
from typing import Any, TypeVar

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from labkit import kafka_words
from labkit.errors import LabkitError, MetadataTooLarge, TransportError, UnknownTopic
from labkit.lab.connection import Connection, librdkafka_config
from labkit.taskqueue.timeouts import Answer, left_until, on_a_thread
from labkit.taskqueue.transport.contract import Position, TopicPartition
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.reachability import other_rule, refused, ssl_context, unreachable
from labkit.taskqueue.transport.values import NAME_UNREADABLE, Headers, Timeouts, readable

#: How old a client's view of topics and partitions may be, so that a topic that grew is noticed. In ms.
METADATA_MAX_AGE_MS = 1000
#: How long a client waits at most between two tries to reach a broker that went away, in ms.
RECONNECT_MAX_MS = 500
#: How long one try to connect may take before it is looked why, in seconds.
_TRY_TIMEOUT = 0.5
#: How long a flush goes on that was given up, in seconds.
_FLUSH_SLICE = 0.1
#: How long a signal may go unnoticed that another thread took, or that came just before a wait began, in seconds.
_LOOK_INTERVAL = 0.25

#: The codes by which a broker says that it does not let the user in.
REFUSALS = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
    KafkaError.ILLEGAL_SASL_STATE,
}
_UNKNOWN = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
_SILENCE = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._SSL,
    KafkaError._WAIT_COORD,
    KafkaError.REQUEST_TIMED_OUT,
}
#: The codes after which Kafka's protocol says to ask again, as to a broker that starts or takes over from another.
_NOT_YET = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.NOT_CONTROLLER,
    KafkaError.CONCURRENT_TRANSACTIONS,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FETCH_SESSION_ID_NOT_FOUND,
    KafkaError.INVALID_FETCH_SESSION_EPOCH,
    KafkaError.LISTENER_NOT_FOUND,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
    KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE,
    KafkaError.ELECTION_NOT_NEEDED,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError.THROTTLING_QUOTA_EXCEEDED,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.INCONSISTENT_TOPIC_ID,
    KafkaError.SHARE_SESSION_NOT_FOUND,
    KafkaError.INVALID_SHARE_SESSION_EPOCH,
}

Client = TypeVar("Client")


def connect(make: Callable[..., Client], connection: Connection, timeouts: Timeouts, **settings: object) -> Client:
    """A connected client of confluent-kafka; raises `BrokerUnreachable`, `NotAuthorized`.

    The library connects in the background and would only log that it cannot; so ask the cluster something.
    """
    refusals: list[KafkaError] = []

    def note(error: KafkaError) -> None:
        if error.code() in REFUSALS:
            refusals.append(error)

    ssl_context(connection)  # a file that does not fit is a clear error here
    given = {name.replace("_", "."): value for name, value in settings.items()}
    client: Any = make(
        client_settings(connection, timeouts) | given | {"error_cb": note}, logger=LOGGER.getChild("librdkafka")
    )
    deadline = time.monotonic() + timeouts.connect
    while True:
        try:
            client.list_topics(timeout=_TRY_TIMEOUT)
        except KafkaException as error:
            apart(partial(client.poll, 0))  # calls `note`
            if refusals:
                raise refused(connection, words_of(refusals[0])) from error
            if time.monotonic() >= deadline:
                raise unreachable(connection) from error
        else:
            found: Client = client
            return found


class _Within(threading.local):
    #: whether this thread is within a call of which the library may call back
    is_so = False


_within = _Within()


def apart(call: Callable[[], Answer]) -> Answer:
    """What this call into the library, which may call back meanwhile, returns or raises.

    Another thread makes it where the main thread asks: what a signal raises there, such as Ctrl-C, would come out of a
    callback only when the library is done, as a `SystemError`, or not at all. And where a callback asks: the library
    ends the process when a call back follows on a call from within one. (Both seen with 2.16.1.)
    """
    if threading.current_thread() is not threading.main_thread() and not _within.is_so:
        return _called(call)
    try:
        outcome = on_a_thread(partial(_called, call))
    except RuntimeError:  # no thread can be started, as when the interpreter ends
        if _within.is_so:
            raise
        return call()
    while not wait([outcome], _LOOK_INTERVAL).done:
        pass  # what a signal raises, it raises here
    return outcome.result()


def _called(call: Callable[[], Answer]) -> Answer:
    _within.is_so = True
    try:
        return call()
    finally:
        _within.is_so = False


def flush(client: confluent_kafka.Producer, timeout: float) -> int:
    """Wait until all is delivered or refused, at most `timeout` seconds; how much is left. Ctrl-C ends the wait."""
    deadline, is_given_up, has_ended = time.monotonic() + timeout, threading.Event(), threading.Event()

    def run() -> int:
        try:
            while True:
                left: int = client.flush(min(_FLUSH_SLICE, left_until(deadline)))
                if not left or is_given_up.is_set() or time.monotonic() >= deadline:
                    return left
        finally:
            has_ended.set()

    try:
        return apart(run)
    except BaseException:  # the client may be closed next
        is_given_up.set()
        has_ended.wait(10 * _FLUSH_SLICE)
        raise


def close(client: confluent_kafka.Producer, timeout: float) -> None:
    """Close it, and refuse what it has not delivered. One that takes more than `timeout` seconds is left behind."""
    try:
        closed = on_a_thread(partial(_called, client.close))
    except RuntimeError:  # no thread can be started, as when the interpreter ends, which is not to wait for a broker
        LOGGER.warning("a producer's client is left behind: there is no thread left to close it")
        return
    deadline = time.monotonic() + timeout
    while not wait([closed], min(_LOOK_INTERVAL, left_until(deadline))).done:  # what a signal raises, it raises here
        if not left_until(deadline):
            LOGGER.warning("a producer's client did not close within %g s, and is left behind", timeout)
            return
    closed.result()


def kafka_error(exception: KafkaException) -> KafkaError:
    """The error inside the exception."""
    error: KafkaError = exception.args[0]
    return error


def words_of(error: KafkaError) -> str:
    """What the error says, without a full stop, librdkafka's names and numbers."""
    return kafka_words.in_words(error.code(), error.str())


def in_words(error: KafkaError, connection: Connection) -> LabkitError:
    """The error of labkit that says the same."""
    if error.code() in REFUSALS:
        return refused(connection, words_of(error))
    if error.code() in _UNKNOWN:
        return UnknownTopic(f"Kafka at {connection.bootstrap_servers} does not know that topic or partition.")
    if error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
        return other_rule(connection)
    if error.code() == KafkaError.OFFSET_METADATA_TOO_LARGE:
        return MetadataTooLarge()
    if error.code() in _SILENCE | _NOT_YET:
        return unreachable(connection)
    return TransportError(f"Kafka at {connection.bootstrap_servers} refused the request: {words_of(error)}.")


def client_settings(connection: Connection, timeouts: Timeouts) -> dict[str, object]:
    """What every client is set up with."""
    return {
        **librdkafka_config(connection),
        "topic.metadata.refresh.interval.ms": METADATA_MAX_AGE_MS,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        "socket.timeout.ms": int(timeouts.request * 1000),
        "socket.nagle.disable": True,
        "allow.auto.create.topics": False,
    }


def to_offsets(positions: Mapping[TopicPartition, Position]) -> list[confluent_kafka.TopicPartition]:
    """As confluent-kafka writes positions."""
    return [confluent_kafka.TopicPartition(*partition, *position) for partition, position in positions.items()]


def to_ours(partitions: Iterable[confluent_kafka.TopicPartition]) -> frozenset[TopicPartition]:
    """As labkit writes partitions."""
    return frozenset(TopicPartition(tp.topic, tp.partition) for tp in partitions)


def to_theirs(partitions: Sequence[TopicPartition]) -> list[confluent_kafka.TopicPartition]:
    """As confluent-kafka writes partitions."""
    return [confluent_kafka.TopicPartition(*tp) for tp in partitions]


#: Calls it in the way in which Python always looks whether an error was raised beside what came back. It leaves that
#: out where a call stands in often-run code, and the binding (2.16.1) raises one beside a tuple that is no whole one.
_headers = methodcaller("headers")


def headers_of(message: Any) -> Headers:
    """The headers of a message; to be asked for once. Only a note if a name is no UTF-8, which the binding cannot read.

    It keeps what it has read of them, and to look into that ends Python.
    """
    try:
        return readable(_headers(message) or ())
    except SystemError as error:
        if not isinstance(error.__cause__, UnicodeDecodeError):
            raise
        return (NAME_UNREADABLE,)
