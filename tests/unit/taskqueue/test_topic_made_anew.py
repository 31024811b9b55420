"""A topic that is made anew, deleted, or cut off at its beginning, under a worker and between two."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager

import pytest

from labkit.errors import DeadlineExceeded, DeadTopicRefused
from labkit.settings import Settings
from labkit.taskqueue import WorkerGroup, new_task
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.engine.topic_identity import TopicIdentity
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, TopicPartition
from labkit.taskqueue.transport.memory import MemoryAdmin, MemoryTransport
from labkit.taskqueue.worker_group.membership import Membership

pytestmark = pytest.mark.slow

SETTINGS = Settings(_env_file=None)
TIMEOUT = 60.0


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def send(topics: Topics, *names: str) -> None:
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        producer.send_many(new_task(name) for name in names)


def group_of(topics: Topics, handler=None, **how) -> WorkerGroup:
    return WorkerGroup(topics.get("t"), group="g", handler=handler or (lambda task: None), settings=SETTINGS, **how)


def lag(topics: Topics) -> int:
    return sum(place.lag for place in topics.lag("t", group="g"))


def done(group: WorkerGroup) -> list[str]:
    records = group.records()
    return sorted(records[records["outcome"] == "done"]["kind"])


def goes_on(topics: Topics) -> None:
    """Nothing is left, and the group's next workers do what is sent from now on, and nothing else."""
    assert lag(topics) == 0
    with group_of(topics) as group:
        send(topics, "later")
        group.drain(timeout=TIMEOUT)
        assert done(group) == ["later"]


def old(number: int) -> list[str]:
    return [f"old-{n:02d}" for n in range(number)]


def new(number: int) -> list[str]:
    return [f"new-{n:02d}" for n in range(number)]


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("number", [3, 10, 17])
def test_the_first_tasks_of_a_topic_made_anew_under_a_worker_are_done(topics, number, partitions):
    topics.create("t", partitions=1)
    send(topics, *old(10))
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
        topics.recreate("t", partitions=partitions)
        send(topics, *new(number))
        group.drain(timeout=TIMEOUT)
        assert set(done(group)) == {*old(10), *new(number)}
    goes_on(topics)


@pytest.mark.parametrize("number", [3, 10, 17])
def test_what_is_in_flight_on_the_old_topic_is_forgotten_and_the_new_one_is_done(topics, number):
    """Also what was handed out and never began, and what waits for its next attempt."""
    topics.create("t", partitions=1)
    send(topics, *old(10))
    begun, may_end = threading.Event(), threading.Event()

    def handler(task):
        if task.kind == "old-01":
            raise ValueError("not today")
        if task.kind == "old-05":
            begun.set()
            assert may_end.wait(TIMEOUT)

    with group_of(topics, handler, order="none", concurrency=2, retry=Retry(first=100.0, longest=100.0)) as group:
        assert begun.wait(TIMEOUT)
        topics.recreate("t", partitions=1)
        send(topics, *new(number))
        may_end.set()
        group.drain(timeout=TIMEOUT)
        assert set(new(number)) <= set(done(group))
    assert topics.names() == ["t"]  # nothing of it is a dead letter
    assert lag(topics) == 0


def test_a_restart_after_a_topic_was_made_anew_begins_at_its_beginning(topics):
    topics.create("t", partitions=1)
    send(topics, *old(10))
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
    kept = topics._client.committed("g", "t")[0]
    topics.recreate("t", partitions=1)
    with closing(topics.transport.consumer(ConsumerConfig(group="g"))) as late:
        late.commit({TopicPartition("t", 0): kept})  # a member that hands over afterwards
    send(topics, *new(15))
    assert lag(topics) == 15
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
        assert done(group) == new(15)


def refuse(_task):
    raise ValueError("no")


def test_dead_letters_stay_when_their_topic_is_made_anew(topics):
    for names in (old(3), new(3)):
        topics.recreate("t", partitions=1)
        send(topics, *names)
        with group_of(topics, refuse, retry=Retry(attempts=1)) as group:
            group.drain(timeout=TIMEOUT)
    letters = DeadLetters(topics, "t").list()
    assert [letter.task().kind for letter in letters] == [*old(3), *new(3)]
    assert len({letter.id for letter in letters}) == 6
    assert len({letter.topic_id for letter in letters}) == 2


def test_who_leaves_before_it_has_noticed_commits_nothing(topics, monkeypatch):
    monkeypatch.setattr(TopicIdentity, "look", lambda self: None)
    for is_made_anew in (True, False):
        topics.recreate("t", partitions=1)
        send(topics, *old(10))
        with group_of(topics) as group:
            group.drain(timeout=TIMEOUT)
            topics.delete("t")
            if is_made_anew:
                topics.create("t", partitions=1)
        assert topics._client.committed("g", "t") == {}


def test_what_is_committed_names_its_topic(topics):
    topics.create("t", partitions=1)
    send(topics, *old(3))
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
    position = topics._client.committed("g", "t")[0]
    assert OffsetMetadata.decode(position.metadata, position.offset).topic_id == topics.describe("t").id


