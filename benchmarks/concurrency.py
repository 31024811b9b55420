"""Many tasks at once from few partitions: against the ideal, and against one at a time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from benchmarks.handlers import NAP, nap
from benchmarks.shift import HOW, Shift, work_off
from labkit.lab import Lab
from labkit.settings import TransportName
from labkit.taskqueue import Producer, Topic, connect, new_task, uniform
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.task import Task

REPEATS = 3
THREADS_TASKS, THREADS_KEYS, THREADS = 10_000, 1_000, 16
SERVICE = uniform(0, 0.005, seed=1)
ASYNCIO_TASKS, ASYNCIO_KEYS, ASYNCIO_PARTITIONS = 2_000, 100, 4
#: As many coroutines at once as there are keys: more can't run, since those of a key go one after the other.
COROUTINES = ASYNCIO_KEYS

TRANSPORTS: tuple[TransportName, ...] = ("kafka-python", "confluent-kafka")


def measure() -> Iterator[Figure]:
    """Three figures per transport."""
    with Lab() as lab:
        for transport in TRANSPORTS:
            yield from _threads(lab, transport)
            yield _asyncio(lab, transport)


def _threads(lab: Lab, transport: TransportName) -> Iterator[Figure]:
    tasks = _tasks(THREADS_TASKS, THREADS_KEYS)
    work = Work(SERVICE)
    together = WorkerConfig(order="key", concurrency=THREADS)
    alone = WorkerConfig(order="key", concurrency=1)
    shifts: list[Shift] = []

    def sixteen() -> float:
        shifts.append(work_off(topic, len(tasks), work, together))
        return shifts[-1].seconds

    with _filled(lab, transport, tasks, partitions=1) as topic:
        at_once, one_by_one = alternate(
            sixteen, lambda: work_off(topic, len(tasks), work, alone).seconds, repeats=REPEATS
        )
    ideal = ideal_time(tasks, THREADS)
    load = (
        f"{len(tasks)} tasks of 0 to 5 ms (uniform, a `time.sleep` of what was drawn), 1 partition, {THREADS} threads, "
        f"{THREADS_KEYS} keys, order by key, over {transport}. {HOW}"
    )
    yield measured(
        f"concurrency_threads_{transport}",
        f"{THREADS} threads on 1 partition, in the order of keys: share of the ideal time ({transport})",
        [ideal / seconds for seconds in at_once],
        unit="share",
        better="higher",
        at_least=0.80,
        aim=0.92,
        how=load,
        rival=f"the sum of the drawn service times over {THREADS}: nobody overshoots, waits or fetches.",
        beside={
            "the ideal in s": ideal,
            "labkit in s": statistics.median(at_once),
            "share of the ideal from the first task received on": statistics.median(
                ideal / _since_first_received(shift) for shift in shifts
            ),
            "how long the sleeps took over what was drawn": statistics.median(
                _slept(shift) / (ideal * THREADS) for shift in shifts
            ),
        },
    )
    yield measured(
        f"concurrency_threads_speedup_{transport}",
        f"{THREADS} threads on 1 partition, in the order of keys: speed-up over one at a time ({transport})",
        ratios(one_by_one, at_once),
        unit="x",
        better="higher",
        at_least=12,
        aim=14,
        how=load,
        rival="the same worker on the same tasks, all of them, with `concurrency=1`.",
        beside={"labkit in s": statistics.median(at_once), "one at a time in s": statistics.median(one_by_one)},
    )


def _asyncio(lab: Lab, transport: TransportName) -> Figure:
    tasks = _tasks(ASYNCIO_TASKS, ASYNCIO_KEYS)
    together = WorkerConfig(order="key", executor="asyncio", concurrency=COROUTINES)
    alone = WorkerConfig(order="key", executor="asyncio", concurrency=1)
    with _filled(lab, transport, tasks, partitions=ASYNCIO_PARTITIONS) as topic:
        at_once, one_by_one = alternate(
            lambda: work_off(topic, len(tasks), Work(nap), together).seconds,
            lambda: work_off(topic, len(tasks), Work(nap), alone).seconds,
            repeats=REPEATS,
        )
    return measured(
        f"concurrency_asyncio_speedup_{transport}",
        f"asyncio handlers on {ASYNCIO_PARTITIONS} partitions, in the order of keys: speed-up over one at a time "
        f"({transport})",
        ratios(one_by_one, at_once),
        unit="x",
        better="higher",
        at_least=17.5,
        aim=25,
        how=f"{len(tasks)} tasks of {NAP * 1000:g} ms (`asyncio.sleep`), {ASYNCIO_PARTITIONS} partitions, "
        f"{ASYNCIO_KEYS} keys, order by key, `concurrency={COROUTINES}`, over {transport}. {HOW}",
        rival="the same worker on the same tasks, all of them, with `concurrency=1`.",
        beside={"labkit in s": statistics.median(at_once), "one at a time in s": statistics.median(one_by_one)},
    )


def ideal_time(tasks: Sequence[Task], threads: int) -> float:
    """The drawn service times, spread evenly over the threads, in seconds."""
    return sum(SERVICE.draw(task.id) for task in tasks) / threads


def _tasks(count: int, keys: int) -> list[Task]:
    return [new_task("nap", key=f"key-{number % keys}") for number in range(count)]


@contextmanager
def _filled(lab: Lab, transport: TransportName, tasks: Sequence[Task], *, partitions: int) -> Iterator[Topic]:
    name = f"concurrency-{uuid4().hex}"
    with connect(lab, transport=transport) as topics, topics.fresh(name, partitions=partitions) as topic:
        with Producer(topic) as producer:
            producer.send_many(tasks)
        yield topic


def _since_first_received(shift: Shift) -> float:
    return max(record.finished_at for record in shift.records) - min(record.received_at for record in shift.records)


def _slept(shift: Shift) -> float:
    return sum(record.finished_at - record.started_at for record in shift.records)
