"""What commands say of a topic that holds something else than they work on."""

from __future__ import annotations

import pytest

from labkit.jobs import Jobs, jobs_topic
from labkit.taskqueue import Producer, Retry, Topics, WorkerGroup, connect, new_task
from tests.acceptance.commands import further, said


def refuse(_task):
    raise ValueError("no")


@pytest.fixture
def topics(lab):
    with connect(lab) as topics:
        yield topics


@pytest.fixture
def tasks(topics: Topics, unique_name: str) -> str:
    """A topic of tasks, of which one was given up."""
    topic = topics.create(unique_name, partitions=2)
    with Producer(topic) as producer:
        producer.send_many([new_task("a")])
    with WorkerGroup(topic, group=f"{unique_name}-first", handler=refuse, retry=Retry(attempts=1)) as group:
        group.drain(timeout=60)
    return unique_name


@pytest.fixture
def jobs(topics: Topics, unique_name: str) -> str:
    """A topic of jobs."""
    topic = jobs_topic(topics, name=f"{unique_name}-jobs")
    with Jobs(topic) as made:
        made.create(7)
    return topic.name


@pytest.mark.parametrize(
    ("words", "of"),
    [
        (("jobs", "consume", "--group", "g", "--topic", "{tasks}"), "tasks, not jobs"),
        further(("jobs", "produce", "--topic", "{tasks}"), "tasks, not jobs"),
        further(("jobs", "list", "--topic", "{tasks}.dead"), "dead letters, not jobs"),
        (("work", "--topic", "{jobs}", "--service", "constant:1ms"), "jobs, not tasks"),
        (("work", "--topic", "{tasks}.dead", "--service", "constant:1ms"), "dead letters, not tasks"),
        (("produce", "--topic", "{jobs}"), "jobs, not tasks"),
        (("bridge", "--topic", "{jobs}"), "jobs, not tasks"),
        (("dead", "list", "--topic", "{tasks}.dead"), "dead letters itself"),
        further(("dead", "replay", "--all", "--topic", "{tasks}.dead"), "dead letters itself"),
    ],
)
def test_a_topic_of_another_kind_is_refused_and_left_as_it_is(topics, tasks, jobs, type_in, words, of):
    names = {"tasks": tasks, "jobs": jobs}
    before = {name: topics.end_offsets(name) for name in (tasks, jobs, f"{tasks}.dead")}
    complaint = said(type_in(*(word.format_map(names) for word in words)), status=1)
    assert f"holds {of}" in complaint
    assert "`labkit " in complaint
    assert {name: topics.end_offsets(name) for name in before} == before
    made = {name for name in topics.names() if name.startswith(tasks)}
    assert made == set(before)
    assert topics.committed(tasks, group="g") == {}


def test_a_class_of_the_dispatcher_whose_topic_holds_jobs_is_refused(topics, unique_name, type_in):
    topic = jobs_topic(topics, name=f"jobs.{unique_name}")
    with Jobs(topic) as made:
        made.create(7)
    assert "holds jobs, not tasks" in said(type_in("dispatch", "--classes", unique_name), status=1)
