"""A session says what it does not know, has its topic for itself where its program has, and leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from labkit.celery_app.application import key_prefix
from labkit.dispatch import CelerySession
from labkit.errors import DoneElsewhere, TasksLost
from labkit.taskqueue import Producer, new_task
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.namespace import new_namespace
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic
from tests.integration.celery_app.conftest import new_settings
from tests.integration.dispatch.rig import LOW

TIMEOUT = 60.0


def send(topic: Topic, count: int, *, kind: str = "sleep", nap: float = 0.0) -> set[str]:
    with Producer(topic, settings=new_settings()) as producer:
        return {receipt.task_id for receipt in producer.send_many(new_task(kind, nap) for _ in range(count))}


def test_drain_says_so_when_another_bridge_did_some_of_the_tasks(lab, topics, unique_name):
    topic = topics.create(unique_name, partitions=2)
    settings = new_settings()
    before = send(topic, 4)
    with CelerySession(lab, topic=unique_name, settings=settings) as alone:
        assert set(alone.drain(timeout=TIMEOUT)["task_id"]) == before
    with (
        CelerySession(lab, topic=unique_name, settings=settings) as one,
        CelerySession(lab, topic=unique_name, settings=settings) as other,
    ):
        one.dispatcher.wait_until_balanced()
        sent = send(topic, 10)
        found = []
        for session in (one, other):
            with pytest.raises(DoneElsewhere, match=r"5 of them by other bridges .* among the 5 here"):
                session.drain(timeout=TIMEOUT)
            found.append(set(session.records()["task_id"]))
    assert found[0] | found[1] == sent
    assert not found[0] & found[1]


@pytest.mark.parametrize("what", ["classes", "bridge"])
def test_drain_says_so_when_redis_came_back_empty(lab, topics, own_redis, unique_name, what):
    settings = new_settings(celery_broker_url=own_redis.url)
    mine = topics.create(unique_name, partitions=1)
    which = {"classes": [LOW]} if what == "classes" else {"topic": unique_name}
    with CelerySession(lab, workers=1, limit=1000, settings=settings, **which) as session:
        topic = session.topic("low") if what == "classes" else mine
        send(topic, 1, nap=0.2)
        sent = send(topic, 30, nap=0.2)

        def all_handed_on() -> bool:
            session.dispatcher.check()
            return not any(place.lag for places in session.lag().values() for place in places)

        wait_until(all_handed_on, timeout=TIMEOUT, what="all was to be in Celery")
        known = len(session.wait_for_records(1, timeout=TIMEOUT))
        with own_redis.emptied():
            pass
        with pytest.raises(TasksLost, match=r"\d+ tasks from .* have no record") as caught:
            session.drain(timeout=TIMEOUT)
    # the one that was performed then may leave its record later
    lost, found = map(int, re.search(r": (\d+) tasks from .* the (\d+) records", str(caught.value)).groups())
    assert lost + found == len(sent) + 1
    assert known <= found < len(sent)


def test_a_topic_of_ones_own_is_meant_where_another_has_one_of_that_name(lab, unique_name):
    settings = new_settings()
    with connect_kafka(lab) as theirs, connect_kafka(lab) as mine:
        everybodys = theirs.create(unique_name, partitions=1)
        send(everybodys, 3)
        topic = mine.temporary(unique_name, partitions=1)
        with CelerySession(lab, topic=topic, settings=settings) as session:
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
    with CelerySession(lab, topic=unique_name, settings=settings) as session:
        own = [key.decode() for key in client.scan_iter(f"{session._mark.removesuffix('session')}*")]
    assert own, "it has a namespace of the same kind"
    found = {key.decode() for key in client.scan_iter(f"{settings.topic_prefix}labkit:celery:*")}
    client.delete(*found)
    assert found == {prefixes["alive"] + key for key in ("records", "unacked", "_kombu.binding.labkit")}
