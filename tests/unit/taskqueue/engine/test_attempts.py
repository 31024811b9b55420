"""What becomes of tasks that are handed on or dropped unbegun; the other ends are tested with the workers."""

from __future__ import annotations

import logging
import random

import pytest

from labkit.errors import InProgress, LabNotRunning, LeaseLost, ProcessedLogFailed, RedisUnreachable, StoreFailed
from labkit.measure.record_store import RecordStore
from labkit.taskqueue.engine.attempts import Attempts
from labkit.taskqueue.engine.failure import RemoteError, failure_of
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import Record
from tests.unit.clock import Clock

TASK = Task(id="7", kind="sleep", payload=1, key="k", scheduled_at=9.5)


class Made:
    """Attempts with a line, in which one task was taken."""

    def __init__(self, value: tuple = TASK.encode(), *, on_record=None, **clocks) -> None:  # type: ignore[type-arg]
        key, body, headers = value
        self.records: list = []
        self.shards = Shards("none")
        self.attempts = Attempts(
            self.shards,
            topic="t",
            worker="d",
            retry=Retry(),
            rng=random.Random(1),
            on_record=on_record or self.records.append,
            **{"clock": lambda: 20.0} | clocks,
        )
        self.item = WorkItem(Record("t", 0, 42, key, body, headers, 10_000), 11.0)
        self.shards.put([self.item])
        assert self.shards.take() is self.item

    def line_is_settled(self) -> bool:
        return self.shards.drop(timeout=0)


@pytest.fixture
def made():
    return Made()


AWAY = [InProgress(), LeaseLost(), RedisUnreachable(), ProcessedLogFailed(), StoreFailed(), LabNotRunning()]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("remote", [False, True])
def test_what_labkit_itself_lacks_is_no_attempt(made, error, remote):
    """Also where the handler runs in another process, which tells of its error in words."""
    made.attempts.begin(made.item)
    made.attempts.end(made.item, RemoteError(failure_of(error)) if remote else error)
    assert made.item.attempt == 0
    assert not made.records
    assert not made.attempts.done
    assert not made.attempts.dead


def test_a_record_holds_the_number_of_an_attempt_whatever_the_task_came_with(tmp_path):
    """One number that a file of records cannot hold would make all of it unreadable."""
    store = RecordStore(tmp_path / "records")
    made = Made(TASK.evolve(attempt=2**63 - 1).encode(), on_record=store.append)
    for _ in range(2):
        made.attempts.begin(made.item)
        made.attempts.end(made.item, ValueError("no"))
    store.close()
    assert list(store.frame()["attempt"]) == [2**63 - 1] * 2


def test_a_handler_sees_which_attempt_it_makes(made):
    seen = []
    for _ in range(3):
        seen.append(made.attempts.begin(made.item).attempt)
        made.attempts.end(made.item, OSError("away"))
    assert seen == [record.attempt for record in made.records] == [1, 2, 3]


def test_who_hands_on_leaves_no_record_and_is_through(caplog):
    caplog.set_level(logging.INFO, "labkit.task")
    made = Made()
    made.attempts.begin(made.item)
    made.attempts.hand_on(made.item)
    assert made.records == []
    assert list(made.attempts.done) == [made.item]
    assert made.attempts.failures == 0
    assert made.line_is_settled()
    assert [line.getMessage() for line in caplog.records] == ["started", "handed_on"]
    assert caplog.records[-1].task == "7"


def test_what_is_shed_has_a_record_that_says_which_task_and_why(made):
    made.attempts.shed(made.item, "too many")
    (record,) = made.records
    assert (record.task_id, record.kind, record.key, record.outcome) == ("7", "sleep", "k", "shed")
    assert (record.error, record.offset, record.attempt) == ("too many", 42, 1)
    assert (record.scheduled_at, record.produced_at, record.finished_at) == (9.5, 10.0, 20.0)
    assert list(made.attempts.done) == [made.item]
    assert not made.attempts.dead
    assert (made.attempts.failures, made.attempts.put_away) == (0, 1)
    assert made.line_is_settled()


def test_also_what_is_no_task_can_be_shed():
    made = Made((None, b"\xff", ()))
    made.attempts.shed(made.item, "too many")
    assert [(record.task_id, record.outcome) for record in made.records] == [("", "shed")]
    assert made.line_is_settled()


def test_what_is_refused_is_dead_and_its_record_says_which_task(made):
    made.attempts.refuse(made.item, ValueError("nobody does that"), deliveries=1)
    (record,) = made.records
    assert (record.task_id, record.outcome, record.error) == ("7", "dead", "ValueError: nobody does that")
    assert list(made.attempts.dead) == [made.item]
    assert str(made.item.error) == "nobody does that"


def test_a_record_that_cannot_be_written_leaves_the_task_open():
    def fail(record):
        raise ConnectionError("away")

    made = Made(on_record=fail)
    with pytest.raises(ConnectionError):
        made.attempts.shed(made.item, "too many")
    assert not made.attempts.done
    assert not made.line_is_settled()


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
@pytest.mark.parametrize("error", [None, ValueError("no")])
def test_how_long_an_attempt_has_taken_is_told_also_where_the_clock_was_set_meanwhile(jump, error):
    wall, measure = Clock(50_000.0), Clock(7.0)
    made = Made(clock=wall, measure=measure)
    made.attempts.begin(made.item)
    wall.now += jump
    measure.now += 2.5
    made.attempts.end(made.item, error)
    (record,) = made.records
    assert record.started_at == 50_000.0
    assert record.finished_at == 50_002.5


def test_what_was_never_begun_has_not_ended_before_it_came():
    made = Made(clock=Clock(5.0))
    made.attempts.shed(made.item, "too many")
    (record,) = made.records
    assert record.received_at == record.started_at == record.finished_at == 11.0
