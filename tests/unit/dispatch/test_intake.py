"""The line of one class: who is first, what goes back where it was, and what a rebalance waits for."""

from __future__ import annotations

import threading

import pytest

from labkit.dispatch.intake import Intake, IntakeQueue
from labkit.errors import BrokerUnreachable
from labkit.settings import Settings
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import Task, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.memory.consumer import MemoryConsumer


def items(count: int, start: int = 0) -> list[WorkItem]:
    return [WorkItem(Record("t", 0, start + n, None, b"", (), 0), 0.0) for n in range(count)]


@pytest.fixture
def line():
    return IntakeQueue()


def offsets(line: IntakeQueue) -> list[int]:
    return [item.record.offset for item in iter(line.take_first, None)]


def test_first_come_first_served(line):
    line.put(items(3))
    line.put(items(2, start=3))
    assert len(line) == 5
    assert line.head().record.offset == 0
    assert offsets(line) == [0, 1, 2, 3, 4]
    assert len(line) == 0
    assert line.head() is None
    assert line.take_last() is None


def test_the_newest_is_taken_at_the_end(line):
    line.put(items(3))
    assert [line.take_last().record.offset, line.take_last().record.offset] == [2, 1]
    assert offsets(line) == [0]


def test_what_is_put_back_stands_where_it_was_and_was_never_begun(line):
    line.put(items(6))
    taken = [line.take_first(), line.take_first(), line.take_last(), line.take_last()]
    for item in taken:
        item.attempt += 1
    line.put_back()
    assert len(line) == 6
    assert offsets(line) == [0, 1, 2, 3, 4, 5]
    assert {item.attempt for item in taken} == {0}


def test_what_is_done_is_not_put_back(line):
    line.put(items(3))
    first, second = line.take_first(), line.take_first()
    line.done(first)
    line.put_back()
    assert line.take_first() is second


def test_a_postponed_task_goes_back_where_it_was(line):
    line.put(items(3))
    first, last = line.take_first(), line.take_last()
    line.postpone(last, 1.0)
    line.postpone(first, 1.0)
    assert offsets(line) == [0, 1, 2]
    assert line.release_due() is None


@pytest.mark.parametrize("end", ["done", "put_back"])
def test_drop_waits_for_what_is_in_hand_and_forgets_the_rest(line, end):
    line.put(items(3))
    taken = line.take_first()
    dropped = threading.Event()
    thread = threading.Thread(target=lambda: (line.drop(timeout=10), dropped.set()))
    thread.start()
    assert not dropped.wait(0.05)
    assert line.take_first() is None, "what is being taken away is not given out"
    assert line.done(taken) is None if end == "done" else line.put_back() is None
    assert dropped.wait(60)
    thread.join()
    assert len(line) == 0
    line.put(items(1, start=9))
    assert offsets(line) == [9], "after a rebalance the line goes on"


def test_what_outlasts_a_drop_does_not_come_back(line):
    line.put(items(2))
    late = line.take_first()
    assert line.drop(timeout=0) is False
    again = items(1)
    line.put(again)
    line.postpone(late, 0)
    line.put_back()
    line.done(late)
    assert len(line) == 1
    assert line.take_first() is again[0]
    line.done(again[0])
    assert line.drop(timeout=0) is True


@pytest.mark.parametrize("end", ["halt", "close"])
def test_a_line_that_is_halted_or_closed_gives_nothing_more(line, end):
    line.put(items(3))
    getattr(line, end)()
    assert (len(line), line.head(), line.take_first(), line.take_last()) == (0, None, None, None)


def test_the_dispatcher_hears_of_every_change(line):
    heard = []
    line.on_change = lambda: heard.append(len(line))
    line.put(items(2))
    line.halt()
    line.drop(timeout=0)
    line.close()
    assert heard == [2, 0, 0, 0]


