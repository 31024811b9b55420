"""What a dispatcher takes from its lines in one turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.celery_app.capacity import Count
from labkit.celery_app.envelope import DEEPEST
from labkit.dispatch.class_status import ClassCounts
from labkit.dispatch.intake import Intake
from labkit.dispatch.scheduler import BATCH, Scheduler
from labkit.measure.task_record import TaskRecord
from labkit.policies import Ledger, PriorityClass, make_policy
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.task import new_task
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory import MemoryTransport

CLASSES = [PriorityClass(name="high"), PriorityClass(name="low", limit=2)]


class Lines:
    """The lines of two classes, whose intakes do not run."""

    def __init__(self, topics: Topics) -> None:
        self.records: list[TaskRecord] = []
        self.counts = ClassCounts(one.name for one in CLASSES)
        self.intakes = {
            one.name: Intake(
                topics.create(one.name, partitions=1),
                name=one.name,
                group="g",
                work=Work(),
                config=WorkerConfig(order="none"),
                on_record=self.records.append,
            )
            for one in CLASSES
        }
        self.chooser = Scheduler(self.intakes, Ledger(CLASSES), make_policy("strict"), self.counts, lambda: 0.0)

    def put(self, name: str, count: int, kind: str = "sleep", payload: object = 0) -> None:
        values = [new_task(kind, payload).encode() for _ in range(count)]
        records = [Record(name, 0, n, key, value, headers, 0) for n, (key, value, headers) in enumerate(values)]
        self.intakes[name].line.put(WorkItem(record, 0.0) for record in records)

    def choose(self, granted: int, *, is_full: bool) -> str:
        count = Count(granted, unacknowledged=3, processes=9, reserved=0, waiting=(1,), limit=1)
        return "".join(name[0].upper() for name, _ in self.chooser.choose(count, is_full=is_full))

    def waiting(self) -> list[int]:
        return [len(intake.line) for intake in self.intakes.values()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with Topics(MemoryTransport()) as topics:
        yield Lines(topics)


def test_it_takes_what_is_granted_and_says_why_the_others_wait(lines):
    lines.put("high", 2)
    lines.put("low", 2)
    assert lines.choose(3, is_full=True) == "HHL"
    assert lines.waiting() == [0, 1]
    assert lines.counts.held == {"low": "the queue is full"}


def test_what_comes_while_it_chooses_is_not_shed_for_want_of_room(lines):
    """All that was asked for was granted; there may be room for more."""
    lines.put("low", 10)
    assert lines.choose(0, is_full=False) == ""
    assert lines.choose(4, is_full=False) == "LLLL"
    assert (lines.waiting(), lines.counts.shed["low"], lines.counts.held) == ([0, 6], 0, {})


def test_when_there_is_no_room_the_newest_beyond_the_limit_are_shed(lines):
    lines.put("low", 10)
    assert lines.choose(0, is_full=True) == ""
    assert (lines.waiting(), lines.counts.shed["low"]) == ([0, 2], 8)
    assert [record.offset for record in lines.records] == [9, 8, 7, 6, 5, 4, 3, 2]


def test_who_is_chosen_goes_before_others_are_shed(lines):
    lines.put("high", 1)
    lines.put("low", 10)
    assert lines.choose(1, is_full=True) == "H"
    assert lines.counts.shed["low"] == 0


def test_to_shed_takes_no_longer_than_a_batch(lines):
    """Else whoever is overrun would never look for room again."""
    lines.put("low", 10 * BATCH)
    assert lines.choose(0, is_full=True) == ""
    assert lines.counts.shed["low"] == BATCH


def test_no_more_than_a_batch_is_taken(lines):
    lines.put("high", 3 * BATCH)
    assert len(lines.choose(10 * BATCH, is_full=False)) == BATCH


def nested(depth: int) -> object:
    payload: object = None
    for _ in range(depth):
        payload = [payload]
    return payload


@pytest.mark.parametrize("unfit", [{"kind": "no-such-kind"}, {"payload": nested(DEEPEST + 1)}], ids=["kind", "depth"])
def test_what_celery_can_do_nothing_with_takes_no_room(lines, unfit):
    lines.put("high", 3, **unfit)
    lines.put("high", 2, payload=nested(DEEPEST))
    assert lines.choose(2, is_full=True) == "HH"
    assert lines.counts.dead["high"] == 3
    assert [record.outcome for record in lines.records] == ["dead"] * 3


def test_the_policy_can_be_changed_while_it_works(lines):
    lines.put("high", 2)
    lines.put("low", 2)
    assert lines.choose(1, is_full=True) == "H"
    lines.chooser.use(make_policy("weighted"))
    assert lines.choose(2, is_full=True) == "HL"


def test_nothing_is_taken_from_a_line_that_is_taken_away(lines):
    lines.put("high", 2)
    lines.intakes["high"].line.halt()
    assert lines.choose(5, is_full=False) == ""
