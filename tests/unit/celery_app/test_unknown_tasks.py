"""A worker's loop goes on while the letters of tasks that it does not know wait for Kafka; their messages are held."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.celery_app import celery_overrides, unknown_tasks
from labkit.celery_app.celery_overrides import CarefulConsumer
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.unknown_tasks import UnknownTasks
from labkit.errors import BrokerUnreachable
from labkit.taskqueue.task import Task
from labkit.taskqueue.timeouts import wait_until

TIMEOUT = 60.0


class Writer:
    """Writes no letter until it may, and none of the topic "broken"."""

    def __init__(self) -> None:
        self.may_write = threading.Event()
        self.tried = threading.Event()
        self.written: list[str] = []

    def write(self, envelope: Envelope, record: Any) -> None:
        self.tried.set()
        if not self.may_write.is_set() or envelope.topic == "broken":
            raise BrokerUnreachable("it is away")
        self.written.append(envelope.task.id)


class Message:
    """A message with a task that nobody knows."""

    def __init__(self, tag: str, topic: str = "t", body: Any = None) -> None:
        self.delivery_tag, self.headers = tag, {"task": "unknown"}
        place = {"topic": topic, "partition": 0, "offset": 0, "rank": 0, "produced_at": 1.0, "sent_at": 2.0}
        self._body = body or [Envelope(task=Task(id=tag, kind="k"), **place).to_json()]
        self.acknowledged = 0

    def decode(self) -> Any:
        return self._body, {}, {}

    def ack_log_error(self, *_: object) -> None:
        self.acknowledged += 1


class Places:
    """Counts as Celery's QoS does."""

    value = 2

    def increment_eventually(self) -> None:
        self.value += 1

    def decrement_eventually(self) -> None:
        self.value -= 1


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Writer:
    monkeypatch.setattr(unknown_tasks, "PAUSE", 0.001)
    return Writer()


@pytest.fixture
def consumer(writer: Writer) -> Any:
    made = CarefulConsumer.__new__(CarefulConsumer)
    made.app = SimpleNamespace(unknown_tasks=UnknownTasks(writer))  # type: ignore[arg-type]
    made.connection_errors, made.qos, made.call_soon = (), Places(), lambda call: call()
    return made


def test_they_are_held_until_their_letters_are_written_and_take_no_place(writer: Writer, consumer: Any) -> None:
    messages = [Message(tag) for tag in "abc"]
    for message in messages:
        consumer.on_unknown_task(None, message, None)
    assert writer.tried.wait(TIMEOUT)
    assert [message.acknowledged for message in messages] == [0, 0, 0]
    assert consumer.qos.value == 2 + 3
    assert set(consumer.app.unknown_tasks.tags()) == set("abc"), "they are not put back when the connection is lost"
    writer.may_write.set()
    wait_until(lambda: all(one.acknowledged for one in messages), timeout=TIMEOUT, what="they were to be acknowledged")
    wait_until(lambda: consumer.qos.value == 2, timeout=TIMEOUT, what="their places were to be given back")
    assert sorted(writer.written) == ["a", "b", "c"]
    consumer.on_unknown_task(None, late := Message("d"), None)
    wait_until(lambda: late.acknowledged == 1, timeout=TIMEOUT, what="a later one was to be acknowledged too")


def test_one_that_cannot_be_written_holds_up_no_other(writer: Writer, consumer: Any) -> None:
    writer.may_write.set()
    consumer.on_unknown_task(None, stuck := Message("a", topic="broken"), None)
    consumer.on_unknown_task(None, other := Message("b"), None)
    wait_until(lambda: other.acknowledged == 1, timeout=TIMEOUT, what="the other was to be acknowledged")
    assert stuck.acknowledged == 0


def test_one_that_comes_again_meanwhile_has_one_letter(writer: Writer, consumer: Any) -> None:
    messages = [Message("a"), Message("a")]
    for message in messages:
        consumer.on_unknown_task(None, message, None)
    writer.may_write.set()
    wait_until(lambda: consumer.qos.value == 2, timeout=TIMEOUT, what="their places were to be given back")
    assert (writer.written, [one.acknowledged for one in messages]) == (["a"], [1, 1])


def test_beyond_so_many_they_take_the_places_of_others(
    writer: Writer, consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_overrides, "MOST_UNKNOWN", 2)
    for number in range(5):
        consumer.on_unknown_task(None, Message(str(number)), None)
    assert consumer.qos.value == 2 + 2
    writer.may_write.set()
    wait_until(lambda: consumer.qos.value == 2, timeout=TIMEOUT, what="their places were to be given back")


def test_what_is_not_labkits_is_dropped_at_once(writer: Writer, consumer: Any) -> None:
    consumer.on_unknown_task(None, foreign := Message("a", body=[1]), None)
    assert foreign.acknowledged == 1
    assert not writer.tried.is_set()
