"""What can be seen of a server from outside: is a port free, and is the server ready?

Ready is a Kafka through which a record goes and comes back, and a Redis that answers PING.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from labkit.errors import ServerFailed
from labkit.kafka_words import in_words
from labkit.lab.condition import wait_for
from labkit.lab.kafka_server import HOST
from labkit.lab.process_id import ProcessId

#: Where servers get their ports: below those that systems give to outgoing connections (Linux from 32768, macOS from
#: 49152 on), for one of these would take the port of a server that is being started again.
SERVER_PORTS = range(20_000, 32_768)


def is_free(port: int) -> bool:
    """Can a server listen on the port now?"""
    if listens(port):
        return False  # macOS would let us listen beside a server that listens on every address
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Does a server listen on the port now?"""
    with socket.socket() as probe:
        # TCP connects a socket to itself where the system happens to give it this very port
        return probe.connect_ex((HOST, port)) == 0 and probe.getsockname() != probe.getpeername()


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on. Another program may still be quicker, so a start must cope with that."""
    in_any_order = random.SystemRandom().sample(SERVER_PORTS, len(SERVER_PORTS))
    return list(islice(filter(is_free, in_any_order), count))


#: The topic of the record that shows that Kafka works. It is deleted before a start is called ready.
PROBE_TOPIC = "__labkit_probe"

#: An answer that has stayed away for so long, in seconds, is asked for again over new connections: a server that has
#: just opened its port was seen to owe one for a minute.
SILENCE = 10.0

#: How often it is looked whether the servers still live while an answer is waited for, in seconds.
PIECE = 0.25


def wait_for_kafka(brokers: Mapping[int, ProcessId], *, alive: Callable[[], bool], timeout: float) -> None:
    """Return when a record was produced to and consumed from the brokers at these ports, all of a lab.

    Each is the one that listens there itself: where another lab's has the port by now, it is about to end.
    Raises `ServerFailed` when `alive` says that a server has ended, or when the time is over.
    """
    import confluent_kafka.admin  # while the servers boot

    ports = list(brokers)
    _wait_for_ports(brokers, alive, timeout)
    try:
        if len(ports) > 1:
            _wait_for_brokers(ports, lambda brokers: len(brokers) == len(ports), alive, timeout)
        _round_trip(_config(ports), alive, timeout)
    except confluent_kafka.KafkaException as error:
        raise ServerFailed(
            f"Kafka opened its port, but a record did not come through: {in_words(None, str(error))}."
        ) from error


def wait_for_return(node: int, port: int, process: ProcessId, *, timeout: float) -> None:
    """Return when the broker that was started again, at this port, has its place in the cluster.

    From then on it may lead partitions; it still reads from the others what it has missed. Raises `ServerFailed`.
    """
    import confluent_kafka.admin  # noqa: F401  # while the server boots

    _wait_for_ports({port: process}, process.alive, timeout)
    _wait_for_brokers([port], lambda brokers: node in brokers, process.alive, timeout)


def _wait_for_ports(brokers: Mapping[int, ProcessId], alive: Callable[[], bool], timeout: float) -> None:
    def opened() -> bool:
        return all(listens(port) and process.listens(port) for port, process in brokers.items())

    _wait_for("Kafka", "Kafka did not open its port", opened, alive, timeout)


def _wait_for_brokers(
    ports: Sequence[int], enough: Callable[[Collection[int]], bool], alive: Callable[[], bool], timeout: float
) -> None:
    """Until the brokers that the cluster counts as there are enough."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(_config(ports))

    def ready() -> bool:
        try:
            return enough(admin.list_topics(timeout=1.0).brokers)
        except KafkaException:  # not yet
            return False

    _wait_for("Kafka", "The brokers did not find each other", ready, alive, timeout)


def _wait_for(
    server: str, failure: str, condition: Callable[[], bool], alive: Callable[[], bool], timeout: float
) -> None:
    """Until the condition holds, or the server has ended, or the time is over."""
    if not wait_for(lambda: condition() or not alive(), timeout):
        raise ServerFailed(f"{failure} within {timeout:g} s.")
    if not alive():
        raise ServerFailed(f"{server} ended while it was starting.")


