"""A session says what it does not know, has its topic for itself where its program has, and leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import redis

from labkit.celery_app.application import LEVELS, key_prefix, level_key
from labkit.dispatch import CelerySession, CeleryWorker, DispatcherProcess
from labkit.dispatch.own_space import own_settings, own_topics
from labkit.errors import DoneElsewhere, SettingsError, TasksLost, WorkerFailed
from labkit.policies import PriorityClass
from labkit.taskqueue import Producer, new_task
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.namespace import new_namespace
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic
from tests.integration.celery_app.conftest import new_settings
from tests.integration.celery_app.handlers import effects
from tests.integration.dispatch.rig import LOW

TIMEOUT = 60.0


def send(topic: Topic, count: int, *, kind: str = "sleep", payload: object = 0) -> set[str]:
    with Producer(topic, settings=new_settings()) as producer:
        return {receipt.task_id for receipt in producer.send_many(new_task(kind, payload) for _ in range(count))}


def is_handed_on(session: CelerySession) -> bool:
    """Whether all that is on Kafka is in Celery."""
    session.dispatcher.check()
    return not any(place.lag for places in session.lag().values() for place in places)


def take(client: redis.Redis, session: CelerySession) -> list[tuple[str, bytes]]:
    """What waits in Celery's queue, and where; it is nowhere then."""
    keys = [level_key(key_prefix(session._settings), level) for level in range(LEVELS)]
    return [(key, message) for key in keys for message in iter(lambda key=key: client.rpop(key), None)]


@pytest.mark.long
def test_drain_says_so_when_another_bridge_did_some_of_the_tasks(lab, topics, unique_name):
    topic = topics.create(unique_name, partitions=2)
    settings = new_settings()
    before = send(topic, 4)
    with CelerySession(lab, topic=unique_name, pool="threads", settings=settings) as alone:
        assert set(alone.drain(timeout=TIMEOUT)["task_id"]) == before
    with (
        CelerySession(lab, topic=unique_name, pool="threads", settings=settings) as one,
        CelerySession(lab, topic=unique_name, pool="threads", settings=settings) as other,
    ):
        one.dispatcher.wait_until_balanced()
        sent = send(topic, 10)
        with ThreadPoolExecutor() as pool:
            drained = [pool.submit(session.drain, timeout=TIMEOUT) for session in (one, other)]
        for each in drained:
            with pytest.raises(DoneElsewhere, match=r"5 of them by other bridges .* among the 5 here"):
                each.result()
        found = [set(session.records()["task_id"]) for session in (one, other)]
    assert found[0] | found[1] == sent
    assert not found[0] & found[1]


@pytest.mark.parametrize("what", [pytest.param("classes", marks=pytest.mark.long), "bridge"])
def test_drain_says_so_when_redis_came_back_empty(lab, topics, own_redis, unique_name, tmp_path, what):
    settings = new_settings(celery_broker_url=own_redis.url)
    mine = topics.create(unique_name, partitions=1)
    which = {"classes": [LOW], "limit": 1000} if what == "classes" else {"topic": unique_name}
    with CelerySession(lab, concurrency=1, pool="threads", settings=settings, **which) as session:
        topic = session.topic("low") if what == "classes" else mine
        send(topic, 1)
        waits = str(tmp_path / "waits")
        sent = send(topic, 30, kind="test-wait", payload=waits)
        wait_until(lambda: is_handed_on(session), timeout=TIMEOUT, what="all was to be in Celery")
        known = len(session.wait_for_records(1, timeout=TIMEOUT))
        with own_redis.emptied():
            pass
        Path(f"{waits}.go").touch()
        with pytest.raises(TasksLost, match=r"\d+ tasks from .* have no record") as caught:
            session.drain(timeout=TIMEOUT)
    # the one that was performed then may leave its record later
    lost, found = map(int, re.search(r": (\d+) tasks from .* the (\d+) records", str(caught.value)).groups())
    assert lost + found == len(sent) + 1
    assert known <= found < len(sent)


def test_drain_waits_for_what_a_worker_was_given_while_it_does_not_run(lab, topics, client, unique_name, monkeypatch):
    """Redis gives a task to whoever waits for one, also while that process does not run; then nobody counts it."""
    topic = topics.create(unique_name, partitions=1)
    looks = threading.Semaphore(0)
    with (
        CelerySession(lab, topic=unique_name, concurrency=1, pool="threads", settings=new_settings()) as session,
        ThreadPoolExecutor() as pool,
    ):
        count = session.count

        def count_and_tell():
            looks.release()
            return count()

        monkeypatch.setattr(session, "count", count_and_tell)
        session.worker.freeze()
        try:
            sent = send(topic, 1)
            wait_until(lambda: is_handed_on(session), timeout=TIMEOUT, what="it was to be in Celery")
            given = take(client, session)  # nothing where the worker waited for it in Redis
            drained = pool.submit(session.drain, timeout=TIMEOUT)
            assert all(looks.acquire(timeout=TIMEOUT) for _ in range(4))
            for key, message in given:
                client.rpush(key, message)
        finally:
            session.worker.thaw()
        assert set(drained.result()["task_id"]) == sent