def test_a_line_that_is_held_gives_nothing_and_tells_when_it_goes_on():
    now = [100.0]
    line = IntakeQueue(clock=lambda: now[0])
    line.has_admission = True
    line.put(items(4))
    line.let_in(), line.let_in(), line.let_in()
    line.hold(0.5)
    now[0] += 0.4
    in_hand = line.take_first()
    assert in_hand is not None, "not yet"
    now[0] += 0.1
    line.hold(0.5)  # again, which is no later
    line.let_in()
    assert (line.head(), line.take_first(), line.take_last(), line.at_door(), line.take_at_door()) == (None,) * 5
    assert len(line) == 2, "they wait all the same"
    line.postpone(in_hand, 0)
    heard = []
    line.on_change = lambda: heard.append(len(line))
    line.go_on()
    line.go_on()
    assert heard == [3]
    assert offsets(line) == [0, 1, 2]
    assert line.at_door().record.offset == 3


def test_nothing_is_handed_on_while_what_was_cannot_be_committed(monkeypatch):
    """Whoever gets the partitions next would hand all of it on again."""
    monkeypatch.setattr("labkit.taskqueue.worker_group.worker.UNCOMMITTED_AT_MOST", 0.0)
    handed_on: list[int] = []
    tried, handed_on_at_tries, in_vain = threading.Event(), [], 8
    commit = MemoryConsumer.commit

    def commit_when_there(consumer, positions):
        if handed_on and len(handed_on_at_tries) < in_vain:
            handed_on_at_tries.append(len(handed_on))
            tried.set()
            raise BrokerUnreachable
        commit(consumer, positions)

    def hand_on() -> bool:
        item = intake.line.take_first()
        if item is not None:
            handed_on.append(item.record.offset)
            intake.attempts.hand_on(item)
            assert tried.wait(60)
        return len(handed_on) == 100

    monkeypatch.setattr(MemoryConsumer, "commit", commit_when_there)
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        with Producer(topic, settings=Settings(_env_file=None)) as producer:
            producer.send_many(new_task("sleep", 0) for _ in range(100))
        config = WorkerConfig(order="none")
        intake = Intake(topic, name="i", group="g", work=Work(), config=config, on_record=lambda record: None)
        thread = threading.Thread(target=intake.run)
        thread.start()
        try:
            wait_until(hand_on, timeout=60, what="all were to be handed on", interval=0.001)
        finally:
            intake.stop()
            thread.join(60)
    assert len(handed_on_at_tries) == in_vain
    assert max(handed_on_at_tries) <= 2
    assert handed_on == list(range(100))


@pytest.mark.parametrize("number", [3, 15])
def test_the_tasks_of_a_topic_made_anew_come_to_the_line_from_the_first_one_on(number):
    """What a dispatcher or a bridge takes in is known by the topic's id, as what a worker works on."""
    handed_on: list[str] = []

    def hand_on() -> bool:
        while (item := intake.line.take_first()) is not None:
            handed_on.append(Task.decode(item.record).kind)
            intake.attempts.hand_on(item)
        return not sum(place.lag for place in topics.lag("t", group="g"))

    def send(kind: str, count: int) -> None:
        with Producer(topics.get("t"), settings=Settings(_env_file=None)) as producer:
            producer.send_many(new_task(f"{kind}-{n}") for n in range(count))

    with Topics(MemoryTransport()) as topics:
        topics.create("t", partitions=1)
        send("old", 10)
        config = WorkerConfig(order="none")
        intake = Intake(topics.get("t"), name="i", group="g", work=Work(), config=config, on_record=lambda record: None)
        thread = threading.Thread(target=intake.run)
        thread.start()
        try:
            wait_until(hand_on, timeout=60, what="the old tasks were to be handed on")
            topics.recreate("t", partitions=1)
            send("new", number)
            wait_until(hand_on, timeout=60, what="the new tasks were to be handed on")
        finally:
            intake.stop()
            thread.join(60)
    assert set(handed_on) == {f"old-{n}" for n in range(10)} | {f"new-{n}" for n in range(number)}
