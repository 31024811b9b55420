"""The records of a topic as they come, on the real Kafka, over either client; the topic grows and is made anew."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from labkit.taskqueue import connect
from labkit.taskqueue.record_feed import RecordFeed
from labkit.taskqueue.start_point import StartPoint
from labkit.taskqueue.transport import Outgoing


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(request, lab):
    with connect(lab, transport=request.param) as topics:
        yield topics


def test_a_reader_goes_on_with_new_partitions_and_with_the_topic_made_anew(topics, unique_name):
    topic = topics.create(unique_name, partitions=1)
    said = []

    def write(partition, *values):
        with closing(topics.transport.transactions(unique_name)) as transactions:
            transactions.write([Outgoing(topic.full_name, partition, None, value) for value in values])

    write(0, b"a", b"b", b"c")
    with RecordFeed(topics, unique_name, StartPoint("offset", 1), say=said.append) as feed:
        assert [record.value for record in feed.stored()] == [b"b", b"c"]
        coming = feed.follow(threading.Event())
        assert [next(coming).value for _ in range(2)] == [b"b", b"c"]
        topics.grow(unique_name, partitions=2)
        write(1, b"d")
        assert next(coming).value == b"d"
        write(0, b"e")
        assert next(coming).value == b"e", "and nothing twice"
        topics.recreate(unique_name, partitions=1)
        write(0, b"anew")
        record = next(coming)
        assert (record.value, record.offset) == (b"anew", 0)
        assert said == [f"The topic {unique_name!r} was made anew; its records from the beginning follow."]
        coming.close()
    topics.delete(unique_name)
