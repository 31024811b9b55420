"""Transactions when the broker does not answer, and when their client is killed."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from itertools import count
from typing import get_args

import pytest
from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from labkit.errors import BrokerUnreachable
from labkit.settings import TransportName
from labkit.taskqueue import connect
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import ConsumerConfig, Outgoing, Timeouts, TopicPartition, connect_transport
from tests.conditions import frozen, in_time

TIMEOUT = 60.0


@pytest.fixture(params=get_args(TransportName))
def library(request):
    """A client library."""
    return request.param


def values_up_to(topics, topic, last):
    found = []
    with closing(topic.transport.consumer(ConsumerConfig())) as reader:
        reader.assign([TopicPartition(topic.full_name, partition) for partition in range(topic.partitions)])

        def both_came():
            found.extend(record.value for record in reader.poll(0.1))
            return found.count(last) == topic.partitions

        wait_until(both_came, timeout=TIMEOUT, what=f"{last!r} was to come", pause=lambda _: None)
    return found


def patiently(call):
    """What the call returns, which is made again, as the engine does, until the broker answers its impatient client."""
    answers = []

    def is_answered():
        with suppress(BrokerUnreachable):  # the machine may be busy
            answers.append(call())
        return bool(answers)

    wait_until(is_answered, timeout=TIMEOUT, what="the broker was to answer")
    return answers[0]


def test_a_broker_that_does_not_answer_leaves_whole_transactions_and_a_client_that_works(own_lab, library, unique_name):
    with connect(own_lab, transport=library) as topics, topics.fresh(unique_name, partitions=2) as topic:

        def write(name):
            """Another value with each try, since what became of the last one is open."""
            value = b"%s %d" % (name, next(numbers))
            transactions.write([Outgoing(topic.full_name, partition, None, value) for partition in range(2)])
            return value

        numbers = count()
        impatient = connect_transport(own_lab.connection, library, timeouts=Timeouts(transaction=1.5))
        with closing(patiently(lambda: impatient.transactions(unique_name))) as transactions:
            before = patiently(lambda: write(b"before"))
            with frozen(own_lab.kafka_pid), pytest.raises(BrokerUnreachable):
                in_time(lambda: write(b"open"))
            after = patiently(lambda: write(b"after"))
        found = Counter(values_up_to(topics, topic, after))
    assert {before, after} <= found.keys()
    assert set(found.values()) == {2}, "what was written at all is whole"


def leave_open(transactions, library, topic):
    """What a process leaves behind that is killed amid a transaction."""
    producer = transactions._connected()
    producer.begin_transaction()
    for partition in range(topic.partitions):
        if library == "kafka-python":
            producer.send(topic.full_name, b"never", partition=partition).get(TIMEOUT)
        else:
            producer.produce(topic.full_name, b"never", partition=partition)
    producer.flush(TIMEOUT)


def readable_up_to(lab, topic):
    """How far consumers can read now: not beyond the begin of an open transaction."""
    places = [KafkaPartition(topic.full_name, partition) for partition in range(topic.partitions)]
    consumer = KafkaConsumer(bootstrap_servers=lab.bootstrap_servers, isolation_level="read_committed")
    with closing(consumer):
        return {place.partition: end for place, end in consumer.end_offsets(places).items()}


def test_a_successor_settles_at_once_what_a_killed_client_left_open(lab, library, unique_name):
    with (
        connect(lab, transport=library) as topics,
        topics.fresh(unique_name, partitions=2) as topic,
        closing(topic.transport.admin()) as admin,
        closing(topic.transport.transactions(unique_name)) as killed,
    ):
        leave_open(killed, library, topic)
        assert admin.end_offsets(topic.full_name) == {0: 1, 1: 1}
        assert readable_up_to(lab, topic) == {0: 0, 1: 0}
        with closing(topic.transport.transactions(unique_name)) as successor:
            successor.write([Outgoing(topic.full_name, partition, None, b"mine") for partition in range(2)])
        assert values_up_to(topics, topic, b"mine") == [b"mine", b"mine"]