def test_one_that_is_deleted_before_its_partitions_are_taken_over_is_named_too(topics, caplog, monkeypatch):
    adopt, deleted = AssignedPartitions.adopt, threading.Event()

    def adopt_too_late(self, places):
        if len(places) == 2 and not deleted.is_set():
            topics.delete("t")
            deleted.set()
        adopt(self, places)

    monkeypatch.setattr(AssignedPartitions, "adopt", adopt_too_late)
    topics.create("t", partitions=1)
    with group_of(topics) as group:
        topics.grow("t", partitions=2)
        wait_until(lambda: "the topic 't' is gone" in caplog.text, timeout=TIMEOUT, what="it was to be said")
        topics.create("t", partitions=1)
        send(topics, *new(2))
        group.drain(timeout=TIMEOUT)
        assert done(group) == new(2)


def test_a_topic_that_is_gone_for_good_is_named(topics, caplog):
    topics.create("t", partitions=1)
    send(topics, *old(3))
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
        topics.delete("t")
        wait_until(lambda: "the topic 't' is gone" in caplog.text, timeout=TIMEOUT, what="it was to be said")
        with pytest.raises(DeadlineExceeded, match="'t'"):
            group.drain(timeout=0.2)
        topics.create("t", partitions=1)
        send(topics, *new(2))
        group.drain(timeout=TIMEOUT)
        assert done(group) == [*new(2), *old(3)]
    assert caplog.text.count("is gone") == 1


def test_offsets_of_an_earlier_labkit_are_believed_if_they_can_be(topics):
    topics.create("t", partitions=1)
    send(topics, *old(10))
    place = TopicPartition("t", 0)
    for position, expected in ((Position(4, "labkit1 0 0 eAEDAAAAAAE="), 6), (Position(11), 10)):
        with closing(topics.transport.consumer(ConsumerConfig(group="g"))) as consumer:
            consumer.commit({place: position})
        assert lag(topics) == expected
        with group_of(topics) as group:
            assert len(group.drain(timeout=TIMEOUT)) == expected


@contextmanager
def cut_off(topics: Topics, begin: int):
    """The first records are no longer kept."""
    cluster = topics._client._cluster
    with cluster.changed:
        cluster.topics["t"].begins[0] = begin
    yield


@pytest.mark.parametrize("before", [0, 4])
@pytest.mark.parametrize("begin", [7, 10])
def test_a_partition_that_was_cut_off_counts_from_its_beginning(topics, before, begin):
    topics.create("t", partitions=1)
    send(topics, *old(before))
    if before:
        with group_of(topics) as group:
            group.drain(timeout=TIMEOUT)
    send(topics, *old(10 - before))
    with cut_off(topics, begin):
        assert lag(topics) == 10 - begin
        with group_of(topics) as group:
            assert len(group.drain(timeout=TIMEOUT)) == 10 - begin
            assert lag(topics) == 0


@pytest.mark.parametrize(
    ("name", "other", "why"),
    [("x" * 245, None, "its name has 250 characters"), ("orders", "orders_dead", "'orders_dead'")],
)
def test_a_topic_that_cannot_have_dead_letters_is_refused_when_the_group_starts(topics, name, other, why):
    topic = topics.create(name, partitions=1)
    if other:
        topics.create(other, partitions=1)
    with pytest.raises(DeadTopicRefused, match=why) as refused:
        WorkerGroup(topic, group="g", handler=print, settings=SETTINGS).start()
    assert str(refused.value).count(". ") == 0
    assert f"{name}.dead" in str(refused.value)


def test_a_topic_with_a_name_that_just_fits_has_dead_letters(topics):
    topic = topics.create("x" * 244, partitions=1)

    def fail(task):
        raise ValueError("no")

    with Producer(topic, settings=SETTINGS) as producer:
        producer.send(new_task("k"))
    with WorkerGroup(topic, group="g", handler=fail, retry=Retry(attempts=1), settings=SETTINGS) as group:
        group.drain(timeout=TIMEOUT)
    assert topics.end_offsets("x" * 244 + ".dead") == {0: 1}


def test_one_partition_whose_letters_cannot_be_written_stops_and_the_others_go_on(topics, caplog):
    topics.create("t", partitions=2)
    topics.create("t.dead", partitions=1, config={"max.message.bytes": "50"})

    def handler(task):
        if task.kind == "bad":
            raise ValueError("no")

    with group_of(topics, handler, retry=Retry(attempts=1), membership=Membership(max_in_flight=1)) as group:
        with Producer(topics.get("t"), settings=SETTINGS, partitioner=lambda key, partitions: 0) as producer:
            producer.send_many(new_task(kind) for kind in ("bad", "a"))
        wait_until(lambda: "cannot be written" in caplog.text, timeout=TIMEOUT, what="it was to be said")
        with Producer(topics.get("t"), settings=SETTINGS, partitioner=lambda key, partitions: 1) as producer:
            producer.send_many(new_task(f"other-{n}") for n in range(10))
        wait_until(
            lambda: topics.lag("t", group="g")[1].lag == 0, timeout=TIMEOUT, what="the other partition was to be done"
        )
        with pytest.raises(DeadlineExceeded):
            group.drain(timeout=0.2)
    assert topics.lag("t", group="g")[0].committed == 0


