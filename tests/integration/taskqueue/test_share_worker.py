"""Share groups (KIP-932) on the real broker: workers that share partitions, records that are locked one by one."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager

import pytest

from labkit.errors import CommitRefused, TransportError, TryAgainLater, WorkerFailed
from labkit.settings import Settings
from labkit.taskqueue import Producer, Retry, Task, Topics, WorkerGroup, connect, constant, stock_tasks
from labkit.taskqueue.cluster_errors import OtherGroupKind
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.confluent import share_groups
from labkit.taskqueue.transport.contract import TopicPartition
from labkit.taskqueue.transport.share_contract import DELIVERIES, ShareClient, ShareConfig, SharedRecord
from labkit.taskqueue.worker_group.membership import Membership
from tests.conditions import PATIENCE

SETTINGS = Settings(_env_file=None)
#: As short as the lab's broker allows, in seconds: for tests in which it is to run out.
LOCK = 1.0
#: Longer than anything here takes, in seconds, and as long as brokers allow.
LONG_LOCK = 60.0


@pytest.fixture
def topics(lab):
    with connect(lab, transport="confluent-kafka") as topics:
        yield topics


def share(topic, group, **options) -> WorkerGroup:
    return WorkerGroup(topic, group=group, mode="share", settings=SETTINGS, **options)


def send(topic, count, *, seed=1) -> list[Task]:
    """Tasks that the broker can hand out one by one: it gives what a producer sent as a batch to one worker."""
    tasks = stock_tasks(count, seed=seed)
    with Producer(topic, settings=Settings(_env_file=None, linger_ms=0)) as producer:
        for task in tasks:
            producer.send_many([task])
    return tasks


def receive(client: ShareClient, count: int) -> list[SharedRecord]:
    """So many records in one poll, which is tried again while none come."""
    found: list[SharedRecord] = []
    wait_until(lambda: bool(found.extend(client.poll(0.2)) or found), timeout=120, what="records were to come")
    assert len(found) == count
    return found


@pytest.fixture
def topic(topics: Topics, unique_name):
    """A topic with three records, whose share group is of its own."""
    with topics.fresh(unique_name, partitions=1) as topic:
        send(topic, 3)
        yield topic


@contextmanager
def member_of(topic, group: str, name: str, *, lock: float):
    """One more member of the share group that `share` joins by this name."""
    config = ShareConfig(group=topic.full_group(group), client_id=name, lock=lock)
    with closing(topic.transport.share_groups()) as groups, closing(groups.consumer(config)) as client:
        client.subscribe([topic.full_name])
        yield client


@pytest.fixture
def member(topic, unique_name):
    """A member whose locks do not run out."""
    with member_of(topic, unique_name, "a", lock=LONG_LOCK) as client:
        yield client


def test_a_verdict_each(topics: Topics, topic, unique_name, member):
    first = receive(member, 3)
    for (record, _), verdict in zip(first, ("accept", "release", "reject"), strict=True):
        member.acknowledge(record, verdict)
    member.commit()
    [again] = receive(member, 1)
    assert again == SharedRecord(first[1].record, 2)
    with closing(topics.transport.share_groups()) as groups:
        group = topic.full_group(unique_name)
        assert groups.members(group) == {"a": {TopicPartition(topic.full_name, 0)}}
        assert {number: lag.left for number, lag in groups.lag(group, topic.full_name).items()} == {0: 1}
        assert groups.members("nobody") == groups.lag("nobody", topic.full_name) == {}
    with pytest.raises(TransportError, match="Not all records of the last poll have their verdict"):
        member.poll(0.1)


def test_a_verdict_after_the_lock_is_refused(topic, unique_name):
    with member_of(topic, unique_name, "a", lock=LOCK) as member:
        late = receive(member, 3)
        with member_of(topic, unique_name, "b", lock=LOCK) as other:
            again = receive(other, 3)
            assert [deliveries for _, deliveries in again] == [2, 2, 2]
            member.acknowledge(late[0].record, "accept")
            with pytest.raises(CommitRefused, match="lock"):
                member.commit()


def test_more_workers_than_partitions_all_get_tasks(topics: Topics, unique_name):
    begun, all_at_work = [], threading.Event()

    def handler(task: Task) -> None:
        begun.append(task.id)
        if len(begun) >= 4:  # one each
            all_at_work.set()
        assert all_at_work.wait(PATIENCE)

    with (
        topics.fresh(unique_name, partitions=1) as topic,
        share(
            topic, unique_name, workers=4, handler=handler, membership=Membership(max_in_flight=2, lock=LONG_LOCK)
        ) as group,
    ):
        send(topic, 80)
        records = group.drain(timeout=120)
        assert group.lag()[0].lag == 0
    assert len(records) == records["task_id"].nunique() == 80
    assert set(records.groupby("worker").size().index) == {f"worker-{number}" for number in range(1, 5)}


def test_a_slow_task_holds_up_nobody_else(topics: Topics, unique_name):
    release = threading.Event()
    tasks = stock_tasks(20, seed=1)

    def handler(task: Task) -> None:
        if task.id == tasks[0].id:
            assert release.wait(60)

    with (
        topics.fresh(unique_name, partitions=1) as topic,
        share(topic, unique_name, workers=2, handler=handler, membership=Membership(max_in_flight=1)) as group,
    ):
        send(topic, 20)
        wait_until(lambda: group.attempts() == 19, timeout=120, what="all other tasks were to be done")
        release.set()
        assert len(group.drain(timeout=120)) == 20


@pytest.mark.long
def test_dead_letters_stay_when_their_topic_is_made_anew(topics: Topics, unique_name):
    def handler(task):
        raise ValueError("no")

    sent = []
    for seed in (1, 2):
        topic = topics.recreate(unique_name, partitions=1)
        sent += send(topic, 2, seed=seed)
        with share(topic, f"{unique_name}-{seed}", handler=handler, retry=Retry(attempts=1)) as group:
            group.drain(timeout=120)
    letters = DeadLetters(topics, unique_name).list()
    assert {letter.task().id for letter in letters} == {task.id for task in sent}
    assert len({letter.topic_id for letter in letters} - {""}) == 2


def test_a_task_that_fails_is_tried_again_and_ends_as_a_dead_letter(topics: Topics, unique_name):
    tasks = stock_tasks(5, seed=1)

    def handler(task: Task) -> None:
        if task.id == tasks[2].id:
            raise ValueError("no")

    with topics.fresh(unique_name, partitions=1) as topic:
        retry = Retry(attempts=3, first=0.01)
        with share(topic, unique_name, workers=2, handler=handler, retry=retry) as group:
            send(topic, 5)
            with closing(topics.transport.transactions(unique_name)) as client:
                from labkit.taskqueue.transport import Outgoing

                client.write([Outgoing(topic.full_name, 0, None, b"no task")])
            records = group.drain(timeout=120)
        outcomes = records[records["task_id"] == tasks[2].id]["outcome"]
        assert list(outcomes) == ["failed", "failed", "dead"]
        assert records["outcome"].value_counts().to_dict() == {"done": 4, "failed": 2, "dead": 1, "bad": 1}
        letters = {letter.offset: letter for letter in DeadLetters(topics, topic.name).list()}
        assert (letters[2].error, letters[2].attempts) == ("ValueError: no", 3)
        assert (letters[5].value, len(letters)) == (b"no task", 2)
        topics.delete(f"{topic.name}.dead")


def test_a_task_that_was_delivered_too_often_is_not_lost(topics: Topics, topic, unique_name, member):
    for delivery in range(1, DELIVERIES):
        records = receive(member, 3 if delivery == 1 else 1)
        for record, deliveries in records:
            assert deliveries == delivery
            member.acknowledge(record, "release" if record.offset == 1 else "accept")
        member.commit()
    with share(topic, unique_name) as group:
        records = group.drain(timeout=120)
    assert list(records["outcome"]) == ["dead"]
    [letter] = DeadLetters(topics, topic.name).list()
    assert (letter.attempts, letter.group) == (DELIVERIES, unique_name)
    assert "delivered 10 times" in letter.error
    topics.delete(f"{topic.name}.dead")


def test_the_tasks_of_a_killed_worker_come_back_before_the_lock_is_over(topics: Topics, unique_name):
    held = Membership(processes=True, max_in_flight=3, lock=LONG_LOCK)
    with (
        topics.fresh(unique_name, partitions=1) as topic,
        share(topic, unique_name, workers=2, handler=constant(0.05), membership=held) as group,
    ):
        send(topic, 30)
        wait_until(lambda: all(s.done >= 2 for s in group.status()), timeout=120, what="both workers were to be busy")
        group.kill("worker-2")
        records = group.drain(timeout=0.75 * LONG_LOCK)
    assert records["task_id"].nunique() == 30
    # what worker-2 had done and the broker had not heard of is done again
    assert set(records[records["task_id"].duplicated()]["worker"]) <= {"worker-1"}


def test_a_handler_slower_than_the_lock_gives_its_task_to_another(topics: Topics, unique_name):
    release, begun = threading.Event(), []

    def handler(task: Task) -> None:
        begun.append(task.id)
        if len(begun) == 1:
            assert release.wait(60)

    with (
        topics.fresh(unique_name, partitions=1) as topic,
        share(topic, unique_name, workers=2, handler=handler, membership=Membership(lock=LOCK)) as group,
    ):
        [task] = send(topic, 1)
        wait_until(lambda: len(begun) >= 2, timeout=120, what="the task was to begin again")
        release.set()
        wait_until(lambda: group.attempts() >= 2, timeout=120, what="both were to end")
        records = group.drain(timeout=120)
    assert set(records["task_id"]) == {task.id}
    assert records["worker"].nunique() == 2


def test_what_is_accepted_stays_accepted_and_a_clean_stop_repeats_nothing(topics: Topics, unique_name):
    with topics.fresh(unique_name, partitions=2) as topic:
        send(topic, 60)
        with share(topic, unique_name, handler=constant(0.02)) as group:
            group.wait_for_progress("worker-1", tasks=5)
        first = group.records()
        with share(topic, unique_name, workers=2, membership=Membership(name="later")) as group:
            assert group.add() == "later-3"
            group.stop_worker("later-1")
            second = group.drain(timeout=120)
    assert 5 <= len(first) < 60
    assert len({*first["task_id"], *second["task_id"]}) == len(first) + len(second) == 60


def test_what_the_broker_refuses_is_said(topics: Topics, unique_name):
    with topics.fresh(unique_name, partitions=1) as topic:
        with pytest.raises(WorkerFailed, match="lock may last"):
            share(topic, unique_name, membership=Membership(lock=0.1)).start()
        with (
            WorkerGroup(topic, group=unique_name, settings=SETTINGS),
            pytest.raises(OtherGroupKind, match=f"{unique_name!r} is a consumer group"),
        ):
            share(topic, unique_name).start()


@pytest.mark.parametrize("transport", ["kafka-python", "confluent-kafka"])
def test_a_consumer_group_of_a_share_groups_name_is_refused_with_what_to_do(lab, topics, unique_name, transport):
    topic = topics.create(unique_name, partitions=1)
    with share(topic, unique_name, workers=1), connect(lab, transport=transport) as others:
        group = WorkerGroup(others.get(unique_name), group=unique_name, settings=SETTINGS)
        with pytest.raises(OtherGroupKind, match=f"`labkit groups delete {unique_name}` frees the name"):
            group.start()
        group.close()


def test_the_tasks_of_a_topic_made_anew_under_a_share_group_are_done(topics, unique_name):
    """Kafka itself keeps the state of a share group by the topic's id."""
    topic = topics.create(unique_name, partitions=1)
    old = send(topic, 10)
    with share(topic, unique_name) as group:
        group.drain(timeout=120)
        topic = topics.recreate(unique_name, partitions=1)
        new = send(topic, 15, seed=2)
        expected = {task.id for task in [*old, *new]}
        wait_until(lambda: set(group.records()["task_id"]) == expected, timeout=120, what="all were to be done")
        group.drain(timeout=120)


