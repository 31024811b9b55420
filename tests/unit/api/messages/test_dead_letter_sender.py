"""Dead letters of the message API that Kafka refuses hold up neither each other nor anything else."""

from __future__ import annotations

import threading

import pytest

from labkit.api.messages.dead_letter_sender import SEND_TIME, DeadLetterSender, GivenUp
from labkit.api.messages.topic_log import open_topic
from labkit.errors import BrokerUnreachable, DeadTopicRefused, NotAcknowledged, UnknownTopic
from labkit.taskqueue import Topics
from labkit.taskqueue.dead_letter import DeadLetter
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.refused_letters import STUCK_INTERVAL
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.unit.clock import Clock


@pytest.fixture
def clock():
    return Clock(100.0)


@pytest.fixture
def kafka():
    with Topics(MemoryTransport(), prefix="p.") as kafka:
        yield kafka


@pytest.fixture
def sender(kafka, clock):
    sender = DeadLetterSender(open_topic(kafka, "orders"), "g", measure=clock)
    yield sender
    sender.close()


def given_up(offset, value=b"no message"):
    return GivenUp(Record("p.orders", 0, offset, None, value, (), 0), "why", 0)


def letters(kafka):
    return {
        letter.offset: letter
        for letter in (DeadLetter.decode(record) for record in read_topic(kafka.transport, "p.orders.dead"))
    }


@pytest.mark.parametrize("size", [999_700, 1_000_000, 1_048_588])
def test_whatever_the_topic_takes_fits_into_a_letter(kafka, sender, size):
    assert sender.send([given_up(0, b"x" * size), given_up(1)]) == [True, True]
    assert len(letters(kafka)[0].value) == size


def test_letters_of_a_queue_that_was_made_anew_stay_beside_those_of_the_new_one(kafka):
    for partitions in (2, 3):
        topic = open_topic(kafka, "orders")
        sender = DeadLetterSender(topic, "g")
        assert sender.send([given_up(0)]) == [True]
        sender.close()
        kafka.recreate("orders", partitions=partitions)
    found = DeadLetters(kafka, "orders").list()
    assert len({letter.id for letter in found}) == len({letter.topic_id for letter in found} - {""}) == 2


def test_a_topic_of_dead_letters_that_is_deleted_meanwhile_is_made_again(kafka, sender):
    assert sender.send([given_up(0)]) == [True]
    kafka.delete("orders.dead")
    assert sender.send([given_up(1), given_up(2)]) == [True, True]
    assert letters(kafka).keys() == {1, 2}


def test_a_letter_that_is_too_large_for_its_topic_is_written_without_its_record(kafka, sender, caplog):
    kafka.delete("orders.dead")
    kafka.create("orders.dead", partitions=1, config={"max.message.bytes": "5000"})
    assert sender.send([given_up(0, b"x" * 6000), given_up(1)]) == [True, True]
    found = letters(kafka)
    assert (found[0].omitted, found[0].value) == (True, None)
    assert (found[1].omitted, found[1].value) == (False, b"no message")
    assert "2 dead letters of orders are refused" in caplog.text


def test_a_letter_that_cannot_be_written_is_said_once_and_tried_again_later(kafka, sender, clock, caplog):
    kafka.delete("orders.dead")
    kafka.create("orders.dead", partitions=1, config={"max.message.bytes": "300"})
    stuck, other = given_up(0)._replace(error="e" * 500), given_up(1, b"")
    for _ in range(3):
        assert sender.send([stuck, other]) == [False, True]
    clock.now += STUCK_INTERVAL
    assert sender.send([stuck]) == [False]
    assert caplog.text.count("cannot be written") == 1
    kafka.delete("orders.dead")
    assert sender.send([stuck]) == [False]  # it is not its time
    clock.now += STUCK_INTERVAL
    assert sender.send([stuck]) == [True]


def test_a_topic_of_dead_letters_that_cannot_be_made_is_said(kafka, sender, caplog, monkeypatch):
    def refuse(_):
        raise DeadTopicRefused("it cannot be made")

    kafka.delete("orders.dead")
    monkeypatch.setattr("labkit.api.messages.dead_letter_sender.ensure_dead_topic", refuse)
    assert sender.send([given_up(0), given_up(1)]) == [False, False]
    assert caplog.text.count("it cannot be made") == 2


def test_the_topic_itself_is_gone(kafka, sender):
    kafka.delete("orders.dead")
    kafka.delete("orders")
    with pytest.raises(UnknownTopic):
        sender.send([given_up(0)])


@pytest.fixture
def refused(kafka, clock, monkeypatch):
    """No letter is taken, and each refusal takes a while; the attempts, each by how many letters it holds."""
    attempts = []
    client = type(kafka.transport.transactions("any"))

    def refuse(self, letters, *more):
        attempts.append(len(letters))
        clock.now += SEND_TIME / 3
        raise NotAcknowledged("it is refused")

    monkeypatch.setattr(client, "write", refuse)
    return attempts


def test_refused_letters_take_a_bounded_time_and_the_rest_has_its_turn_later(sender, clock, refused):
    rest = [given_up(offset) for offset in range(10)]
    while rest:
        before, left = clock.now, len(rest)
        rest = sender.settle(rest)
        assert len(rest) < left
        assert clock.now - before <= 2 * SEND_TIME
    assert all(sender.is_stuck(given_up(offset)) for offset in range(10))


def test_refused_letters_keep_nobody_from_ending(kafka, clock, refused):
    stop = threading.Event()
    sender = DeadLetterSender(open_topic(kafka, "orders"), "g", stop=stop, measure=clock)
    stop.set()
    assert sender.send([given_up(0), given_up(1)]) == [False, False]
    assert refused == []
    assert sender.settle([given_up(0), given_up(1)]) == [given_up(0), given_up(1)], "nothing is known of them"


def test_a_letter_that_was_by_itself_is_not_tried_as_it_is_again(sender, refused):
    assert sender.send([given_up(0)]) == [False]
    assert refused == [1, 1], "with its record and without"


def test_while_kafka_is_away_none_is_stuck(kafka, sender, monkeypatch):
    def nobody_there(_):
        raise BrokerUnreachable

    with monkeypatch.context() as patched:
        patched.setattr(kafka.transport, "transactions", nobody_there)
        with pytest.raises(BrokerUnreachable):
            sender.send([given_up(0)])
    assert sender.send([given_up(0)]) == [True]
