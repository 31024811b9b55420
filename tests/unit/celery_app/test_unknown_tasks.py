"""A worker's loop goes on while the letters of tasks that it does not know wait for Kafka; their messages are held."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from kombu.exceptions import DecodeError

from labkit.celery_app import unknown_tasks
from labkit.celery_app.celery_overrides import CarefulConsumer
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.unknown_tasks import UnknownTasks
from labkit.errors import BrokerUnreachable
from labkit.taskqueue.task import Task
from labkit.taskqueue.timeouts import wait_until
from tests.refused_threads import refuse_threads

TIMEOUT = 60.0


class Writer:
    """Writes no letter until it may, and none of the topic "broken"; `tried` has the ids of all."""

    def __init__(self) -> None:
        self.may_write = threading.Event()
        self.tried: list[str] = []
        self.written: list[str] = []

    def write(self, envelope: Envelope, record: Any) -> None:
        self.tried.append(envelope.task.id)
        if not self.may_write.is_set() or envelope.topic == "broken":
            raise BrokerUnreachable("it is away")
        self.written.append(envelope.task.id)


class Held(Writer):
    """Keeps its caller until it may write."""

    def write(self, envelope: Envelope, record: Any) -> None:
        assert self.may_write.wait(TIMEOUT)
        super().write(envelope, record)


class Message:
    """A message with a task that nobody knows, and its channel."""

    def __init__(self, tag: str, topic: str = "t", body: Any = None) -> None:
        self.delivery_tag, self.headers = tag, {"task": "unknown"}
        place = {"topic": topic, "partition": 0, "offset": 0, "rank": 0, "produced_at": 1.0, "sent_at": 2.0}
        self._body = body or [Envelope(task=Task(id=tag, kind="k"), **place).to_json()]
        self.acknowledged = 0
        self.left_out: list[str] = []
        self.channel = SimpleNamespace(leave_out=self.left_out.extend)

    def decode(self) -> Any:
        return self._body, {}, {}

    def ack_log_error(self, *_: object) -> None:
        self.acknowledged += 1


class Unacknowledged(Message):
    """One that cannot be acknowledged."""

    def __init__(self, tag: str, error: BaseException) -> None:
        super().__init__(tag)
        self._error = error

    def ack_log_error(self, *_: object) -> None:
        raise self._error


def acknowledged(*messages: Message) -> None:
    wait_until(lambda: all(one.acknowledged for one in messages), timeout=TIMEOUT, what="they were to be acknowledged")


def tried(writer: Writer, *ids: str) -> None:
    wait_until(lambda: {*ids} <= {*writer.tried}, timeout=TIMEOUT, what="they were to be tried")


@pytest.fixture
def writer() -> Writer:
    return Writer()


def consumer_with(writer: Writer) -> Any:
    made = CarefulConsumer.__new__(CarefulConsumer)
    made.app = SimpleNamespace(unknown_tasks=UnknownTasks(writer))  # type: ignore[arg-type]
    made.connection_errors, made.call_soon = (), lambda call, *arguments: call(*arguments)
    return made


@pytest.fixture
def consumer(writer: Writer) -> Any:
    return consumer_with(writer)


def test_they_are_held_until_their_letters_are_written_and_take_no_place(
    writer: Writer, consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown_tasks, "LONGEST_PAUSE", 0.001)
    messages = [Message(tag) for tag in "abc"]
    for message in messages:
        consumer.on_unknown_task(None, message, None)
    tried(writer, *"abc")
    assert [message.acknowledged for message in messages] == [0, 0, 0]
    assert [message.left_out for message in messages] == [["a"], ["b"], ["c"]]
    writer.may_write.set()
    acknowledged(*messages)
    assert sorted(writer.written) == ["a", "b", "c"]
    consumer.on_unknown_task(None, late := Message("d"), None)
    acknowledged(late)


def test_what_comes_while_there_can_be_no_further_thread_is_held_and_written_with_the_next(
    writer: Writer, consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.may_write.set()
    early, late = Message("a"), Message("b")
    with monkeypatch.context() as patch:
        refuse_threads(patch, "unknown-tasks")
        consumer.on_unknown_task(None, early, None)
    assert early.left_out == ["a"]
    consumer.on_unknown_task(None, late, None)
    acknowledged(early, late)


def test_those_that_cannot_be_written_hold_up_no_other_and_are_one_outage(
    writer: Writer, consumer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unknown_tasks, "FIRST_PAUSE", 3600.0)
    monkeypatch.setattr(unknown_tasks, "LONGEST_PAUSE", 3600.0)
    writer.may_write.set()
    for number in range(3):
        consumer.on_unknown_task(None, stuck := Message(f"stuck {number}", topic="broken"), None)
        tried(writer, stuck.delivery_tag)
        consumer.on_unknown_task(None, other := Message(f"good {number}"), None)
        acknowledged(other)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "A task that no worker knows waits for Kafka or Redis, and its message is held"
    ]


def test_the_outage_ends_when_nothing_is_left_that_failed(
    writer: Writer, consumer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unknown_tasks, "LONGEST_PAUSE", 0.001)
    consumer.on_unknown_task(None, first := Message("a"), None)
    tried(writer, "a")
    writer.may_write.set()
    acknowledged(first)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "A task that no worker knows waits for Kafka or Redis, and its message is held",
        "A task that no worker knows goes on",
    ]


def test_one_that_comes_again_meanwhile_has_one_letter_and_takes_no_place_either() -> None:
    consumer = consumer_with(writer := Held())
    messages = [Message("a") for _ in range(10)]
    for message in messages:
        consumer.on_unknown_task(None, message, None)
    writer.may_write.set()
    acknowledged(messages[0])
    consumer.on_unknown_task(None, last := Message("z"), None)
    acknowledged(last)
    assert writer.written == ["a", "z"]
    assert [message.left_out for message in messages] == [["a"]] * 10


def test_beyond_so_many_a_message_is_left_to_its_visibility_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_tasks, "MOST_HELD", 2)
    consumer = consumer_with(writer := Held())
    messages = [Message(tag) for tag in "abc"]
    for message in messages:
        consumer.on_unknown_task(None, message, None)
    assert [message.left_out for message in messages] == [["a"], ["b"], ["c"]]
    writer.may_write.set()
    acknowledged(*messages[:2])
    consumer.on_unknown_task(None, last := Message("z"), None)
    acknowledged(last)
    assert writer.written == ["a", "b", "z"]


def test_where_too_many_are_held_those_that_cannot_be_written_make_room(
    writer: Writer, consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown_tasks, "MOST_HELD", 2)
    writer.may_write.set()
    for tag in "ab":
        consumer.on_unknown_task(None, Message(tag, topic="broken"), None)
    tried(writer, *"ab")
    for tag in "cde":
        consumer.on_unknown_task(None, other := Message(tag), None)
        acknowledged(other)


def test_one_that_cannot_be_acknowledged_is_said_and_keeps_no_letter_from_the_others(
    writer: Writer, consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    writer.may_write.set()
    consumer.on_unknown_task(None, Unacknowledged("a", RuntimeError("the loop has ended")), None)
    consumer.on_unknown_task(None, other := Message("b"), None)
    acknowledged(other)
    assert writer.written == ["a", "b"]
    assert ["the loop has ended" in record.message for record in caplog.records] == [True]


def test_a_thread_that_has_died_is_followed_by_another(
    writer: Writer, consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # that of pytest fails the test
    writer.may_write.set()
    consumer.on_unknown_task(None, Unacknowledged("a", SystemExit(1)), None)
    consumer.app.unknown_tasks._thread.join(TIMEOUT)
    assert not consumer.app.unknown_tasks._thread.is_alive()
    consumer.on_unknown_task(None, other := Message("b"), None)
    acknowledged(other)


def test_what_is_not_labkits_is_dropped_at_once(writer: Writer, consumer: Any) -> None:
    consumer.on_unknown_task(None, foreign := Message("a", body=[1]), None)
    unreadable = Message("b", body=[1])
    unreadable.decode = Mock(side_effect=DecodeError("Unsupported type"))  # type: ignore[method-assign]
    consumer.on_unknown_task(None, unreadable, None)
    assert (foreign.acknowledged, unreadable.acknowledged) == (1, 1)
    assert not writer.tried
