"""A dispatcher whose Kafka is in memory, and whose Celery is a list."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from labkit.backpressure import Action, AdmissionDecision, QueueView
from labkit.celery_app.envelope import Envelope
from labkit.dispatch.dispatcher import Dispatcher
from labkit.dispatch.dispatcher_admission import DispatcherAdmission
from labkit.policies import PriorityClass, make_policy
from labkit.settings import Settings
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import on_a_thread, wait_until
from labkit.taskqueue.topics import Topics, read_topic
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.memory.producer import MemoryProducer
from tests.conditions import PATIENCE

SETTINGS = Settings(_env_file=None)


class Sender:
    """Takes what Celery would get."""

    def __init__(self) -> None:
        self.sent: list[Envelope] = []

    def send(self, envelopes: list[Envelope]) -> None:
        self.sent += envelopes

    def close(self) -> None:
        """Nothing to do."""


class SpillLow:
    """Lets the urgent class in, and puts the other one aside."""

    name = "spill_low"

    def begin(self) -> None:
        """There is nothing to remember."""

    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        return AdmissionDecision(action=Action.SPILL if sight.rank else Action.ADMIT), None


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        for name in ("jobs.high", "jobs.low"):
            topics.create(name, partitions=1)
        yield topics


def produce(topics: Topics, name: str, count: int) -> None:
    with Producer(topics.get(f"jobs.{name}"), settings=SETTINGS) as producer:
        producer.send_many(new_task("sleep", 0) for _ in range(count))


def lag(topics: Topics, name: str) -> int:
    return sum(place.lag for place in topics.lag(f"jobs.{name}", group=f"g.{name}"))


def test_a_topic_for_later_that_does_not_answer_holds_up_no_other_class_and_no_end(topics, monkeypatch):
    asked, answers = threading.Event(), threading.Event()
    send = MemoryProducer.send

    def send_when_it_answers(self: MemoryProducer, topic: str, **record: Any) -> None:
        if topic == "jobs.low.later":
            asked.set()
            assert answers.wait(PATIENCE)
        send(self, topic, **record)

    monkeypatch.setattr(MemoryProducer, "send", send_when_it_answers)
    sender = Sender()
    dispatcher = Dispatcher(
        [topics.get("jobs.high"), topics.get("jobs.low")],
        [PriorityClass(name="high"), PriorityClass(name="low")],
        make_policy("strict"),
        sender,
        admission=DispatcherAdmission(SpillLow(), finished=list),
        group="g",
        name="d",
        settings=SETTINGS,
    )
    with dispatcher:
        try:
            produce(topics, "low", 1)
            assert asked.wait(PATIENCE)
            produce(topics, "high", 100)
            wait_until(lambda: not lag(topics, "high"), timeout=PATIENCE, what="the urgent ones were to be handed on")
            assert len(sender.sent) == 100
            assert lag(topics, "low") == 1
            stopped = on_a_thread(dispatcher.stop)
            low = dispatcher._intakes["low"].line
            wait_until(lambda: low._halted, timeout=PATIENCE, what="it was to be stopped")
        finally:
            answers.set()
        stopped.result(PATIENCE)
    assert len(list(read_topic(topics.transport, "jobs.low.later"))) == 1
    assert lag(topics, "low") == 0, "its end has waited for it"
