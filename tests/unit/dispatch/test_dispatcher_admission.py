"""What cannot be put aside waits at the door of its class, and holds up no other; what can be goes on by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest

from labkit.backpressure import Action, AdmissionDecision, Strategy, make_strategy
from labkit.dispatch import spill_topic
from labkit.dispatch.dispatcher_admission import SPILL_RETRY, DispatcherAdmission
from labkit.dispatch.intake import Intake
from labkit.errors import BrokerUnreachable, LabkitError, NotAcknowledged, RedisUnreachable, UnknownTopic
from labkit.measure.task_record import DONE, TaskRecord
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import on_a_thread, wait_until
from labkit.taskqueue.topics import Topics, read_topic
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.memory.producer import MemoryProducer
from tests.conditions import PATIENCE
from tests.unit.clock import Clock

LONG = "n" * 245


class Door:
    """Two classes at the admission of a dispatcher, which spills everything that is not alone."""

    def __init__(self, topics: Topics, low: str = "jobs.low", strategy: Strategy | None = None) -> None:
        self.topics = topics
        self.now = 0.0
        self.wall = Clock(1.0)
        self.records = []
        self.finished = []
        self.redis_is_away = False
        self.changes = threading.Semaphore(0)
        self.intakes = {name: self._intake(topic) for name, topic in {"high": "jobs.high", "low": low}.items()}
        self.admission = DispatcherAdmission(
            strategy or make_strategy("spill", limit=1),
            finished=lambda: self.finished,
            clock=self.wall,
            measure=lambda: self.now,
        )
        self.shed = dict.fromkeys(self.intakes, 0)

    def _intake(self, name: str) -> Intake:
        topic = self.topics.create(name, partitions=4)
        config = WorkerConfig(order="none")
        intake = Intake(
            topic,
            name=name,
            group="g",
            work=Work(),
            config=config,
            on_record=self.note,
            clock=self.wall,
            measure=lambda: self.now,
        )
        intake.line.has_admission = True
        intake.tell(self.changes.release)
        return intake

    def note(self, record: TaskRecord) -> None:
        if self.redis_is_away:
            raise RedisUnreachable
        self.records.append(record)

    def come(self, name: str, partitions, *, at: int = 0, **fields) -> None:
        """A task of this class has come from each of these partitions."""
        key, value, headers = new_task("sleep", 0, key="k").encode()
        fields = {"key": key, "value": value} | fields
        records = [
            Record("t", partition, offset, headers=tuple(headers), timestamp_ms=at, **fields)
            for offset, partition in enumerate(partitions)
        ]
        self.intakes[name].line.put([WorkItem(record, 0.0) for record in records])

    def admit(self, taken: int = 5) -> float | None:
        """What is put aside is there, or is not, when this returns, however busy the machine is."""
        pause = self.admission.admit(self.intakes, taken, self.shed)
        while spills := list(self.admission._spills.values()):
            assert not wait([spill.write for spill in spills], PATIENCE).not_done
            pause = self.look()
        return pause

    def look(self) -> float | None:
        """A turn of the dispatcher, which waits for nothing."""
        self.admission.take_in(self.intakes, self.shed)
        return self.admission.admit(self.intakes, 5, self.shed)

    def at_door(self, name: str) -> int:
        return len(self.intakes[name].line._at_admission)

    def in_hand(self) -> int:
        return sum(len(intake.line._in_hand) for intake in self.intakes.values())

    def spilled(self, name: str) -> list[int]:
        """The partitions of what was put aside."""
        return [record.partition for record in read_topic(self.topics.transport, f"{name}.later")]


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


@contextmanager
def silent(monkeypatch, door: Door, what: str) -> Iterator[None]:
    """Inside, what comes for the topic for later of the class "low" has no answer; outside, it has had one."""
    answers = threading.Event()
    monkeypatch.setattr(spill_topic, "SPILL_TIMEOUT", PATIENCE)
    kind, name = {"topic": (Topics, "create"), "client": (MemoryTransport, "producer")}.get(
        what, (MemoryProducer, "send")
    )
    call = getattr(kind, name)

    def call_when_it_answers(self, *args, **kwargs):
        if what == "client" or args[0] == "jobs.low.later":
            assert answers.wait(PATIENCE)
        return call(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(kind, name, call_when_it_answers)
        try:
            yield
        finally:
            answers.set()
            wait([spill.write for spill in door.admission._spills.values()], PATIENCE)


def away(*_, **__):
    raise BrokerUnreachable("nobody answers")


def not_taken(self, *_, on_delivery, **__):
    on_delivery(None, NotAcknowledged("too late"))


def test_a_topic_for_later_of_another_shape_is_used_as_it_is(topics):
    topics.create("jobs.low.later", partitions=2)
    door = Door(topics)
    door.come("low", [0, 1, 2, 3])
    assert door.admit() is None
    assert sorted(door.spilled("jobs.low")) == [0, 0, 1, 1]
    assert (door.in_hand(), door.at_door("low"), door.shed["low"]) == (0, 0, 4)


@pytest.mark.parametrize("what", ["away", "not taken", "too long", "name taken"])
def test_what_cannot_be_put_aside_waits_and_holds_up_no_other(topics, monkeypatch, caplog, what):
    low = LONG if what == "too long" else "jobs.low"
    door = Door(topics, low)
    if what == "away":
        monkeypatch.setattr(MemoryTransport, "producer", away)
    elif what == "not taken":
        monkeypatch.setattr(MemoryProducer, "send", not_taken)
    elif what == "name taken":
        topics.create("jobs_low.later", partitions=1)
    door.come("low", [0, 1], at=1)
    assert door.admit() == pytest.approx(SPILL_RETRY)
    assert (door.in_hand(), door.at_door("low"), door.records) == (0, 2, [])
    monkeypatch.undo()
    door.come("high", [3], at=2)
    assert door.admit() == pytest.approx(SPILL_RETRY)
    assert door.spilled("jobs.high") == [3]
    door.now += SPILL_RETRY
    door.admit()
    assert caplog.text.count("tasks wait for admission") == 1
    if what in ("away", "not taken"):
        assert door.spilled("jobs.low") == [0, 1]
        assert caplog.messages[-1] == "jobs.low goes on: jobs.low.later answers again"
    else:
        assert (door.in_hand(), door.at_door("low"), door.shed["low"]) == (0, 2, 0)
        assert door.admit(taken=0) is not None
        door.now += SPILL_RETRY
        door.admit(taken=0)
        assert door.at_door("low") == 1, "when there is room it is let in"


def test_a_topic_for_later_that_is_deleted_is_made_anew(topics, monkeypatch):
    door = Door(topics)
    door.come("low", [0])
    door.admit()
    topics.delete("jobs.low.later")
    door.come("low", [3])
    if door.admit() is not None:  # a client may know only then
        door.now += SPILL_RETRY
        assert door.admit() is None
    assert door.spilled("jobs.low") == [3]


def test_a_topic_for_later_with_fewer_partitions_now_is_looked_at_again(topics):
    door = Door(topics)
    door.come("low", [0])
    door.admit()
    topics.recreate("jobs.low.later", partitions=1)
    door.come("low", [3])
    door.admit()
    door.now += SPILL_RETRY
    assert door.admit() is None
    assert door.spilled("jobs.low") == [0]


def test_what_is_no_record_that_can_be_written_is_let_in_and_judged_there(topics):
    door = Door(topics)
    door.come("low", [0], key=None, value=None)
    assert door.admit() is None
    assert (len(door.intakes["low"].line), door.in_hand(), door.shed["low"]) == (1, 0, 0)


def test_nothing_is_lost_where_the_error_is_a_defect(topics, monkeypatch):
    door = Door(topics)
    door.come("low", [0])
    monkeypatch.setattr(MemoryProducer, "send", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        door.admit()
    assert (door.in_hand(), door.at_door("low")) == (0, 1)
    with pytest.raises(UnknownTopic):
        topics.get("jobs.high.later")


@pytest.mark.parametrize("what", ["topic", "client", "record"])
def test_no_other_class_waits_for_a_topic_for_later_that_does_not_answer(topics, monkeypatch, what):
    door = Door(topics)
    door.come("high", [0])
    door.admit()  # its topic and its client are there
    with silent(monkeypatch, door, what):
        door.come("low", [0, 1])
        door.look()
        door.come("high", [1, 2])
        wait_until(lambda: door.look() is None and door.shed["high"] == 3, timeout=PATIENCE, what="high was to end")
        assert (door.in_hand(), door.at_door("low"), door.shed["low"]) == (1, 1, 0)
        while door.changes.acquire(blocking=False):
            pass
    assert door.changes.acquire(timeout=PATIENCE), "the dispatcher is told"
    assert door.admit() is None
    assert (door.spilled("jobs.low"), door.shed) == ([0, 1], {"high": 3, "low": 2})
    assert sorted(door.spilled("jobs.high")) == [0, 1, 2]


def test_what_was_put_back_while_it_was_being_put_aside_is_put_aside_once(topics, monkeypatch):
    """As when Redis is away for a moment."""
    door = Door(topics)
    with silent(monkeypatch, door, "record"):
        door.come("low", [0, 1])
        door.look()
        door.intakes["low"].line.put_back()
        assert door.look() is None
        assert door.at_door("low") == 2
    door.admit()
    assert (door.spilled("jobs.low"), door.at_door("low"), door.in_hand()) == ([0, 1], 0, 0)


def test_what_stands_there_is_not_put_aside_again_where_redis_takes_no_record_of_it(topics):
    door = Door(topics)
    door.come("low", [0])
    door.redis_is_away = True
    for _ in range(2):
        with pytest.raises(RedisUnreachable):
            door.admit()
        door.intakes["low"].line.put_back()
    door.redis_is_away = False
    assert door.admit() is None
    assert (door.spilled("jobs.low"), len(door.records), door.shed["low"]) == ([0], 1, 1)


def test_a_rebalance_waits_for_what_is_being_put_aside(topics, monkeypatch):
    door = Door(topics)
    line = door.intakes["low"].line
    with silent(monkeypatch, door, "record"):
        door.come("low", [0, 1])
        door.look()
        dropped = on_a_thread(partial(line.drop, timeout=PATIENCE))
        wait_until(lambda: line._halted, timeout=PATIENCE, what="the partitions were to be taken away")
        assert line.at_door() is None
    door.admission.take_in(door.intakes, door.shed)
    assert dropped.result(PATIENCE)
    assert (door.spilled("jobs.low"), door.shed["low"]) == ([0], 1)


def test_a_client_that_still_writes_when_all_ends_is_let_go_of_then(topics, monkeypatch):
    made = []
    producer = MemoryTransport.producer
    monkeypatch.setattr(MemoryTransport, "producer", lambda *args: made.append(producer(*args)) or made[-1])
    door = Door(topics)
    with silent(monkeypatch, door, "record"):
        door.come("low", [0])
        door.come("high", [0])
        wait_until(lambda: door.look() is None and door.shed["high"] == 1, timeout=PATIENCE, what="high was to end")
        door.admission.close()
        assert sorted(one._closed for one in made) == [False, True]
    wait_until(lambda: all(one._closed for one in made), timeout=PATIENCE, what="its thread was to close it")


@pytest.mark.parametrize("ahead", [3600.0, 0.0])
def test_who_has_waited_longest_is_let_in_first_whatever_the_clocks_say(topics, ahead):
    """The clock of one producer is ahead, and then that of this computer is set back."""
    door = Door(topics, strategy=make_strategy("token_bucket", rate=1, burst=1))
    door.come("low", [0], at=round(1000 * (door.wall() + ahead)))
    door.now, door.wall.now = 10.0, 0.5
    door.come("high", [0], at=round(1000 * door.wall()))
    assert door.admit() > 0
    assert (len(door.intakes["low"].line), len(door.intakes["high"].line)) == (1, 0)


def test_an_answer_from_before_it_was_asked_for_hides_no_late_one(topics):
    """The clock was set back meanwhile, so what was finished then seems to have taken less than no time."""
    door = Door(topics, strategy=make_strategy("aimd", target=1.0, start=10))
    door.finished = [SimpleNamespace(outcome=DONE, received_at=at, finished_at=9.0) for at in (3600.0, 0.0)]
    door.come("low", [0])
    assert door.admit(taken=9) is None
    assert door.shed["low"] == 1, "the limit was lowered"


def test_a_strategy_of_somebody_else_s_that_fails_leaves_the_tasks_where_they_are(topics):
    def judge(sight, state, now):
        raise KeyError(sight.rank)

    door = Door(topics, strategy=SimpleNamespace(name="mine", begin=lambda: None, judge=judge))
    door.come("low", [0, 1])
    with pytest.raises(LabkitError, match=r"'mine' raised KeyError: 1 .*test_dispatcher_admission\.py, line"):
        door.admit()
    assert (door.at_door("low"), door.shed, door.records) == (2, {"high": 0, "low": 0}, [])


def test_a_strategy_that_does_not_answer_is_told_to_who_looks(topics, caplog):
    asked, go_on = threading.Event(), threading.Event()

    def judge(sight, state, now):
        asked.set()
        assert go_on.wait(PATIENCE)
        return AdmissionDecision(action=Action.ADMIT), state

    door = Door(topics, strategy=SimpleNamespace(name="mine", begin=lambda: None, judge=judge))
    door.come("low", [0])
    thread = threading.Thread(target=door.admit)
    thread.start()
    try:
        assert asked.wait(PATIENCE)
        for _ in range(20):
            door.admission.look()
            door.now += 1.0
    finally:
        go_on.set()
        thread.join(PATIENCE)
    assert caplog.text.count("The strategy 'mine' has not answered for 10 s") == 1
