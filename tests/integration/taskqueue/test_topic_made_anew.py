"""On a real broker: a topic made anew under a worker, deleted, cut off at its beginning, with an abort and no more."""

from __future__ import annotations

import threading
from contextlib import closing

import kafka
import pytest
from kafka.admin import KafkaAdminClient

from labkit.errors import DeadlineExceeded, DeadTopicRefused, DoneElsewhere
from labkit.taskqueue import Producer, Topics, WorkerGroup, connect, new_task
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.worker_group.membership import Membership

TIMEOUT = 60.0


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(lab, request):
    with connect(lab, transport=request.param) as topics:
        yield topics


def send(topic: Topic, *names: str) -> None:
    with Producer(topic) as producer:
        producer.send_many(new_task(name) for name in names)


def kinds_done(group: WorkerGroup) -> list[str]:
    records = group.records()
    return sorted(records[records["outcome"] == "done"]["kind"])


def old(number: int) -> list[str]:
    return [f"old-{n:02d}" for n in range(number)]


def new(number: int) -> list[str]:
    return [f"new-{n:02d}" for n in range(number)]


@pytest.mark.parametrize("number", [pytest.param(5, marks=pytest.mark.long), 15])
@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_tasks_of_a_topic_made_anew_under_a_worker_are_done(
    topics: Topics, unique_name: str, number: int, processes: bool
) -> None:
    topic = topics.create(unique_name, partitions=1)
    send(topic, *old(10))
    with WorkerGroup(topic, group=unique_name, membership=Membership(processes=processes)) as group:
        group.drain(timeout=TIMEOUT)
        topic = topics.recreate(unique_name, partitions=1)
        send(topic, *new(number))
        group.drain(timeout=TIMEOUT)
        assert set(kinds_done(group)) == {*old(10), *new(number)}
    with WorkerGroup(topic, group=unique_name) as group:
        send(topic, "later")
        group.drain(timeout=TIMEOUT)
        assert kinds_done(group) == ["later"]


@pytest.mark.parametrize("topics", ["kafka-python"], indirect=True)  # what librdkafka does, the contract's tests show
def test_what_a_busy_worker_had_fetched_of_the_old_topic_takes_no_task_of_the_new_one(
    topics: Topics, unique_name: str, monkeypatch, caplog
) -> None:
    """It holds as much as it may of one partition; what its client has of the other one begins at the same offset."""
    monkeypatch.setattr("labkit.taskqueue.worker_group.worker.HANDOVER_TIMEOUT", 0.1)
    begun, may_end = threading.Event(), threading.Event()

    def handler(task):
        if not begun.is_set():
            begun.set()
            assert may_end.wait(TIMEOUT)

    topic = topics.create(unique_name, partitions=2)
    send(topic, *old(200))
    with WorkerGroup(topic, group=unique_name, handler=handler, membership=Membership(max_in_flight=10)) as group:
        assert begun.wait(TIMEOUT)
        topic = topics.recreate(unique_name, partitions=2)
        send(topic, *new(60))
        wait_until(lambda: "is another now" in caplog.text, timeout=TIMEOUT, what="the worker was to begin anew")
        may_end.set()
        group.drain(timeout=TIMEOUT)
        assert set(new(60)) - set(kinds_done(group)) == set()
    assert sum(place.lag for place in topics.lag(unique_name, group=unique_name)) == 0


def test_a_group_that_is_away_while_its_topic_is_made_anew_with_other_partitions_begins_at_the_beginning(
    topics: Topics, unique_name: str
) -> None:
    topic = topics.create(unique_name, partitions=1)
    send(topic, *old(10))
    with WorkerGroup(topic, group=unique_name) as group:
        group.drain(timeout=TIMEOUT)
    topic = topics.recreate(unique_name, partitions=3)
    send(topic, *new(30))
    with WorkerGroup(topic, group=unique_name, workers=2) as group:
        group.drain(timeout=TIMEOUT)
        assert kinds_done(group) == new(30)


def test_drain_says_what_others_did_of_a_topic_made_anew(topics: Topics, unique_name: str) -> None:
    topic = topics.create(unique_name, partitions=2)
    send(topic, *old(10))
    with WorkerGroup(topic, group=unique_name, membership=Membership(name="left")) as left:
        assert len(left.drain(timeout=TIMEOUT)) == 10
        with WorkerGroup(topic, group=unique_name, membership=Membership(name="right")):
            left.wait_until_balanced()
            send(topics.recreate(unique_name, partitions=2), *new(10))
            with pytest.raises(DoneElsewhere, match=r"of them by other members .* among the \d+ here") as caught:
                left.drain(timeout=TIMEOUT)
    elsewhere = int(str(caught.value).split("but ")[1].split(" ")[0])
    assert elsewhere + len([kind for kind in kinds_done(left) if kind in new(10)]) >= 10


