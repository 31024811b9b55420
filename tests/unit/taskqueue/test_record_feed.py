"""The records of a topic as they are, in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from labkit.errors import BrokerUnreachable, UnknownTopic
from labkit.taskqueue import Topics
from labkit.taskqueue.cluster_errors import UnknownPartition
from labkit.taskqueue.record_feed import RecordFeed
from labkit.taskqueue.start_point import StartPoint
from labkit.taskqueue.transport import ProducerConfig
from labkit.taskqueue.transport.memory import MemoryAdmin, MemoryTransport

EARLIEST, LATEST = StartPoint("earliest"), StartPoint("latest")


@pytest.fixture
def topics() -> Iterator[Topics]:
    with Topics(MemoryTransport(), prefix="ann.") as topics:
        topics.create("t", partitions=2)
        yield topics


@pytest.fixture(autouse=True)
def often(monkeypatch):
    for name in ("POLL_TIMEOUT", "LOOK_INTERVAL"):
        monkeypatch.setattr(f"labkit.taskqueue.record_feed.{name}", 0.01)


def write(topics: Topics, *values: bytes, partition: int = 0) -> None:
    client = topics.transport.producer(ProducerConfig())
    record = {"key": None, "headers": (), "timestamp_ms": None, "on_delivery": lambda *_: None}
    for value in values:
        client.send("ann.t", partition=partition, value=value, **record)
    client.close(1)


def values(records) -> list[bytes]:
    return [record.value for record in records]


@pytest.mark.parametrize(
    ("start", "partition", "found"),
    [
        (EARLIEST, None, [b"a", b"b", b"c", b"x"]),
        (EARLIEST, 0, [b"a", b"b", b"c"]),
        (StartPoint("offset", 1), None, [b"b", b"c"]),
        (StartPoint("offset", 2), 0, [b"c"]),
        (LATEST, None, []),
    ],
)
def test_what_is_there_is_read_once_from_the_place_on(topics, start, partition, found):
    write(topics, b"a", b"b", b"c")
    write(topics, b"x", partition=1)
    with RecordFeed(topics, "t", start, partition=partition) as feed:
        assert sorted(values(feed.stored())) == found
    assert topics.groups() == {}


def test_what_comes_is_read_too_also_on_new_partitions_and_from_a_topic_made_anew(topics):
    stop, said = threading.Event(), []
    write(topics, b"before")
    with RecordFeed(topics, "t", LATEST, say=said.append) as feed:
        coming = feed.follow(stop)
        write(topics, b"a")
        assert next(coming).value == b"a"
        topics.grow("t", partitions=3)
        write(topics, b"b", partition=2)
        assert next(coming).value == b"b"
        write(topics, b"c")
        assert next(coming).value == b"c", "and nothing twice"
        topics.recreate("t", partitions=1)
        write(topics, b"anew")
        assert next(coming).value == b"anew"
        assert said == ["The topic 't' was made anew; its records from the beginning follow."]
        stop.set()
        assert list(coming) == []


def test_a_topic_that_is_deleted_ends_it(topics):
    with RecordFeed(topics, "t", EARLIEST) as feed:
        coming = feed.follow(threading.Event())
        topics.delete("t")
        with pytest.raises(UnknownTopic, match="'t' is gone"):
            next(coming)


def test_a_broker_that_is_away_is_waited_for_and_said_once(topics, monkeypatch):
    answers, said = [True, False, False, True], []
    whole = MemoryAdmin.topic_ids

    def ids(admin, names):
        if answers and not answers.pop(0):
            raise BrokerUnreachable("Kafka does not answer.")
        if len(answers) == 0:
            write(topics, b"a")
        return whole(admin, names)

    with RecordFeed(topics, "t", EARLIEST, say=said.append) as feed:
        monkeypatch.setattr(MemoryAdmin, "topic_ids", ids)
        assert next(feed.follow(threading.Event())).value == b"a"
    assert said == ["Kafka does not answer. This view goes on when that has changed; Ctrl-C ends it."]


def test_what_is_not_there_is_named(topics):
    with pytest.raises(UnknownTopic):
        RecordFeed(topics, "no", EARLIEST)
    with pytest.raises(UnknownPartition, match="'t' has no partition 2; it has 2, counted from 0"):
        RecordFeed(topics, "t", EARLIEST, partition=2)


def test_a_topic_that_is_not_there_is_named_with_how_to_list_those_that_are(topics):
    for ask in (lambda: RecordFeed(topics, "nosuch", EARLIEST), lambda: topics.grow("nosuch", partitions=9)):
        with pytest.raises(UnknownTopic, match=r"^There is no topic 'nosuch'\. .*`labkit topics list`"):
            ask()
