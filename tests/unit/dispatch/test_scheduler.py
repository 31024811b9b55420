"""What a dispatcher takes from its lines in one turn."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest

from labkit.celery_app.capacity import Count
from labkit.celery_app.envelope import DEEPEST
from labkit.dispatch.class_status import ClassCounts
from labkit.dispatch.intake import Intake
from labkit.dispatch.scheduler import BATCH, Scheduler
from labkit.errors import LabkitError
from labkit.measure.task_record import TaskRecord
from labkit.policies import POLICIES, Decision, Ledger, PriorityClass, make_policy
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.task import new_task
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.conditions import PATIENCE
from tests.unit.clock import Clock

HOUR = 3600.0
CLASSES = [PriorityClass(name="high"), PriorityClass(name="low", limit=2)]


class Lines:
    """The lines of two classes, whose intakes do not run. `now` measures; `wall` is a clock that may be set."""

    def __init__(self, topics: Topics, policy: str = "strict", classes: Sequence[PriorityClass] = CLASSES) -> None:
        self.now, self.wall = Clock(), Clock(1_000_000.0)
        self.records: list[TaskRecord] = []
        self.counts = ClassCounts(one.name for one in classes)
        self.intakes = {
            one.name: Intake(
                topics.create(one.name, partitions=1),
                name=one.name,
                group="g",
                work=Work(),
                config=WorkerConfig(order="none"),
                on_record=self.records.append,
                clock=self.wall,
                measure=self.now,
            )
            for one in classes
        }
        self.chooser = Scheduler(self.intakes, Ledger(classes), make_policy(policy), self.counts, self.now)

    def put(self, name: str, count: int, kind: str = "sleep", payload: object = 0, *, at: float = 0.0) -> None:
        values = [new_task(kind, payload).encode() for _ in range(count)]
        at_ms = round(1000 * at)
        records = [Record(name, 0, n, key, value, headers, at_ms) for n, (key, value, headers) in enumerate(values)]
        self.intakes[name].line.put(WorkItem(record, 0.0) for record in records)

    def choose(self, granted: int, *, is_full: bool) -> str:
        count = Count(granted, unacknowledged=3, concurrency=9, reserved=0, waiting=(1,), limit=1)
        return "".join(name[0].upper() for name, _ in self.chooser.choose(count, is_full=is_full))

    def waiting(self) -> list[int]:
        return [len(intake.line) for intake in self.intakes.values()]


@pytest.fixture
def topics() -> Iterator[Topics]:
    with Topics(MemoryTransport()) as topics:
        yield topics


@pytest.fixture
def lines(topics: Topics) -> Lines:
    return Lines(topics)


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


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: 1 / 0, "'mine' raised ZeroDivisionError: division by zero .*test_scheduler.py, line"),
        (lambda: "low", "'mine' returned a str; give a Decision"),
        (lambda: None, "'mine' returned a NoneType"),
        (lambda: Decision(start="high", held={}), "'mine' chose the class 'high', in which no task waits"),
        (lambda: Decision(start="no class", held={}), "'mine' chose the class 'no class'"),
        (lambda: Decision(start=None, held={}, shed=("high",)), "'mine' chose the class 'high'"),
        (lambda: Decision(start="low", held=None), "'mine' returned Decision.*`held` is a dict"),
        (lambda: Decision(start=None, held={}, shed=None), "'mine' returned Decision.*`shed` a tuple"),
        (lambda: Decision(start="low", held={}, credits={"low": float("nan")}), "'mine' returned the credits"),
        (lambda: Decision(start="low", held={}, credits={"no class": 1}), "'mine' returned the credits"),
        (lambda: Decision(start="low", held={}, credits=None), "'mine' returned the credits None"),
    ],
)
def test_a_policy_of_somebody_else_s_that_fails_is_told_and_no_task_is_taken(lines, answer, message):
    lines.put("low", 3)
    lines.chooser.use(SimpleNamespace(name="mine", decide=lambda view, now: answer()))
    with pytest.raises(LabkitError, match=message):
        lines.choose(2, is_full=True)
    assert lines.waiting() == [0, 3]


def random_classes(rng: random.Random) -> list[PriorityClass]:
    count = rng.randint(1, 4)
    return [
        PriorityClass(
            name=name,
            weight=rng.choice([0.001, 1.0, 1000.0]),
            share=rng.choice([0.0, rng.random() / count]),
            relative_deadline=rng.choice([None, 0.0, rng.expovariate(0.1)]),
            limit=rng.choice([None, 0, rng.randint(1, 9)]),
        )
        for name in ("asap", "business", "cheap", "dull")[:count]
    ]


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("seed", range(30))
def test_no_policy_of_labkit_s_own_is_refused(topics, policy, seed):
    """Whatever waits, also where there is no room, and where there is less than none."""
    rng = random.Random(seed)
    classes = random_classes(rng)
    lines = Lines(topics, policy, classes)
    for _ in range(20):
        name = rng.choice(classes).name
        lines.put(name, rng.choice([0, 1, rng.randint(2, 20)]), at=lines.wall() + rng.uniform(-HOUR, HOUR))
        lines.now.now += rng.choice([0.0, rng.expovariate(1)])
        before = sum(lines.waiting())
        lines.choose(rng.choice([-2, 0, 1, rng.randint(2, 60)]), is_full=rng.random() < 0.7)
        assert sum(lines.waiting()) <= before


def test_reserve_may_start_where_there_is_no_room(topics):
    lines = Lines(topics, "reserve")
    lines.put("high", 2)
    lines.put("low", 1)
    assert lines.choose(0, is_full=True) == "HH"


def test_a_policy_that_does_not_decide_is_told_to_who_looks(lines, caplog):
    asked, go_on = threading.Event(), threading.Event()

    def decide(view, now):
        asked.set()
        assert go_on.wait(PATIENCE)
        return Decision(start=None, held={})

    lines.put("low", 1)
    lines.chooser.use(SimpleNamespace(name="mine", decide=decide))
    thread = threading.Thread(target=lines.choose, args=(1,), kwargs={"is_full": False})
    thread.start()
    try:
        assert asked.wait(PATIENCE)
        for _ in range(20):
            lines.chooser.look()
            lines.now.now += 1.0
    finally:
        go_on.set()
        thread.join(PATIENCE)
    assert caplog.text.count("The policy 'mine' has not answered for 10 s") == 1


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


BY_WAIT = [PriorityClass(name=name, relative_deadline=1.0) for name in ("high", "low")]


@pytest.mark.parametrize("policy", ["aging", "earliest_deadline"])
@pytest.mark.parametrize("ahead", [HOUR, 0.0, -100.0])
def test_a_producer_whose_clock_is_ahead_waits_no_longer_than_others(topics, policy, ahead):
    """The one of the more urgent class came last."""
    lines = Lines(topics, policy, BY_WAIT)
    lines.put("low", 1, at=lines.wall() + ahead)
    lines.now.now, lines.wall.now = lines.now() + 10, lines.wall() + 10
    lines.put("high", 1, at=lines.wall())
    assert lines.choose(1, is_full=True) == "L"


@pytest.mark.parametrize("policy", ["aging", "earliest_deadline"])
@pytest.mark.parametrize("by", [-HOUR, HOUR])
def test_a_clock_that_is_set_changes_no_turn(topics, policy, by):
    lines = Lines(topics, policy, BY_WAIT)
    lines.put("low", 1, at=lines.wall())
    lines.wall.now += by
    lines.now.now += 10
    lines.put("high", 1, at=lines.wall())
    assert lines.choose(1, is_full=True) == "L"


def test_who_has_waited_on_kafka_goes_first_though_it_was_received_later(topics):
    lines = Lines(topics, "aging", BY_WAIT)
    lines.put("high", 1, at=lines.wall())
    lines.put("low", 1, at=lines.wall() - 10)
    assert lines.choose(1, is_full=True) == "L"


def test_a_record_without_a_time_has_waited_since_it_came(topics):
    """The epoch is no moment at which anybody sent it."""
    lines = Lines(topics, "aging", BY_WAIT)
    lines.put("low", 1, at=-0.001)
    lines.put("high", 1, at=lines.wall())
    assert lines.choose(1, is_full=True) == "H"


def test_nothing_is_taken_from_a_line_that_is_taken_away(lines):
    lines.put("high", 2)
    lines.intakes["high"].line.halt()
    assert lines.choose(5, is_full=False) == ""