def refuse(_task):
    raise ValueError("no")


def test_dead_letters_stay_when_their_topic_is_made_anew(topics: Topics, unique_name: str) -> None:
    """Also those that a worker leaves that has been there all the time."""
    topic = topics.create(unique_name, partitions=1)
    with WorkerGroup(topic, group=unique_name, handler=refuse, retry=Retry(attempts=1)) as group:
        send(topic, *old(3))
        group.drain(timeout=TIMEOUT)
        topic = topics.recreate(unique_name, partitions=1)
        send(topic, *new(3))
        group.drain(timeout=TIMEOUT)
    letters = DeadLetters(topics, unique_name).list()
    assert [letter.task().kind for letter in letters] == [*old(3), *new(3)]
    assert len({letter.id for letter in letters}) == 6
    assert len({letter.topic_id for letter in letters}) == 2


def test_a_topic_that_is_deleted_for_good_is_named(topics: Topics, unique_name: str, caplog) -> None:
    topic = topics.create(unique_name, partitions=1)
    send(topic, *old(3))
    with WorkerGroup(topic, group=unique_name) as group:
        group.drain(timeout=TIMEOUT)
        topics.delete(unique_name)
        wait_until(
            lambda: f"the topic '{unique_name}' is gone" in caplog.text, timeout=TIMEOUT, what="it was to be said"
        )
        with pytest.raises(DeadlineExceeded, match=unique_name):
            group.drain(timeout=1.0)
        topic = topics.create(unique_name, partitions=2)
        send(topic, *new(4))
        group.drain(timeout=TIMEOUT)
        assert kinds_done(group) == [*new(4), *old(3)]


def delete_records(lab, topic: Topic, before: int) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=lab.bootstrap_servers)) as admin:
        admin.delete_records({kafka.TopicPartition(topic.full_name, 0): before})


@pytest.mark.parametrize("begin", [7, pytest.param(10, marks=pytest.mark.long)])
def test_a_partition_that_was_cut_off_counts_from_its_beginning(
    lab, topics: Topics, unique_name: str, begin: int
) -> None:
    topic = topics.create(unique_name, partitions=1)
    send(topic, *old(4))
    with WorkerGroup(topic, group=unique_name) as group:
        group.drain(timeout=TIMEOUT)
    send(topic, *new(6))
    delete_records(lab, topic, begin)
    assert sum(place.lag for place in topics.lag(unique_name, group=unique_name)) == 10 - begin
    for name in (unique_name, f"{unique_name}-never-there"):
        with WorkerGroup(topic, group=name) as group:
            group.drain(timeout=TIMEOUT)
            assert kinds_done(group) == new(6)[begin - 4 :]
        assert sum(place.lag for place in topics.lag(unique_name, group=name)) == 0


def test_a_partition_with_nothing_but_an_aborted_transaction_is_empty(lab, topics: Topics, unique_name: str) -> None:
    topic = topics.create(unique_name, partitions=2)
    settings = {"bootstrap_servers": lab.bootstrap_servers, "transactional_id": unique_name}
    with closing(kafka.KafkaProducer(**settings)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        for partition in range(2):
            producer.send(topic.full_name, b"never", partition=partition).get(TIMEOUT)
        producer.abort_transaction()
    with WorkerGroup(topic, group=unique_name) as group:
        group.drain(timeout=TIMEOUT)
        send(topic, *new(6))
        group.drain(timeout=TIMEOUT)
        assert kinds_done(group) == new(6)


def test_a_topic_that_cannot_have_dead_letters_is_refused_when_the_group_starts(
    topics: Topics, unique_name: str
) -> None:
    topic = topics.create(unique_name, partitions=1)
    topics.create(f"{unique_name}_dead", partitions=1)
    with pytest.raises(DeadTopicRefused, match=f"{unique_name}_dead"):
        WorkerGroup(topic, group=unique_name).start()
    long = topics.create(f"{unique_name}-{'x' * 248}"[:246], partitions=1)
    with pytest.raises(DeadTopicRefused, match="its name has 251 characters"):
        WorkerGroup(long, group=unique_name).start()
