"""Dispatchers and bridges on a real Kafka, a real Redis and, where tasks are performed, a real Celery worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.celery_app import capacity as room_module
from labkit.celery_app.capacity import Capacity
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch import CelerySession, make_bridge
from labkit.dispatch.factory import BRIDGE, BRIDGE_GROUP, class_topic, make_dispatcher
from labkit.errors import LabkitError, SettingsError, UnknownTopic
from labkit.jobs import Jobs, jobs_topic
from labkit.policies import PriorityClass
from labkit.settings import Settings
from labkit.taskqueue import Producer, new_task
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.cluster_errors import OtherTopicKind
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic, Topics
from labkit.taskqueue.transport.contract import ProducerConfig
from tests.integration.celery_app.conftest import new_settings
from tests.integration.celery_app.handlers import effects
from tests.integration.dispatch.rig import HIGH, LOW, Rig

#: What a dispatcher may have taken before the test looks, per process of the worker.
LIMIT = 3


@pytest.fixture(autouse=True)
def _workers_do_not_fall_silent(monkeypatch):
    monkeypatch.setattr(room_module, "SILENCE", 120.0)


@pytest.fixture
def rig(lab, topics, settings) -> Iterator[Rig]:
    made = Rig(lab.redis_url, topics, settings)
    yield made
    made.close()


@pytest.fixture
def performed(lab, topics, at_work) -> Iterator[Rig]:
    """As `rig`, with a worker behind the queue."""
    made = Rig(lab.redis_url, topics, at_work)
    yield made
    made.close()


def send_bytes(topic: Topic, value: bytes = b"\xff") -> None:
    """What labkit has not written; by default nothing that anybody could read."""
    client = topic.transport.producer(ProducerConfig())
    client.send(
        topic.full_name,
        partition=0,
        key=None,
        value=value,
        headers=(),
        timestamp_ms=None,
        on_delivery=lambda *_: None,
    )
    client.flush(10)
    client.close(10)


def test_two_dispatchers_share_the_work_and_never_overfill_the_queue(performed, client, at_work, tmp_path):
    performed.topic("high", 2), performed.topic("low", 2)
    stream = RecordStream(client, at_work)
    stream.skip()
    counting = Capacity(client, at_work, limit=LIMIT)
    capacity = counting.count().capacity
    assert capacity == 2 * LIMIT
    gate, records, most = tmp_path / "gate", [], 0
    with (
        performed.dispatcher("weighted", limit=LIMIT, name="d1", partitions=2) as one,
        performed.dispatcher("weighted", limit=LIMIT, name="d2", partitions=2) as two,
    ):
        one.wait_until_balanced()
        # the first tasks wait, so that the queue gets as full as it may
        sent = performed.send("low", [new_task("test-wait", str(gate)) for _ in range(2)])
        sent += performed.send("low", [new_task("sleep", 0.002) for _ in range(80)])
        sent += performed.send("high", [new_task("sleep", 0.002) for _ in range(80)])

        def look() -> None:
            nonlocal most
            one.check(), two.check()
            records.extend(stream.read())
            count = counting.count()
            most = max(most, sum(count.waiting) + count.unacknowledged)

        def full() -> bool:
            look()
            return most >= capacity

        def over() -> bool:
            look()
            return len(records) >= len(sent)

        wait_until(full, timeout=60, what="the queue was to fill", interval=0.001)
        gate.with_suffix(".go").touch()
        wait_until(over, timeout=120, what="all tasks were to be performed", interval=0.001)

        def shares() -> list[int]:
            return [sum(status.sent for status in each.status()) for each in (one, two)]

        # a task may be done before its dispatcher knows that it was sent
        wait_until(lambda: sum(shares()) >= len(sent), timeout=120, what="all were to be counted")
        sent_by = shares()
    assert sorted(record.task_id for record in records) == sorted(sent)
    assert {record.outcome for record in records} == {"done"}
    assert min(sent_by) > 0
    assert sum(sent_by) == len(sent)
    assert most == capacity
    assert [performed.lag("high"), performed.lag("low")] == [0, 0]


def test_after_a_stop_another_goes_on_where_it_was(rig):
    ids = rig.produce("low", 120)
    taken: list[str] = []
    for name in ("d1", "d2"):
        with rig.dispatcher(limit=10, name=name, classes=(LOW,)):
            rig.workers(6)
            wait_until(lambda: rig.queued() == 60, timeout=120, what="the queue was to fill")
        taken += [message.id for message in rig.take_all()]
        assert rig.lag("low") == 120 - len(taken)
    assert taken == ids


def test_the_bridge_waits_on_kafka_for_redis(own_redis, topics, settings, caplog):
    rig = Rig(own_redis.url, topics, settings)
    with rig.dispatcher(limit=None, classes=(LOW,)) as bridge:
        first = rig.produce("low", 10)
        rig.wait_for_lag("low")
        own_redis.kill()
        later = rig.produce("low", 10)
        wait_until(lambda: "waits for Redis" in caplog.text, timeout=120, what="it was to say so")
        assert rig.lag("low") == 10
        assert bridge.status()[0].sent == 10
        own_redis.start()
        rig.wait_for_lag("low")
    found = [message.id for message in rig.take_all()]
    assert list(dict.fromkeys(found)) == first + later
    rig.close()


def test_a_bridge_makes_a_celery_task_of_every_record(lab, topics, client, at_work, unique_name, tmp_path):
    topic, file = topics.create(unique_name, partitions=2), str(tmp_path / "effects")
    tasks = [new_task("test-write", file) for _ in range(30)]
    unknown = new_task("no-such-kind")
    with Producer(topic, settings=at_work) as producer:
        producer.send_many([*tasks[:15], unknown, *tasks[15:]])
        producer.send(tasks[0])
    send_bytes(topic)
    others = str(tmp_path / "others")
    send_bytes(topic, json.dumps({"kind": "test-fail", "file": others, "times": 0}).encode())
    stream = RecordStream(client, at_work)
    stream.skip()
    records = []

    def over() -> bool:
        records.extend(stream.read())
        return len(records) >= 34

    with make_bridge(lab, topics, unique_name, group=unique_name, settings=at_work) as bridge:
        wait_until(over, timeout=120, what="all records were to end")
        # a task may be done before its bridge knows that it was sent
        wait_until(
            lambda: sum(one.sent + one.dead for one in bridge.status()) >= 34,
            timeout=120,
            what="all were to be counted",
        )
        (status,) = bridge.status()
    assert (status.sent, status.dead, status.waiting) == (32, 2, 0)
    assert sorted(effects(file)) == sorted(task.id for task in tasks)
    [place] = [record for record in records if record.kind == "test-fail"]
    assert effects(others) == [place.task_id] == [f"{topics.describe(unique_name).id}/0/{place.offset}"]
    outcomes = sorted(record.outcome for record in records)
    assert outcomes == ["bad", "dead", *["done"] * 31, "repeated"]
    assert {letter.error.partition(":")[0] for letter in DeadLetters(topics, unique_name).list()} == {
        "BadRecord",
        "UnknownKind",
    }
    assert not any(place.lag for place in topics.lag(unique_name, group=f"{unique_name}.{BRIDGE}"))
    assert BRIDGE_GROUP == "celery_bridge"


def test_a_bridge_needs_its_topic(lab, topics, settings, unique_name):
    with pytest.raises(UnknownTopic, match=unique_name):
        make_bridge(lab, topics, unique_name, settings=settings)


@pytest.mark.parametrize("make", ["bridge", "dispatcher", "session"])
def test_a_topic_of_another_kind_is_refused_and_left_as_it_is(lab, topics, settings, unique_name, make):
    topic = jobs_topic(topics, name=class_topic(unique_name))
    with Jobs(topic) as jobs:
        jobs.create(7)
    before = topics.end_offsets(topic.name)
    made = {
        "bridge": lambda: make_bridge(lab, topics, topic.name, settings=settings),
        "dispatcher": lambda: make_dispatcher(lab, topics, [PriorityClass(name=unique_name)], settings=settings),
        "session": lambda: CelerySession(lab, topic=topic, settings=settings).__enter__(),
    }
    with pytest.raises(OtherTopicKind, match=rf"^The topic '{topic.name}' holds jobs, not tasks, so it stays as it is"):
        made[make]()
    assert topics.end_offsets(topic.name) == before
    assert f"{topic.name}.dead" not in topics.names()


@pytest.mark.parametrize("make", ["bridge", "dispatcher", "session"])
def test_a_broker_whose_queue_cannot_be_counted_is_refused(lab, topics, unique_name, make):
    topic = topics.create(unique_name, partitions=1)
    rabbit = Settings(_env_file=None, celery_broker_url="amqp://rabbit")  # type: ignore[call-arg]
    made = {
        "bridge": lambda: make_bridge(lab, topics, topic.name, settings=rabbit),
        "dispatcher": lambda: make_dispatcher(lab, topics, [PriorityClass(name=unique_name)], settings=rabbit),
        "session": lambda: CelerySession(lab, classes=[HIGH, LOW], settings=rabbit),
    }
    with pytest.raises(SettingsError, match="Only a Redis"):
        made[make]()


def test_a_session_ends_when_everything_is_done(lab, settings):
    with CelerySession(
        lab, classes=[HIGH, LOW], policy="weighted", concurrency=2, pool="threads", limit=2, settings=settings
    ) as session:
        sent = {}
        for name in ("low", "high"):
            with Producer(session.topic(name), settings=settings) as producer:
                tasks = [new_task("sleep", 0.002) for _ in range(20)] + [new_task("no-such-kind")]
                sent[name] = {receipt.task_id for receipt in producer.send_many(tasks)}
        frame = session.drain(timeout=120)
        assert set(frame["task_id"]) == sent["low"] | sent["high"]
        assert frame["outcome"].value_counts().to_dict() == {"done": 40, "dead": 2}
        assert frame.groupby("topic")["priority"].unique().map(list).to_dict() == {"jobs.high": [0], "jobs.low": [1]}
        count = session.count()
        assert (sum(count.waiting), count.unacknowledged, count.concurrency) == (0, 0, 2)
        assert session.drain(timeout=120).equals(frame), "nothing more came"
        with Producer(session.topic("high"), settings=settings) as producer:
            producer.send(new_task("sleep", 0.3))
        assert len(session.drain(timeout=120)) == len(frame) + 1, "also a task that is still performed is waited for"


def test_a_drain_that_cannot_end_says_so(lab, settings, caplog, tmp_path):
    with CelerySession(lab, classes=[LOW], concurrency=1, pool="threads", settings=settings) as session:
        with Producer(session.topic("low"), settings=settings) as producer:
            producer.send(new_task("test-wait", str(tmp_path / "gate")))
        with pytest.raises(
            LabkitError, match=r"0\.3 s in vain: Celery was to [\w ]+ records\. .* are left on Kafka\. "
        ):
            session.drain(timeout=0.3)
        assert "waits for" not in caplog.text
        (tmp_path / "gate.go").touch()
        assert len(session.drain(timeout=120)) == 1


def test_a_drain_waits_for_a_redis_that_comes_back(lab, own_redis, settings, caplog):
    own = settings.model_copy(update={"celery_broker_url": own_redis.url})
    with (
        CelerySession(lab, classes=[LOW], concurrency=1, pool="threads", settings=own) as session,
        ThreadPoolExecutor() as threads,
    ):
        with Producer(session.topic("low"), settings=own) as producer:
            producer.send_many(new_task("sleep", 0.05) for _ in range(20))
        session.wait_for_records(1, timeout=120)
        with own_redis.killed():
            drained = threads.submit(session.drain, timeout=120)
            wait_until(lambda: "the session waits for Redis" in caplog.text, timeout=120, what="it was to say so")
        frame = drained.result(60)
        assert len(frame) == frame["task_id"].nunique() == 20
    assert caplog.text.count("the session waits for Redis") == caplog.text.count("the session goes on") == 1


def test_topics_of_the_classes_are_made(lab, topics: Topics, settings, unique_name):
    made = make_dispatcher(lab, topics, [PriorityClass(name=unique_name)], partitions=3, settings=settings)
    assert topics.get(f"jobs.{unique_name}").partitions == 3
    made.stop()


@pytest.mark.long
def test_two_sessions_of_bridges_have_their_own_records_and_leave_nothing_in_redis(lab, topics, client, unique_name):
    settings = new_settings()
    names = [f"{unique_name}-{number}" for number in range(2)]
    with connect_kafka(lab) as unprefixed:
        for name in names:
            unprefixed.create(name, partitions=1)
        with (
            CelerySession(lab, topic=names[0], pool="threads", settings=settings) as first,
            CelerySession(lab, topic=names[1], pool="threads", settings=settings) as second,
        ):
            sent = []
            for name in names:
                with Producer(unprefixed.get(name), settings=settings) as producer:
                    sent.append({one.task_id for one in producer.send_many([new_task("sleep", 0) for _ in range(5)])})
            found = [set(session.drain(timeout=120)["task_id"]) for session in (first, second)]
            assert found == sent
            assert [session.count().concurrency for session in (first, second)] == [2, 2]
    assert not list(client.scan_iter(f"{settings.topic_prefix}labkit:celery:*"))
    assert [set(session.records()["task_id"]) for session in (first, second)] == sent, "records outlive their session"
