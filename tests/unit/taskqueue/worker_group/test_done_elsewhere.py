"""What others of a group have done is seen, also on a topic that was made anew, and what is not seen is said."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from time import monotonic
from unittest.mock import Mock

import pytest

from labkit.dispatch.missing_records import ClassGroup
from labkit.errors import BrokerUnreachable, DeadlineExceeded, DoneElsewhere, UnknownTopic
from labkit.settings import Settings
from labkit.taskqueue import Retry, WorkerGroup, new_task
from labkit.taskqueue.groups.group_state import ConsumerGroupState, DoneBefore
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.service_time import constant
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ProducerConfig, Record
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.worker_group import done_elsewhere
from labkit.taskqueue.worker_group.membership import Membership
from tests.conditions import PATIENCE

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        topics.create("t", partitions=2)
        yield topics


def send(topics, count):
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(count, seed=1))


def send_no_task(topics, value=b"x"):
    producer = topics.transport.producer(ProducerConfig())
    how = {"partition": 0, "key": None, "value": value, "headers": (), "timestamp_ms": None}
    producer.send("t", on_delivery=lambda *_: None, **how)
    producer.close(PATIENCE)


def group_of(topics, **how):
    return WorkerGroup(topics.get("t"), group="g", settings=SETTINGS, **how)


@contextmanager
def left_and_right(topics):
    """Two programs with one worker each, in one group."""
    with (
        group_of(topics, membership=Membership(name="left")) as left,
        group_of(topics, membership=Membership(name="right")) as right,
    ):
        left.wait_until_balanced()
        yield left, right


def all_done(topics):
    wait_until(
        lambda: not any(place.lag for place in topics.lag("t", group="g")), timeout=PATIENCE, what="all was done"
    )


def test_drain_says_so_when_others_did_some_of_the_tasks(topics):
    with left_and_right(topics) as groups:
        send(topics, 10)
        for group in groups:
            with pytest.raises(DoneElsewhere, match=r"5 of them by other members .* among the 5 here"):
                group.drain(timeout=PATIENCE)
            assert len(group.records()) == 5


def test_what_was_done_before_is_no_news(topics):
    for round_ in (1, 2):
        with group_of(topics) as group:
            send(topics, 10)
            assert len(group.drain(timeout=PATIENCE)) == 10, round_


def test_what_was_done_before_on_another_topic_hides_nothing(topics):
    send(topics, 20)
    with group_of(topics) as first:
        first.drain(timeout=PATIENCE)
    with left_and_right(topics) as groups:
        topics.recreate("t", partitions=2)
        send(topics, 10)
        for group in groups:
            with pytest.raises(DoneElsewhere, match=r"5 of them by other members .* among the 5 here"):
                group.drain(timeout=PATIENCE)


def test_ones_own_records_of_another_topic_hide_nothing(topics):
    """The tasks have the same ids, also at the same offsets."""
    with group_of(topics, membership=Membership(name="left")) as left:
        send(topics, 10)
        assert len(left.drain(timeout=PATIENCE)) == 10
        with group_of(topics, membership=Membership(name="right")):
            left.wait_until_balanced()
            topics.recreate("t", partitions=2)
            send(topics, 10)
            with pytest.raises(DoneElsewhere, match=r"5 of them by other members .* among the 15 here"):
                left.drain(timeout=PATIENCE)


def test_who_did_all_himself_gets_all_also_on_a_topic_made_anew(topics):
    with group_of(topics, workers=2) as group:
        send(topics, 10)
        group.drain(timeout=PATIENCE)
        topics.recreate("t", partitions=2)
        send(topics, 8)
        send_no_task(topics)
        assert len(group.drain(timeout=PATIENCE)) == 19


def test_a_class_of_a_session_knows_its_topic_too(topics):
    with group_of(topics, membership=Membership(name="others")) as others:
        send(topics, 10)
        others.drain(timeout=PATIENCE)
        session = ClassGroup(topics.get("t"), "g")
        mine = others.records()
        topics.recreate("t", partitions=2)
        send(topics, 6)
        all_done(topics)
        assert session.missing(mine, session.state.lag(), monotonic() + PATIENCE) == 6
        assert session.missing(others.records(), session.state.lag(), monotonic() + PATIENCE) == 0
        session.state.close()


def must_be_all(topics, records, deadline):
    state = ConsumerGroupState(topics.get("t"), "g")
    before = DoneBefore(state.topic_id(), {0: [range(0)], 1: [range(0)]})
    how = {"state": state, "before": before, "lag": state.lag(), "deadline": deadline}
    done_elsewhere.must_be_all(topics.get("t"), records, **how)


def test_what_cannot_be_seen_in_time_is_not_taken_for_nothing(topics, monkeypatch):
    may_go_on = threading.Event()
    real = done_elsewhere.read_topic

    def read_topic(*args, **how):
        assert may_go_on.wait(PATIENCE)
        return real(*args, **how)

    monkeypatch.setattr(done_elsewhere, "read_topic", read_topic)
    with left_and_right(topics) as (left, _):
        send(topics, 10)
        all_done(topics)
        for seconds in (0.0, 0.1):
            with pytest.raises(
                DeadlineExceeded, match=r"are done, but by whom could not be seen in time; .* 5 records"
            ):
                must_be_all(topics, left.records(), monotonic() + seconds)
        may_go_on.set()
        with pytest.raises(DoneElsewhere):
            left.drain(timeout=PATIENCE)


@pytest.mark.parametrize("error", [BrokerUnreachable, UnknownTopic])
def test_a_broker_or_a_topic_that_is_away_at_the_end_is_waited_for(topics, monkeypatch, error):
    real, left = ConsumerGroupState.topic_id, [error(), error()]

    def topic_id(state):
        if left:
            raise left.pop()
        return real(state)

    with group_of(topics) as group:
        send(topics, 10)
        monkeypatch.setattr(ConsumerGroupState, "topic_id", topic_id)
        assert len(group.drain(timeout=PATIENCE)) == 10
        assert not left


def test_a_group_that_was_not_begun_asks_nobody(topics):
    with group_of(topics, workers=0) as group:
        records = group.records()
    how = {"state": None, "before": None, "lag": [], "deadline": monotonic()}
    done_elsewhere.must_be_all(topics.get("t"), records, **how)


def test_what_was_done_long_ago_takes_up_no_memory(topics, monkeypatch):
    """One byte for each would be a petabyte."""
    many = 10**15
    floors = []

    def read_topic(_transport, _name, *, floor):
        floors.append(floor)
        return [Record("t", 0, many + 2, None, b"", (), 0), Record("t", 1, 5, None, b"", (), 0)]

    monkeypatch.setattr(done_elsewhere, "read_topic", read_topic)
    with group_of(topics, workers=0) as group:
        records = group.records()
    before = DoneBefore("", {0: [range(many), range(many + 1, many + 2)], 1: [range(many)]})
    ends = {0: many + 3, 1: many}
    assert done_elsewhere.done_elsewhere(topics.get("t"), records, before=before, ends=ends) == 1
    assert floors == [{0: many, 1: many}]


def test_of_those_that_were_done_before_at_an_unknown_place_only_the_others_count(topics):
    """A share group tells only how many: here offset 0, and two of the next three."""
    send(topics, 12)
    with group_of(topics, workers=0) as group:
        none = group.records()
    runs = {0: [range(1)], 1: [range(6)]}
    ends = {0: 6, 1: 6}

    def count(done: int) -> int:
        before = DoneBefore("", runs, {0: (range(1, 4), done)})
        return done_elsewhere.done_elsewhere(topics.get("t"), none, before=before, ends=ends)

    assert [count(done) for done in (0, 2, 3, 9)] == [5, 3, 2, 2]


def test_all_is_done_where_what_can_be_read_has_a_final_record_and_what_was_given_up_its_letter(topics):
    def handler(task):
        if task.kind == "bad":
            raise ValueError

    topic = topics.get("t")
    with group_of(topics, handler=handler, retry=Retry(attempts=1)) as group:
        with Producer(topic, settings=SETTINGS, partitioner=lambda *_: 0) as producer:
            producer.send_many(new_task(kind) for kind in ("good", "bad", "good"))
        records = group.drain(timeout=PATIENCE)

    state, asked = Mock(), []
    state.topic_id.return_value = topics.describe("t").id

    def get():
        asked.append(True)
        return records

    def is_done(partition=0, floor=0):
        return done_elsewhere.has_records(topic, get, state=state, partition=partition, floor=floor)

    assert is_done(partition=1)
    assert is_done(floor=3)
    assert not asked, "there was nothing to read"
    assert [is_done(), is_done(floor=2), is_done(partition=1)] == [True] * 3
    state.topic_id.return_value = "id-2"
    assert not is_done(), "the letter is of another topic"
    topics.delete("t.dead")
    assert not is_done()
    assert is_done(floor=2)
    with Producer(topic, settings=SETTINGS, partitioner=lambda *_: 0) as producer:
        producer.send(new_task("good"))
    assert not is_done(floor=2)
    assert is_done(floor=4)
    topics.recreate("t", partitions=2)
    with Producer(topic, settings=SETTINGS, partitioner=lambda *_: 0) as producer:
        producer.send(new_task("good"))
    assert not is_done(), "the record is of the topic before"


def test_what_others_have_written_is_known_by_the_id_of_its_place(topics):
    topic, state = topics.get("t"), Mock()
    with group_of(topics, handler=constant(0)) as group:
        send_no_task(topics, b'{"kind": "bill"}')
        records = group.drain(timeout=PATIENCE)

    def is_done(topic_id: str) -> tuple[bool, int]:
        state.topic_id.return_value = topic_id
        there = done_elsewhere.has_records(topic, lambda: records, state=state, partition=0, floor=0)
        return there, done_elsewhere.done_on_another(topic, records, topic_id=topic_id, ends={0: 1})

    assert is_done(topics.describe("t").id) == (True, 0)
    assert is_done("another") == (False, 1)