def test_a_topic_that_was_deleted_with_tasks_in_hand_is_named_and_the_worker_goes_on(topics, unique_name, caplog):
    begun, release = threading.Event(), threading.Event()

    def handler(task: Task) -> None:
        begun.set()
        assert release.wait(60)

    topic = topics.create(unique_name, partitions=1)
    old = send(topic, 2)
    with share(topic, unique_name, workers=1, handler=handler) as group:
        assert begun.wait(60)
        topics.delete(unique_name)
        wait_until(lambda: f"the topic {unique_name!r} is gone" in caplog.text, timeout=120, what="it was to be said")
        topic = topics.create(unique_name, partitions=1)
        new = send(topic, 5, seed=2)
        release.set()
        wanted = {task.id for task in new}
        wait_until(lambda: wanted <= set(group.records()["task_id"]), timeout=120, what="the new ones were to be done")
        assert set(group.records()["task_id"]) <= wanted | {task.id for task in old}
    topics.delete(unique_name)


def test_a_lock_that_another_program_has_set_stays_and_counts(topic, unique_name, member, monkeypatch):
    monkeypatch.setattr(share_groups, "SETTINGS_INTERVAL", -1.0)
    member.poll(0.1)
    assert member.lock == LONG_LOCK
    with member_of(topic, unique_name, "b", lock=LOCK) as other:
        member.poll(0.1)
        other.poll(0.1)
        assert member.lock == other.lock == LOCK


def test_what_is_away_for_longer_than_the_deliveries_last_makes_no_dead_letter(topics: Topics, unique_name):
    begun: list[str] = []

    def handler(task: Task) -> None:
        begun.append(task.id)
        if len(begun) < DELIVERIES + 2:
            raise TryAgainLater("something is away")

    with (
        topics.fresh(unique_name, partitions=1) as topic,
        share(topic, unique_name, handler=handler, membership=Membership(lock=LOCK)) as group,
    ):
        [task] = send(topic, 1)
        records = group.drain(timeout=180)
        assert DeadLetters(topics, topic.name).list() == []
    outcomes = list(records["outcome"])
    assert outcomes == ["requeued"] * (len(outcomes) - 1) + ["done"]
    assert len(outcomes) > 1
    assert set(records["task_id"]) == set(begun) == {task.id}
