"""The stream tells each record once, so no answer may get lost, however late it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from labkit.dispatch.session_records import SessionRecords
from labkit.errors import DeadlineExceeded, RedisUnreachable
from labkit.measure.task_record import DONE, TaskRecord
from labkit.taskqueue.timeouts import on_a_thread
from tests.conditions import PATIENCE


def record(task_id: str) -> TaskRecord:
    where = {"topic": "t", "partition": 0, "offset": 0, "priority": 0, "worker": "w", "attempt": 1}
    times = dict.fromkeys(("scheduled_at", "produced_at", "received_at", "started_at", "finished_at"), 1.0)
    rest = {"key": None, "acknowledged_at": None, "outcome": DONE, "error": None}
    return TaskRecord(task_id=task_id, kind="sleep", **where, **times, **rest)


class Stream:
    """Tells each record once, when it may."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.given: list[list[TaskRecord] | Exception] = [[record("a")], [record("b")]]
        self.asked = 0

    def read(self) -> list[TaskRecord]:
        self.asked += 1
        assert self.answers.wait(PATIENCE)
        found = self.given.pop(0) if self.given else []
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    yield stream
    stream.answers.set()


@pytest.fixture
def records(stream: Stream) -> Iterator[SessionRecords]:
    records = SessionRecords(stream)
    yield records
    records.close()


def ids(records: SessionRecords) -> list[str]:
    return list(records.frame()["task_id"])


def test_an_answer_that_comes_too_late_is_there_the_next_time(stream, records):
    for _ in range(3):
        with pytest.raises(DeadlineExceeded):
            records.read(monotonic())
    stream.answers.set()
    assert records.read(monotonic() + PATIENCE) == 1
    assert stream.asked == 1, "it is asked once at a time"
    assert records.read() == 2
    assert ids(records) == ["a", "b"]


def test_an_error_is_raised_and_then_over(stream, records):
    stream.given.insert(0, RedisUnreachable())
    stream.answers.set()
    with pytest.raises(RedisUnreachable):
        records.read()
    assert (records.read(), records.read()) == (1, 2)


def test_two_that_read_at_once_have_each_record_once(stream, records):
    readers = [on_a_thread(records.read) for _ in range(4)]
    stream.answers.set()
    assert {reader.result(PATIENCE) for reader in readers} <= {0, 1, 2}
    records.read()
    assert ids(records) == ["a", "b"]


def test_an_error_from_a_time_when_nobody_waited_tells_nothing_of_now(stream, records):
    stream.given.insert(0, RedisUnreachable("away"))
    with pytest.raises(DeadlineExceeded):
        records.read(monotonic())
    stream.answers.set()
    assert isinstance(records._asked.exception(PATIENCE), RedisUnreachable)
    assert records.read() == 1