def other_answers(monkeypatch, *answers) -> None:
    """What a broker tells that lags behind: the topic has each of these ids once, or is not there; then the truth."""
    left, ask = list(answers), MemoryAdmin.topic_ids

    def told(admin, names):
        names = list(names)
        answer = left.pop(0) if left else {}
        return ask(admin, names) if answer == {} else {name: answer for name in names if answer is not None}

    monkeypatch.setattr(MemoryAdmin, "topic_ids", told)


@pytest.mark.parametrize("answers", [[None], [None] * 2, [None] * 3, ["the one before"], ["the one before", None]])
@pytest.mark.parametrize("max_in_flight", [5, 1000])
def test_an_answer_of_a_broker_that_lags_behind_loses_no_task(topics, monkeypatch, caplog, answers, max_in_flight):
    """Nothing else is read from the client than what it has not given out yet."""
    monkeypatch.setattr("labkit.taskqueue.engine.topic_identity.INTERVAL", 0.01)
    monkeypatch.setattr("labkit.taskqueue.engine.fetcher.PAUSE_AFTER", 0.0)
    monkeypatch.setattr("labkit.taskqueue.worker_group.worker.HANDOVER_TIMEOUT", 0.05)
    topics.create("t", partitions=2)
    send(topics, *old(40))
    begun, may_end = threading.Event(), threading.Event()

    def handler(task):
        begun.set()
        assert may_end.wait(TIMEOUT)

    with group_of(topics, handler, membership=Membership(max_in_flight=max_in_flight)) as group:
        assert begun.wait(TIMEOUT)
        looks, look = [], TopicIdentity.look

        def counted(identity):
            found = look(identity)
            looks.extend([] if found is None else [found.topic_id])
            return found

        other_answers(monkeypatch, *answers)
        monkeypatch.setattr(TopicIdentity, "look", counted)  # one that was on its way may be from before
        wait_until(lambda: len(looks) > len(answers), timeout=TIMEOUT, what="it was to be asked that often")
        may_end.set()
        group.drain(timeout=TIMEOUT)
        assert set(done(group)) == set(old(40))
    assert lag(topics) == 0
    assert ("is another now" in caplog.text) is (answers != [None])


def lose(topics: Topics) -> None:
    """The broker comes back without what was on the partition, and under the same id."""
    cluster = topics._client._cluster
    with cluster.changed:
        cluster.topics["t"].logs[0].clear()


@pytest.mark.parametrize("is_fresh", [False, True])
@pytest.mark.parametrize("number", [5, 15])
def test_what_is_sent_to_a_partition_that_has_lost_its_records_under_a_worker_is_done(topics, caplog, number, is_fresh):
    """Also by one that has got nothing yet from the partition, and where there are soon more than before."""
    topics.create("t", partitions=1)
    send(topics, *old(10))
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
        if is_fresh:
            group.add()
            group.stop_worker("worker-1")
        group.wait_until_balanced(timeout=TIMEOUT)
        lose(topics)
        send(topics, *new(5))
        wait_until(lambda: "has lost" in caplog.text, timeout=TIMEOUT, what="it was to be noticed")
        send(topics, *new(number)[5:])
        group.drain(timeout=TIMEOUT)
        assert set(done(group)) == {*old(10), *new(number)}
    goes_on(topics)


def test_what_is_sent_to_a_partition_that_has_lost_its_records_between_two_workers_is_done(topics):
    topics.create("t", partitions=1)
    send(topics, *old(10))
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
    lose(topics)
    assert lag(topics) == 0
    send(topics, *new(5))
    assert lag(topics) == 5
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
        assert done(group) == new(5)


def test_a_worker_that_has_got_nothing_yet_sees_a_loss_also_where_more_come_at_once_than_there_were(
    topics, caplog, monkeypatch
):
    topics.create("t", partitions=1)
    send(topics, *old(10))
    with group_of(topics) as group:
        group.drain(timeout=TIMEOUT)
    adopt, is_lost = AssignedPartitions.adopt, threading.Event()

    def adopt_and_lose(self, places):
        adopt(self, places)
        if not is_lost.is_set():
            with topics._client._cluster.changed:
                lose(topics)
                self._client.seek(places[0], 0)  # as a client does that finds its offset beyond the end
                send(topics, *new(50))
            is_lost.set()

    monkeypatch.setattr(AssignedPartitions, "adopt", adopt_and_lose)
    with group_of(topics) as group:
        assert is_lost.wait(TIMEOUT)  # before, nothing is left to be done
        group.drain(timeout=TIMEOUT)
        assert set(done(group)) == set(new(50))
    assert "has lost" in caplog.text
    assert lag(topics) == 0
