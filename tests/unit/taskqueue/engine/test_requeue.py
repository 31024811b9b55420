"""Tasks that are put behind the others on their topic."""

from __future__ import annotations

import pytest

from labkit.taskqueue.engine.requeue import Requeue
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.topics import Topics, read_topic
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory import MemoryTransport


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def items(count: int) -> list[WorkItem]:
    """As they came from partition 1, at different times."""
    encoded = [task.encode() for task in stock_tasks(count, seed=1)]
    records = [Record("t", 1, number, *task, 1000 + number) for number, task in enumerate(encoded)]
    return [WorkItem(record, 0.0) for record in records]


def test_a_task_is_written_as_it_was(topics):
    topic, told, sent = topics.create("t", partitions=2), [], items(3)
    requeue = Requeue(topic, "w", lambda: told.append(1))
    requeue.put(sent)
    requeue.close()
    assert list(requeue.taken) == sent
    assert (list(requeue.refused), len(told)) == ([], 3)
    assert list(read_topic(topics.transport, "t")) == [one.record for one in sent]


def test_what_cannot_be_written_holds_up_no_other(topics):
    topic, [first, last] = topics.create("t", partitions=2), items(2)
    empty = WorkItem(Record("t", 1, 5, None, None, (), 0), 0.0)
    requeue = Requeue(topic, "w", lambda: None)
    requeue.put([first, empty, last])
    requeue.close()
    assert (list(requeue.taken), list(requeue.refused)) == ([first, last], [empty])


def test_a_topic_that_takes_none_is_said_once_and_once_when_it_takes_them_again(topics, caplog):
    topic, sent = topics.create("t", partitions=2), items(2)
    requeue = Requeue(topic, "w", lambda: None)
    topics.delete("t")
    for _ in range(2):
        requeue.put(sent)
    assert (list(requeue.taken), list(requeue.refused)) == ([], 2 * sent)
    topics.create("t", partitions=2)
    requeue.put(sent)
    requeue.close()
    assert list(requeue.taken) == sent
    said = [record.getMessage() for record in caplog.records if record.name == "labkit.worker"]
    assert said[0].startswith("w waits for the topic 't', and tasks that it has not begun cannot be sent again: ")
    assert said[1:] == ["w goes on: the topic 't' answers again"]
