"""What a topic holds is told by its records, and by its settings where there are none."""

from __future__ import annotations

import pytest

from labkit.errors import UnknownTopic
from labkit.jobs import JobConsumer, Jobs, JobView, ProcessedLog, jobs_topic
from labkit.jobs.job_consumer import mock_work
from labkit.jobs.topic_kind import TopicKind, must_have_letters, must_hold, topic_kind
from labkit.taskqueue import Producer, Retry, Topic, Topics, WorkerGroup, new_task
from labkit.taskqueue.cluster_errors import OtherTopicKind
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.service_time import constant


def refuse(_task):
    raise ValueError("no")


@pytest.fixture
def tasks(topics: Topics) -> Topic:
    """A topic whose two tasks were given up."""
    topic = topics.create("tasks", partitions=2)
    with Producer(topic) as producer:
        producer.send_many([new_task("job", {"job_id": 1}), new_task("b")])  # a kind of one's own that sounds so
    with WorkerGroup(topic, handler=refuse, retry=Retry(attempts=1)) as group:
        group.drain(timeout=60)
    return topic


@pytest.fixture
def jobs(topic: Topic) -> Topic:
    """The topic of jobs, with three."""
    with Jobs(topic) as made:
        for _ in range(3):
            made.create()
    return topic


def test_each_is_known_by_its_records(topics, tasks, jobs):
    found = [topic_kind(topic) for topic in (tasks, jobs, topics.get("tasks.dead"))]
    assert found == [TopicKind.TASKS, TopicKind.JOBS, TopicKind.DEAD_LETTERS]


def test_letters_that_were_brought_away_still_tell_what_the_topic_is(topics, tasks):
    letters = DeadLetters(topics, "tasks")
    letters.drop([letter.id for letter in letters.list()])
    assert topic_kind(topics.get("tasks.dead")) is TopicKind.DEAD_LETTERS


def test_where_there_are_no_records_settings_tell_and_the_name_alone_does_not(topics, topic):
    assert topic_kind(topic) is None
    assert topic_kind(topics.create("a.dead", partitions=1)) is None
    made = topics.create("b.dead", partitions=1, config={"cleanup.policy": "compact"})
    assert topic_kind(made) is TopicKind.DEAD_LETTERS


def test_a_stray_record_changes_nothing(topics, jobs):
    with Producer(jobs) as producer:
        producer.send(new_task("stray"))
    must_hold(jobs, TopicKind.JOBS)


@pytest.mark.parametrize(
    ("name", "wanted", "words"),
    [
        ("tasks", TopicKind.JOBS, "'tasks' holds tasks, not jobs, so it stays as it is: `labkit work --topic tasks`"),
        ("tasks.dead", TopicKind.JOBS, "`labkit dead list --topic tasks` shows dead letters"),
        ("tasks.dead", TopicKind.TASKS, "holds dead letters, not tasks"),
        ("job-status", TopicKind.TASKS, "`labkit jobs consume --group GROUP --topic job-status` works on jobs"),
    ],
)
def test_a_topic_of_another_kind_is_refused_with_what_to_do(topics, tasks, jobs, name, wanted, words):
    with pytest.raises(OtherTopicKind) as refused:
        must_hold(topics.get(name), wanted)
    assert words in str(refused.value)


def test_what_is_to_have_letters_holds_none_itself(topics, tasks):
    must_have_letters(topics, "tasks")
    must_have_letters(topics, "nowhere")
    with pytest.raises(OtherTopicKind, match=r"'tasks\.dead' holds dead letters itself"):
        must_have_letters(topics, "tasks.dead")
    with Producer(topics.create("other.dead", partitions=1)) as producer:
        producer.send(new_task("a"))
    with pytest.raises(OtherTopicKind, match=r"'other\.dead' holds tasks, not dead letters"):
        must_have_letters(topics, "other")


def test_a_consumer_of_jobs_takes_nothing_of_a_topic_of_tasks(topics, tasks, url, tmp_path):
    before = topics.end_offsets("tasks.dead")
    log = ProcessedLog(tmp_path / "processed_jobs.log", "g")
    with JobView(tasks, url) as view:
        consumer = JobConsumer(tasks, group="g", log=log, view=view, work=mock_work(constant(0)))
        with pytest.raises(OtherTopicKind):
            consumer.start()
        consumer.close()
    assert topics.committed("tasks", group="g") == {}
    assert topics.end_offsets("tasks.dead") == before
    with pytest.raises(OtherTopicKind):
        jobs_topic(topics, name="tasks")


def test_a_topic_that_is_not_there_is_unknown(topics, topic):
    topics.delete(topic.name)
    with pytest.raises(UnknownTopic):
        topic_kind(topic)
