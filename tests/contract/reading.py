"""The contract of a consumer without a group."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from labkit.errors import TransportError
from labkit.taskqueue.transport import ConsumerConfig, Position, TopicPartition
from tests.conditions import FOR_EVER
from tests.contract.fixtures import Outbox, read

LETTERS = [bytes([letter]) for letter in b"abcdef"]


@pytest.fixture
def first(topic, outbox):
    """Partition 0, with a letter in each record."""
    outbox.send_all(topic, LETTERS)
    return TopicPartition(topic, 0)


def values(records):
    return [record.value for record in records]


def test_a_reader_begins_with_the_earliest_record(reader, first):
    reader.assign([first])
    assert reader.assignment() == {first}
    assert values(read(reader, 6)) == LETTERS


def test_assigning_again_replaces(reader, first, outbox):
    outbox.send_all(first.topic, [b"other"], partition=1)
    reader.assign([first])
    read(reader, 6)
    other = TopicPartition(first.topic, 1)
    reader.assign([other])
    assert reader.assignment() == {other}
    assert values(read(reader, 1)) == [b"other"]


def test_a_poll_gives_no_more_than_asked_for(reader, first):
    reader.assign([first])
    read_so_far = []
    while len(read_so_far) < 6:
        records = reader.poll(1, max_records=2)
        assert len(records) <= 2
        read_so_far += records
    assert values(read_so_far) == LETTERS


def test_a_poll_waits_and_comes_back_empty(reader, topic):
    reader.assign([TopicPartition(topic, 1)])
    assert reader.poll(0.3) == []


def test_a_poll_returns_with_the_first_records(reader, first):
    reader.assign([first])
    assert reader.poll(FOR_EVER)


def test_a_record_that_comes_later_ends_the_wait(reader, topic, outbox):
    reader.assign([TopicPartition(topic, 0)])
    reader.poll(0)
    sender = threading.Timer(0.2, outbox.send, [topic, b"late"])
    sender.start()
    assert values(reader.poll(FOR_EVER)) == [b"late"]
    sender.join()


def test_a_waiting_poll_is_woken_from_another_thread(reader, topic):
    reader.assign([TopicPartition(topic, 0)])
    alarm = threading.Timer(0.2, reader.wake_up)
    alarm.start()
    assert reader.poll(FOR_EVER) == []
    alarm.join()


def test_the_next_poll_is_woken_too_but_only_that(reader, topic, outbox):
    reader.assign([TopicPartition(topic, 0)])
    reader.wake_up()
    assert reader.poll(FOR_EVER) == []
    sender = threading.Timer(0.2, outbox.send, [topic, b"late"])
    sender.start()
    assert values(reader.poll(FOR_EVER)) == [b"late"]
    sender.join()


def test_a_reader_seeks_before_and_after_reading(reader, first):
    reader.assign([first])
    reader.seek(first, 4)
    assert values(read(reader, 2)) == [b"e", b"f"]
    reader.seek(first, 1)
    assert values(read(reader, 5)) == LETTERS[1:]
    reader.seek(first, 5)
    assert values(read(reader, 1)) == [b"f"]


def test_a_seek_drops_what_was_fetched_ahead(reader, first):
    reader.assign([first])
    records = []
    while not records:
        records = reader.poll(1, max_records=1)
    reader.seek(first, 0)
    assert values(read(reader, 6)) == LETTERS


def test_a_seek_reads_what_is_there_now(transport, admin, reader, topic, outbox):
    """Also from the same offset as what was fetched of another topic of that name, and not handed out yet."""
    places = [TopicPartition(topic, number) for number in (0, 1)]
    for place in places:
        outbox.send_all(topic, [b"old"] * 6, partition=place.partition)
    reader.assign(places)
    for place in places:
        reader.seek(place, 0)
    assert len(read(reader, 1, max_records=1)) == 1
    admin.delete_topic(topic)
    admin.create_topic(topic, partitions=2)
    with Outbox(transport) as outbox_of_the_new_one:
        for place in places:
            outbox_of_the_new_one.send_all(topic, [b"new"] * 6, partition=place.partition)
        outbox_of_the_new_one.delivered()
    for place in places:
        reader.seek(place, 0)
    assert values(read(reader, 12)) == [b"new"] * 12


def test_a_position_is_that_of_the_last_seek(reader, first):
    """Also before anything was read from there: who goes by it would pass over what is to come again."""
    reader.assign([first])
    assert values(read(reader, 6)) == LETTERS
    while reader.poll(0.1):
        pass
    reader.pause([first])
    reader.seek(first, 2)
    assert reader.position(first) in (2, None)
    assert reader.poll(0.1) == []
    assert reader.position(first) in (2, None)
    reader.resume([first])
    assert reader.position(first) in (2, None)
    assert values(read(reader, 4)) == LETTERS[2:]


def test_a_paused_partition_waits_for_its_resumption(reader, first, outbox):
    other = TopicPartition(first.topic, 1)
    outbox.send_all(first.topic, [b"other"], partition=1)
    reader.assign([first, other])
    reader.pause([first])
    assert values(read(reader, 1)) == [b"other"]
    assert reader.poll(0.3) == []
    assert reader.assignment() == {first, other}
    reader.resume([first])
    assert values(read(reader, 6)) == LETTERS


def test_a_pause_amid_reading_loses_nothing(reader, first):
    reader.assign([first])
    records = []
    while len(records) < 2:
        records += reader.poll(1, max_records=1)
    reader.pause([first])
    assert reader.poll(0.3) == []
    reader.resume([first])
    assert values(records + read(reader, 4)) == LETTERS


def test_what_is_not_assigned_is_named(reader, first):
    for request in (lambda: reader.seek(first, 0), lambda: reader.pause([first]), lambda: reader.resume([first])):
        with pytest.raises(TransportError, match="not assigned"):
            request()


def test_a_reader_without_a_group_has_nothing_to_commit(reader, first):
    reader.assign([first])
    for request in (lambda: reader.commit({first: Position(1)}), lambda: reader.committed([first])):
        with pytest.raises(TransportError, match="no group"):
            request()
    with pytest.raises(TransportError, match="no group"):
        reader.subscribe([first.topic], on_assigned=print, on_revoked=print)


def test_a_reader_with_a_group_goes_on_where_the_group_stopped(transport, first):
    config = ConsumerConfig(group=first.topic)
    with closing(transport.consumer(config)) as reader:
        reader.assign([first])
        assert reader.committed([first]) == {first: None}
        read(reader, 6)
        reader.commit({first: Position(4, "four")})
        assert reader.committed([first]) == {first: Position(4, "four")}
    with closing(transport.consumer(config)) as reader:
        reader.assign([first])
        assert values(read(reader, 2)) == [b"e", b"f"]


def test_a_consumer_is_closed_twice_and_then_says_so(transport, first):
    consumer = transport.consumer(ConsumerConfig(group=first.topic))
    consumer.close()
    consumer.close()
    for request in (lambda: consumer.poll(0), lambda: consumer.commit({first: Position(1)})):
        with pytest.raises(TransportError, match="closed"):
            request()