@pytest.mark.long
def test_drain_says_so_when_a_task_has_no_record_though_redis_was_always_there(lab, client, tmp_path):
    with CelerySession(
        lab, classes=[LOW], concurrency=1, pool="threads", limit=1000, settings=new_settings()
    ) as session:
        waits = str(tmp_path / "waits")
        send(session.topic("low"), 1, kind="test-wait", payload=waits)
        wait_until(lambda: effects(waits), timeout=TIMEOUT, what="the worker was to have something to do")
        send(session.topic("low"), 1)
        wait_until(lambda: is_handed_on(session), timeout=TIMEOUT, what="the other one was to be in Celery")
        assert len(take(client, session)) == 1
        Path(f"{waits}.go").touch()
        with pytest.raises(TasksLost, match=r"^1 tasks from .* have no record.*did not come back empty.*the 1 records"):
            session.drain(timeout=TIMEOUT)


def test_a_topic_of_ones_own_is_meant_where_another_has_one_of_that_name(lab, unique_name):
    settings = new_settings()
    with connect_kafka(lab) as theirs, connect_kafka(lab) as mine:
        everybodys = theirs.create(unique_name, partitions=1)
        send(everybodys, 3)
        topic = mine.temporary(unique_name, partitions=1)
        with CelerySession(lab, topic=topic, pool="threads", settings=settings) as session:
            sent = send(topic, 2) | send(topic, 1, kind="no-such-kind") | send(topic, 1, kind="test-fail")
            records = session.drain(timeout=TIMEOUT)
        assert set(records["task_id"]) == sent
        assert {letter.task().kind for letter in DeadLetters(mine, unique_name).list()} == {"no-such-kind", "test-fail"}
        assert DeadLetters(theirs, unique_name).list() == []
        assert sum(place.lag for place in theirs.lag(unique_name, group="celery_bridge.bridge")) == 3


def test_what_a_killed_session_had_in_redis_is_deleted_by_the_next_one(lab, topics, client, unique_name):
    topics.create(unique_name, partitions=1)
    settings = new_settings()
    ended = subprocess.run(
        [sys.executable, "-c", "from labkit.taskqueue.namespace import new_namespace; print(new_namespace())"],
        check=True,
        capture_output=True,
        text=True,
    )
    prefixes = {}
    for whose, namespace in {"killed": ended.stdout.strip(), "alive": new_namespace()}.items():
        prefixes[whose] = key_prefix(settings.model_copy(update={"celery_namespace": f"session.{namespace}"}))
        for key in ("records", "unacked", "_kombu.binding.labkit"):
            client.set(prefixes[whose] + key, 1)
    with CelerySession(lab, topic=unique_name, pool="threads", settings=settings) as session:
        own = [key.decode() for key in client.scan_iter(f"{session._mark.removesuffix('session')}*")]
    assert own, "it has a namespace of the same kind"
    found = {key.decode() for key in client.scan_iter(f"{settings.topic_prefix}labkit:celery:*")}
    client.delete(*found)
    assert found == {prefixes["alive"] + key for key in ("records", "unacked", "_kombu.binding.labkit")}


OWN = """
from dataclasses import dataclass
from labkit.policies.policy import hold, start

@dataclass(frozen=True)
class Last:
    name = "last"
    fails: float = 0

    def decide(self, view, now):
        if self.fails and view.backlogged:
            raise KeyError("no such class")
        return start(view, view.startable[-1], "another goes first") if view.startable else hold(view)
"""


@pytest.fixture
def own_policy(tmp_path, monkeypatch):
    """A module of somebody else's in the working directory."""
    (tmp_path / "own_last.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_last:Last"
    sys.modules.pop("own_last", None)


def test_a_policy_of_one_s_own_decides_in_another_process(lab, own_policy):
    settings = own_settings(new_settings())
    with own_topics(lab, settings) as topics:
        topic = topics.create("jobs.low", partitions=2)
        send(topic, 3)
        with (
            CeleryWorker(lab, pool="threads", settings=settings),
            DispatcherProcess(lab, topics, [PriorityClass(name="low")], own_policy, settings=settings),
        ):
            is_done = lambda: not any(place.lag for place in topics.lag("jobs.low", group="dispatcher.low"))  # noqa: E731
            wait_until(is_done, timeout=TIMEOUT, what="all was to be handed on")


def drain_three(session: CelerySession, left: list[int]) -> None:
    """Send three tasks and drain; how many are still on Kafka when that has failed."""
    send(session.topic("low"), 3)
    try:
        session.drain(timeout=TIMEOUT)
    finally:
        left.append(sum(place.lag for place in session.lag()["low"]))


def test_a_policy_of_one_s_own_that_fails_is_told_by_the_session_and_nothing_is_lost(lab, own_policy):
    classes = [PriorityClass(name="low")]
    session = CelerySession(
        lab, classes=classes, policy=own_policy, options={"fails": 1}, pool="threads", settings=new_settings()
    )
    left: list[int] = []
    with pytest.raises(WorkerFailed, match=r"The policy 'last' raised KeyError: .*own_last\.py, line 12"), session:
        drain_three(session, left)
    assert left == [3]


@pytest.mark.parametrize("in_a_process", [False, True])
def test_a_policy_that_is_not_there_is_told_before_anything_is_started(lab, topics, in_a_process):
    made = partial(DispatcherProcess, topics=topics) if in_a_process else CelerySession
    with pytest.raises(SettingsError, match="'no_such_module:Policy' could not be imported: No module named"):
        made(lab, classes=[PriorityClass(name="low")], policy="no_such_module:Policy")
