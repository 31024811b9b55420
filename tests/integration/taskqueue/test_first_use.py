"""On a real broker: a plain client makes a topic by its first use; no client of labkit's does, nor one that is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import confluent_kafka
import kafka
import pytest

from labkit.errors import LabkitError, UnknownTopic
from labkit.lab import Lab
from labkit.lab.condition import wait_for
from labkit.taskqueue import Producer, Topics, WorkerGroup, connect, new_task
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic, read_topic
from labkit.taskqueue.transport.contract import (
    ConsumerConfig,
    Outgoing,
    ProducerConfig,
    TopicPartition,
    Transport,
)
from tests.conditions import PATIENCE

#: How long a topic is looked for that is not to come, in seconds: clients ask for theirs every second.
WATCHED = 4.0


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Topics]:
    with connect(lab, transport=request.param) as topics:
        yield topics


def send_by_kafka_python(lab: Lab, topic: str) -> None:
    with closing(kafka.KafkaProducer(bootstrap_servers=lab.bootstrap_servers)) as producer:
        producer.send(topic, b'{"task": "Task 1: Process file A"}').get(timeout=PATIENCE)


def send_by_confluent(lab: Lab, topic: str) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": lab.bootstrap_servers})
    producer.produce(topic, b'{"task": "Task 1: Process file A"}')
    assert producer.flush(PATIENCE) == 0


@pytest.mark.parametrize("send", [send_by_kafka_python, send_by_confluent])
def test_a_plain_producer_makes_the_topic_and_labkit_works_on_it(lab, unique_name, send):
    send(lab, unique_name)
    with connect(lab) as topics:
        topic = topics.get(unique_name)
        assert topic.partitions == 2
        with WorkerGroup(topic, group=unique_name) as group:
            assert len(group.drain(timeout=PATIENCE)) == 1


def test_a_plain_consumer_that_comes_first_makes_the_topic_and_gets_what_is_sent_later(lab, unique_name):
    options = {"group_id": unique_name, "auto_offset_reset": "earliest", "metadata_max_age_ms": 500}
    with closing(kafka.KafkaConsumer(unique_name, bootstrap_servers=lab.bootstrap_servers, **options)) as consumer:
        wait_until(lambda: consumer.poll(500) or consumer.assignment(), timeout=PATIENCE, what="it was to be made")
        send_by_kafka_python(lab, unique_name)
        assert wait_for(lambda: bool(consumer.poll(500)), PATIENCE)


RECORD = {"partition": None, "key": None, "value": b"x", "headers": (), "timestamp_ms": None}


def produce(transport: Transport, name: str) -> None:
    producer = transport.producer(ProducerConfig())
    try:
        with pytest.raises(UnknownTopic, match=name):
            producer.send(name, **RECORD, on_delivery=lambda *_: None)
    finally:
        producer.close(PATIENCE)


def subscribe(transport: Transport, name: str) -> None:
    with closing(transport.consumer(ConsumerConfig(group=name))) as consumer:
        consumer.subscribe([name], on_assigned=lambda _: None, on_revoked=lambda _: None)
        wait_for(lambda: bool(consumer.poll(0.2)), WATCHED)


def assign(transport: Transport, name: str) -> None:
    with closing(transport.consumer(ConsumerConfig())) as consumer:
        consumer.assign([TopicPartition(name, 0)])
        wait_for(lambda: bool(consumer.poll(0.2)), WATCHED)


def write_letter(transport: Transport, name: str) -> None:
    with closing(transport.transactions(f"{name}-id")) as client:
        client.write([Outgoing(name, 0, b"key", b"value", ())])


def share(transport: Transport, name: str) -> None:
    topic = Topic(name=name, partitions=1, transport=transport)
    with WorkerGroup(topic, group=name, mode="share", workers=1):
        wait_for(lambda: False, WATCHED)


def work(transport: Transport, name: str) -> None:
    topic = Topic(name=name, partitions=1, transport=transport)
    with WorkerGroup(topic, group=name, workers=1):
        wait_for(lambda: False, WATCHED)


def ask(transport: Transport, name: str) -> None:
    with closing(transport.admin()) as admin:
        for question in (admin.describe_topic, admin.start_offsets, admin.end_offsets, admin.delete_topic):
            with pytest.raises(UnknownTopic, match=name):
                question(name)
        assert admin.topic_ids([name]) == {}
        assert admin.committed(name, name) == {}
    list(read_topic(transport, name))


def list_letters(transport: Transport, name: str) -> None:
    with Topics(transport) as topics:
        assert DeadLetters(topics, name).list() == []


CLASSIC = [produce, subscribe, assign, write_letter, work, ask, list_letters]
USES = [(name, use) for name in ("kafka-python", "confluent-kafka") for use in CLASSIC] + [("confluent-kafka", share)]


@pytest.mark.parametrize(
    ("topics", "use"), USES, indirect=["topics"], ids=lambda value: getattr(value, "__name__", value)
)
def test_no_client_of_labkit_makes_a_topic_by_using_it(topics: Topics, unique_name: str, use: Callable[..., None]):
    with suppress(LabkitError):
        use(topics.transport, unique_name)
    assert not wait_for(lambda: unique_name in topics.names(), WATCHED)


@pytest.mark.parametrize(
    "topics", [pytest.param("kafka-python", marks=pytest.mark.long), "confluent-kafka"], indirect=True
)
def test_a_topic_that_is_deleted_under_clients_of_labkit_stays_deleted_and_is_named(
    topics: Topics, unique_name, caplog
):
    topic = topics.create(unique_name, partitions=2)
    with ExitStack() as stack:
        producer = stack.enter_context(Producer(topic))
        stack.enter_context(WorkerGroup(topic, group=unique_name)).wait_until_balanced()
        if topics.transport.name == "confluent-kafka":
            shared = WorkerGroup(topic, group=f"{unique_name}-share", mode="share", workers=1)
            stack.enter_context(shared).wait_until_balanced()
        reader = stack.enter_context(closing(topics.transport.consumer(ConsumerConfig())))
        reader.assign([TopicPartition(unique_name, 0)])
        producer.send(new_task("a"))
        assert wait_for(lambda: bool(topics.lag(unique_name, group=unique_name)), PATIENCE)
        topics.delete(unique_name)
        with suppress(LabkitError):
            producer.send(new_task("b"))
        said = f"the topic '{unique_name}' is gone"
        assert wait_for(lambda: not reader.poll(0.2) and said in caplog.text, PATIENCE)
        assert not wait_for(lambda: not reader.poll(0.2) and unique_name in topics.names(), WATCHED)
    assert unique_name not in topics.names()
