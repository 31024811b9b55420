"""What a consumer over kafka-python has fetched, and what it hands out of it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import kafka
import pytest
from kafka.consumer.fetcher import Fetcher
from kafka.consumer.subscription_state import SubscriptionState
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError
from kafka.record.memory_records import MemoryRecordsBuilder

from labkit.taskqueue.transport.kafka_python.fetch_overrides import forget_fetched, make_careful

PLACE = kafka.TopicPartition("t", 0)
OTHER = kafka.TopicPartition("t", 1)
#: The clients of this version have no sessions of fetches.
BEFORE_SESSIONS = (0, 11)


class Consumer:
    """As much of one as fetches: it has two partitions, and what the broker answers is put in by `answer`."""

    def __init__(self):
        self.subscription = SubscriptionState()
        self.subscription.assign_from_user([PLACE, OTHER])
        self._manager = SimpleNamespace(broker_version=BEFORE_SESSIONS, _net=None, run=lambda *_: [])
        self._fetcher = Fetcher(self, self.subscription, isolation_level="read_committed")
        make_careful(self)
        for place in (PLACE, OTHER):
            self.subscription.seek(place, 0)

    def seek(self, offset):
        self.subscription.seek(PLACE, offset)
        forget_fetched(self, PLACE)

    def answer(self, *values, ordered_at=None, place=PLACE):
        builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=10_000)
        for value in values:
            builder.append(timestamp=5, key=None, value=value, headers=[])
        builder.close()
        answer = SimpleNamespace(
            partition_index=place.partition,
            error_code=0,
            high_watermark=len(values),
            records=builder.buffer(),
            aborted_transactions=None,
            diverging_epoch=None,
            preferred_read_replica=-1,
        )
        response = SimpleNamespace(API_VERSION=4, responses=[SimpleNamespace(topic="t", partitions=[answer])])
        now = time.monotonic() if ordered_at is None else ordered_at
        self._fetcher._handle_fetch_response(1, {place: 0}, now, response)

    def take(self, most=10):
        fetched, _ = self._fetcher.fetched_records(most)
        return [record.value for records in fetched.values() for record in records]


@pytest.fixture
def consumer():
    return Consumer()


def pause(consumer):
    consumer.subscription.pause(PLACE)
    assert consumer.take() == []


def resume(consumer):
    consumer.subscription.resume(PLACE)


def test_what_was_fetched_is_handed_out(consumer):
    consumer.answer(b"a", b"b")
    assert [consumer.take(1), consumer.take(), consumer.take()] == [[b"a"], [b"b"], []]
    assert type(consumer.subscription.assignment[PLACE].position.offset) is int


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("taken", [0, 1])
def test_what_was_fetched_before_a_seek_is_forgotten_also_from_the_same_offset(consumer, taken, is_paused):
    """It may be of another topic of that name. Nothing of it had been handed out, or a part, and it was put aside."""
    consumer.answer(b"old", b"old")
    if taken:
        assert consumer.take(taken) == [b"old"]
    if is_paused:
        pause(consumer)
    consumer.seek(taken)
    if is_paused:
        resume(consumer)
    consumer.answer(b"other", place=OTHER)
    assert consumer.take() == [b"other"]
    assert consumer.take() == []
    consumer.seek(0)
    consumer.answer(b"new", b"new")
    assert consumer.take() == [b"new", b"new"]


def test_an_answer_that_was_under_way_when_a_seek_was_made_is_forgotten(consumer):
    before = time.monotonic()
    consumer.seek(0)
    consumer.answer(b"old", ordered_at=before)
    assert consumer.take() == []
    consumer.answer(b"new")
    assert consumer.take() == [b"new"]


def test_what_a_poll_has_taken_is_handed_out_where_more_cannot_be_ordered(consumer):
    def time_out(*_):
        raise KafkaTimeoutError("The client did not answer.")

    consumer.answer(b"a")
    consumer._manager.run = time_out
    fetched, _ = consumer._fetcher.fetch_records(10, timeout_ms=0)
    assert [record.value for record in fetched[PLACE]] == [b"a"]


@pytest.mark.parametrize(("known", "chosen"), [({7}, 7), (set(), -1), ({8}, -1)])
def test_of_a_broker_that_is_not_known_nothing_is_ordered_and_the_others_are_served(consumer, known, chosen):
    """The library orders nothing of any broker then, and has noted for those that come later that it did."""
    consumer._manager.cluster = SimpleNamespace(
        leader_for_partition=lambda _: 7, broker_metadata=lambda node: node if node in known else None
    )
    assert consumer._fetcher._select_read_replica(PLACE) == chosen


def test_what_time_does_not_mend_is_raised_where_it_is_ordered(consumer):
    def refuse(*_):
        raise TopicAuthorizationFailedError("t")

    consumer._manager.run = refuse
    with pytest.raises(TopicAuthorizationFailedError):
        consumer._fetcher.fetch_records(10, timeout_ms=0)
