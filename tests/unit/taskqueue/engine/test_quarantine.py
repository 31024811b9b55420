"""Suspected tasks on several partitions of one worker: nothing runs beside them, and no other is blamed."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import closing, suppress

import pytest

from labkit.errors import TransportError
from labkit.settings import Settings
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.engine.partition_state import DELIVERIES, UNCLEAN_STARTS
from labkit.taskqueue.engine.worker_config import Retry, WorkerConfig
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import Task, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, TopicPartition
from labkit.taskqueue.transport.memory import MemoryConsumer, MemoryTransport
from labkit.taskqueue.worker_group.worker import Worker

TIMEOUT = 60.0
#: So many turns of the worker are more than it takes to begin a task that may begin.
TURNS = 3


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def topics(now):
    with Topics(MemoryTransport(clock=lambda: now[0])) as topics:
        yield topics


@pytest.fixture
def turns(monkeypatch):
    """How often the worker has polled."""
    count, poll = [0], MemoryConsumer.poll

    def counted(consumer, *how):
        count[0] += 1
        return poll(consumer, *how)

    monkeypatch.setattr(MemoryConsumer, "poll", counted)
    return count


def send(topics: Topics, *tasks: Task, to: int) -> None:
    settings = Settings(_env_file=None)
    with Producer(topics.get("t"), settings=settings, partitioner=lambda key, partitions: to) as producer:
        producer.send_many(tasks)


def numbered(partition: int, count: int) -> list[Task]:
    return [
        new_task("k", {"partition": partition, "offset": offset}, key=f"key-{offset % 3}") for offset in range(count)
    ]


def suspect(topics: Topics, *partitions: int) -> None:
    """As if workers had died as soon as they had begun with these partitions."""
    position = Position(0, OffsetMetadata(starts=UNCLEAN_STARTS).encode(0))
    with closing(topics.transport.consumer(ConsumerConfig(group="g"))) as died:
        died.commit({TopicPartition("t", partition): position for partition in partitions})


def worker_on(topics: Topics, handler, records, clock=time.time, **how) -> Worker:
    config = WorkerConfig(**{"retry": Retry(attempts=2, first=0), "max_in_flight": 20} | how)
    work = Work(handler)
    topic = topics.get("t")
    return Worker(topic, name="w", group="g", work=work, config=config, on_record=records.append, clock=clock)


def lag(topics: Topics) -> int:
    return sum(place.lag for place in topics.lag("t", group="g"))


def announced_alone(topics: Topics) -> dict[int, int]:
    """The tasks for which the broker has a start alone: by their partitions, their offsets."""
    committed = topics._client.committed("g", "t")
    known = {number: OffsetMetadata.decode(text, offset) for number, (offset, text) in committed.items()}
    return {number: committed[number].offset for number, found in known.items() if found.alone_until and found.starts}


@pytest.mark.parametrize("order", ["partition", "key", "none"])
@pytest.mark.parametrize("suspected", [(0, 1), (0,), (1,)])
def test_nothing_runs_beside_a_suspected_task_nor_does_the_broker_count_another_start(topics, turns, order, suspected):
    """Not even one that is done: whatever this one does to the worker is laid to no other."""
    topics.create("t", partitions=2)
    for partition in (0, 1):
        send(topics, *numbered(partition, 8), to=partition)
    suspect(topics, *suspected)
    lock, running, seen, beside = threading.Lock(), [], [], []

    def handler(task):
        with lock:
            running.append(task.payload["partition"])
        begun = turns[0]
        wait_until(lambda: turns[0] > begun + TURNS, timeout=TIMEOUT, what="the worker was to make some turns")
        with lock:
            if task.payload["partition"] in suspected:
                beside.append([other for other in running if other != task.payload["partition"]])
                seen.append((announced_alone(topics), {task.payload["partition"]: task.payload["offset"]}))
            else:
                beside.append([other for other in running if other in suspected])
                beside.append(list(announced_alone(topics)))
            running.remove(task.payload["partition"])

    records = []
    worker = worker_on(topics, handler, records, order=order, concurrency=4)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: lag(topics) == 0, timeout=TIMEOUT, what="the queue was to empty")
    worker.stop()
    thread.join(TIMEOUT)
    assert [record.outcome for record in records] == ["done"] * 16
    assert not any(beside)
    assert len(seen) == 8 * len(suspected)
    assert all(announced == mine for announced, mine in seen)


def test_a_clock_that_was_set_back_keeps_no_suspected_task_from_its_turn(topics, turns):
    """First come, first served, whatever time it was then."""
    topics.create("t", partitions=2)
    send(topics, *numbered(1, 2), to=1)
    suspect(topics, 0, 1)
    times, order = itertools.count(0.0, -60.0), []

    def handler(task):
        if not order:
            send(topics, *numbered(0, 4), to=0)
            begun = turns[0]
            wait_until(lambda: turns[0] > begun + TURNS, timeout=TIMEOUT, what="these were to be received")
        order.append(task.payload["partition"])

    worker = worker_on(topics, handler, [], clock=lambda: next(times))
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: lag(topics) == 0, timeout=TIMEOUT, what="the queue was to empty")
    worker.stop()
    thread.join(TIMEOUT)
    assert order == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_suspected_task_that_only_fails_holds_up_nobody(topics, attempts):
    topics.create("t", partitions=2)
    for partition in (0, 1):
        send(topics, *numbered(partition, 10), to=partition)
    suspect(topics, 0, 1)

    def handler(task):
        if task.payload["offset"] % 4 == 0:
            raise ValueError("no")

    records = []
    worker = worker_on(topics, handler, records, retry=Retry(attempts=attempts, first=0), concurrency=4)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: lag(topics) == 0, timeout=TIMEOUT, what="the queue was to empty")
    worker.stop()
    thread.join(TIMEOUT)
    assert len(DeadLetters(topics, "t").list()) == 6
    assert sum(record.outcome == "done" for record in records) == 14


@pytest.mark.parametrize("killers", [{0}, {1}, {0, 1}])
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("at", [pytest.param(0, marks=pytest.mark.long), 3])
def test_only_what_kills_becomes_a_dead_letter(topics, now, turns, killers, concurrency, at):
    """A worker dies with the killer some turns after it has begun: whatever may begin beside it has."""
    topics.create("t", partitions=2)
    for partition in (0, 1):
        send(topics, *numbered(partition, 6), to=partition)
    calls: dict[tuple[int, int], int] = {}
    records = []

    def live() -> bool:
        """Whether the worker empties the queue; it dies with the killer."""
        died = threading.Event()

        def handler(task):
            partition, offset = task.payload["partition"], task.payload["offset"]
            if died.is_set():
                return  # nobody is there any more
            calls[partition, offset] = calls.get((partition, offset), 0) + 1
            if offset == at and partition in killers:
                begun = turns[0]
                wait_until(lambda: turns[0] > begun + TURNS or died.is_set(), timeout=TIMEOUT, what="turns")
                worker._client.crash()
                died.set()

        worker = worker_on(topics, handler, records, concurrency=concurrency)

        def run():
            with suppress(TransportError):  # its client was closed under it
                worker.run()

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: not thread.is_alive() or lag(topics) == 0, timeout=TIMEOUT, what="one of the two")
        worker.stop()
        thread.join(TIMEOUT)
        now[0] += 100.0
        return lag(topics) == 0

    # a start counts no more when what was done before the killer moves the commit point: each of these tasks may, once
    most = DELIVERIES + at
    lives = 1
    while not live():
        lives += 1
        assert lives <= len(killers) * most + 1
    letters = {(letter.partition, letter.offset): letter for letter in DeadLetters(topics, "t").list()}
    assert letters.keys() == {(partition, at) for partition in killers}
    assert all(letter.error.startswith("KillsItsWorker") for letter in letters.values())
    assert all(calls[place] <= most for place in letters)