def _config(ports: Sequence[int]) -> dict[str, Any]:
    return {
        "bootstrap.servers": ",".join(f"{HOST}:{port}" for port in ports),
        "log_level": 0,
        "reconnect.backoff.ms": 10,
        "reconnect.backoff.max.ms": 50,
        "retry.backoff.ms": 10,
        "topic.metadata.refresh.fast.interval.ms": 10,
    }


def _round_trip(config: dict[str, Any], alive: Callable[[], bool], timeout: float) -> None:
    """A record to Kafka and back, tried again with clients of its own when an answer stays away."""
    begun = time.monotonic()
    limit = SILENCE
    while True:
        left = begun + timeout - time.monotonic()
        try:
            return _attempt(config, Patience(alive, time.monotonic() + min(limit, left)))
        except TimeoutError as error:
            if left <= limit:
                raise ServerFailed(f"Kafka opened its port, but did not {error} within {timeout:g} s.") from error
            limit *= 2  # it may be slow and not silent


@dataclass(frozen=True)
class Patience:
    """Until when the steps of an attempt are waited for, by `time.monotonic`, while the servers live."""

    alive: Callable[[], bool]
    deadline: float

    def pieces(self, step: str) -> Iterator[float]:
        """Lengths of short waits, in seconds; `TimeoutError` names the step at the end, `ServerFailed` a server's."""
        while (left := self.deadline - time.monotonic()) > 0:
            yield min(left, PIECE)
            if not self.alive():
                raise ServerFailed("Kafka ended while it was starting.")
        raise TimeoutError(step)


def _attempt(config: dict[str, Any], patience: Patience) -> None:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient(config)
    # its files go at once, so that the folders of deleted probes don't pile up when a lab is stopped soon
    topic = NewTopic(PROBE_TOPIC, 1, config={"file.delete.delay.ms": "0"})
    # a start was killed at this point, or its answer was lost: that topic will do
    _answer(admin.create_topics([topic]), patience, "make a topic", but=KafkaError.TOPIC_ALREADY_EXISTS)
    try:
        _produce(config, patience)
        _consume(config, patience)
    except KafkaException as error:
        if error.args[0].code() not in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            raise
        raise TimeoutError("keep a topic") from error  # an attempt before was carried out late, and has deleted it
    _answer(admin.delete_topics([PROBE_TOPIC]), patience, "delete a topic", but=KafkaError.UNKNOWN_TOPIC_OR_PART)


def _answer(futures: dict[str, Any], patience: Patience, step: str, *, but: int) -> None:
    """Kafka's answer to a request about the probe's topic; an error with the code `but` is as good as none."""
    from confluent_kafka import KafkaException

    for piece in patience.pieces(step):
        try:
            futures[PROBE_TOPIC].result(piece)
        except TimeoutError:
            continue
        except KafkaException as error:
            if error.args[0].code() != but:
                raise
        return


def _produce(config: dict[str, Any], patience: Patience) -> None:
    from confluent_kafka import KafkaException, Producer

    errors: list[Any] = []
    producer = Producer({**config, "linger.ms": 0, "acks": "all"})
    producer.produce(PROBE_TOPIC, b"ready?", on_delivery=lambda error, _: errors.append(error))
    for piece in patience.pieces("acknowledge a record"):
        if not producer.flush(piece):
            break
    if errors[0] is not None:
        raise KafkaException(errors[0])


def _consume(config: dict[str, Any], patience: Patience) -> None:
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer({**config, "group.id": PROBE_TOPIC, "enable.auto.commit": False, "fetch.wait.max.ms": 10})
    try:
        consumer.assign([TopicPartition(PROBE_TOPIC, 0, 0)])
        for piece in patience.pieces("hand out a record"):
            record = consumer.poll(piece)
            if record is not None and record.error():
                raise KafkaException(record.error())
            if record is not None:
                break
    finally:
        consumer.close()


def wait_for_redis(path: str, *, alive: Callable[[], bool], timeout: float) -> None:
    """Return when the server at this unix socket answers PING; raises `ServerFailed`."""
    _wait_for("Redis", "Redis did not answer", lambda: _pong(path), alive, timeout)


def _pong(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(path)
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
