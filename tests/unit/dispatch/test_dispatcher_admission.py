"""What cannot be put aside waits at the door of its class, and holds up no other; what can be goes on by itself."""

from __future__ import annotations

import pytest

from labkit.backpressure import make_strategy
from labkit.dispatch.dispatcher_admission import SPILL_RETRY, DispatcherAdmission
from labkit.dispatch.intake import Intake
from labkit.errors import BrokerUnreachable, NotAcknowledged, UnknownTopic
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.task import new_task
from labkit.taskqueue.topics import Topics, read_topic
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.memory.producer import MemoryProducer

LONG = "n" * 245


class Door:
    """Two classes at the admission of a dispatcher that spills everything which is not alone."""

    def __init__(self, topics: Topics, low: str = "jobs.low") -> None:
        self.topics = topics
        self.now = 0.0
        self.records = []
        self.intakes = {name: self._intake(topic) for name, topic in {"high": "jobs.high", "low": low}.items()}
        self.admission = DispatcherAdmission(
            make_strategy("spill", limit=1), finished=list, clock=lambda: 1.0, measure=lambda: self.now
        )
        self.shed = dict.fromkeys(self.intakes, 0)

    def _intake(self, name: str) -> Intake:
        topic = self.topics.create(name, partitions=4)
        config = WorkerConfig(order="none")
        intake = Intake(topic, name=name, group="g", work=Work(), config=config, on_record=self.records.append)
        intake.line.has_admission = True
        return intake

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
        return self.admission.admit(self.intakes, taken, self.shed)

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
