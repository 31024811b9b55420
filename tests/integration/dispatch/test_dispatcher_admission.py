"""The dispatcher's admission on the real broker: who is let in, who is shed, and who is put aside."""

from contextlib import suppress

import pytest

from labkit.backpressure import make_strategy
from labkit.dispatch import CelerySession
from labkit.errors import UnknownTopic
from labkit.policies import PriorityClass
from labkit.settings import load_settings
from labkit.taskqueue import Producer, new_task
from labkit.taskqueue.task import Task
from labkit.taskqueue.topic import LATER
from labkit.taskqueue.topics import read_topic

CLASSES = [PriorityClass(name="high"), PriorityClass(name="low")]
#: So long that a burst waits for admission before the first of it is done.
NAP = 0.02


@pytest.fixture
def session_with(lab, unique_name):
    """A session whose dispatcher has this strategy at its admission."""

    def make(name: str, **options: float) -> CelerySession:
        return CelerySession(
            lab,
            classes=CLASSES,
            policy="strict",
            concurrency=2,
            pool="threads",
            limit=1,
            admission=make_strategy(name, **options),
            settings=load_settings(topic_prefix=f"{unique_name}."),
        )

    return make


def send(session: CelerySession, name: str, count: int) -> list[str]:
    tasks = [new_task("sleep", NAP) for _ in range(count)]
    with Producer(session.topic(name)) as producer:
        producer.send_many(tasks)
    return [task.id for task in tasks]


def test_beyond_the_limit_the_newest_are_shed_and_everything_is_accounted_for(session_with):
    with session_with("shed_newest", limit=10) as session:
        sent = send(session, "low", 60)
        records = session.drain(timeout=120)
        turned_away = session.turned_away()
    outcomes = records.groupby("outcome")["task_id"].agg(set)
    assert outcomes["done"] | outcomes["shed"] == set(sent)
    assert not outcomes["done"] & outcomes["shed"]
    assert len(outcomes["done"]) >= 10
    assert turned_away["tasks"].sum() == len(outcomes["shed"]) > 0
    assert set(records[records["outcome"] == "shed"]["error"].str.contains("the limit is 10")) == {True}


@pytest.mark.long
def test_a_pause_loses_nothing_and_bounds_what_is_behind_the_door(session_with):
    with session_with("pause", high=10, low=5, look=0.01) as session:
        sent = send(session, "low", 60)
        most = 0
        while len(session.records()) < 60:
            count = session.count()
            most = max(most, session.dispatcher.status()[1].waiting + sum(count.waiting) + count.unacknowledged)
        assert set(session.drain(timeout=120)["task_id"]) == set(sent)
    # what has just been sent may for a moment be counted in the line and in Celery
    assert 5 < most <= 10 + 4


@pytest.mark.long
def test_the_lowest_class_makes_room_for_an_urgent_one(session_with):
    with session_with("shed_lowest", limit=12) as session:
        send(session, "low", 40)
        session.wait_for_records(1, timeout=120)
        urgent = send(session, "high", 8)
        records = session.drain(timeout=120)
    done = set(records[records["outcome"] == "done"]["task_id"])
    assert set(urgent) <= done
    assert set(records[records["outcome"] == "shed"]["topic"]) == {"jobs.low"}


def test_what_is_spilled_stands_on_a_topic_for_later_as_it_was(session_with):
    later = f"jobs.low{LATER}"
    with session_with("spill", limit=10) as session:
        with suppress(UnknownTopic):
            session.topics.delete(later)
        sent = send(session, "low", 60)
        records = session.drain(timeout=120)
        topic = session.topics.get(later)
        spilled = [Task.decode(record) for record in read_topic(topic.transport, topic.full_name)]
    outcomes = records.groupby("outcome")["task_id"].agg(set)
    assert {task.id for task in spilled} == outcomes["spilled"]
    assert outcomes["spilled"] | outcomes["done"] == set(sent)
    assert {task.payload for task in spilled} == {NAP}
