"""Is a server ready? A record goes through Kafka and back; Redis answers PING."""

from __future__ import annotations

import socket
from collections.abc import Callable

from labkit.errors import ServerFailed
from labkit.lab.kafka_server import HOST
from labkit.lab.waiting import wait_for

#: The topic of the record that shows that Kafka works. It is deleted afterwards.
PROBE_TOPIC = "__labkit_probe"


def wait_for_kafka(port: int, *, alive: Callable[[], bool], timeout: float) -> None:
    """Return when a record was produced to and consumed from the broker at this port.

    Raises `ServerFailed` when `alive` says that the server has ended, or when the time is over.
    """
    # While the server boots: the import takes as long as a few of its steps.
    import confluent_kafka.admin

    wait_for(lambda: not alive() or _listens(port), timeout)
    if not alive():
        raise ServerFailed("Kafka ended while it was starting.")
    if not _listens(port):
        raise ServerFailed(f"Kafka did not open its port within {timeout:g} s.")
    try:
        _round_trip(port, timeout)
    except confluent_kafka.KafkaException as error:
        raise ServerFailed(f"Kafka opened its port, but a record did not come through: {error}.") from error


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _round_trip(port: int, timeout: float) -> None:
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    config = {
        "bootstrap.servers": f"{HOST}:{port}",
        "log_level": 0,
        "reconnect.backoff.ms": 10,
        "reconnect.backoff.max.ms": 50,
        "retry.backoff.ms": 10,
        "topic.metadata.refresh.fast.interval.ms": 10,
    }
    admin = AdminClient(config)
    _drop_leftover(admin, timeout)
    admin.create_topics([NewTopic(PROBE_TOPIC, 1, 1)], operation_timeout=timeout)[PROBE_TOPIC].result(timeout)
    producer = Producer({**config, "linger.ms": 0, "message.timeout.ms": int(timeout * 1000)})
    producer.produce(PROBE_TOPIC, b"ready?")
    if producer.flush(timeout):
        raise ServerFailed(f"Kafka did not acknowledge a record within {timeout:g} s.")
    consumer = Consumer({**config, "group.id": PROBE_TOPIC, "enable.auto.commit": False, "fetch.wait.max.ms": 10})
    try:
        consumer.assign([TopicPartition(PROBE_TOPIC, 0, OFFSET_BEGINNING)])
        record = consumer.poll(timeout)
        if record is None:
            raise ServerFailed(f"Kafka did not hand out a record within {timeout:g} s.")
        if record.error():
            raise KafkaException(record.error())
    finally:
        consumer.close()
    admin.delete_topics([PROBE_TOPIC], operation_timeout=timeout)[PROBE_TOPIC].result(timeout)


def _drop_leftover(admin: object, timeout: float) -> None:
    """A start that was killed may have left the topic."""


def wait_for_redis(path: str, *, alive: Callable[[], bool], timeout: float) -> None:
    """Return when the server at this unix socket answers PING; raises `ServerFailed`."""
    if not wait_for(lambda: not alive() or _pong(path), timeout) or not alive():
        raise ServerFailed("Redis did not start.")


def _pong(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(path)
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
