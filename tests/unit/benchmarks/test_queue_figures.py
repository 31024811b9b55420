"""The figures of concurrency and against other queues: the ideal, the shift of one worker, the rivals' settings."""

import sys

import pytest

from benchmarks import redis_rivals
from benchmarks.concurrency import ideal_time
from benchmarks.handlers import count_up, nothing
from benchmarks.queues import BOUNDS, RIVAL_TASKS, settings
from benchmarks.redis_rivals import CELERY, DRAMATIQ, fastest_threads
from benchmarks.shift import work_off
from labkit.taskqueue import Producer, Topics, new_task
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.transport.memory import MemoryTransport


def test_the_ideal_is_the_mean_service_time_spread_over_the_threads():
    tasks = [new_task("nap") for _ in range(4_000)]
    assert ideal_time(tasks, 16) == pytest.approx(4_000 * 0.0025 / 16, rel=0.05)


def test_a_shift_does_all_tasks_and_leaves_the_interpreter_as_it_was():
    interval = sys.getswitchinterval()
    topics = Topics(MemoryTransport())
    with topics.fresh("shift", partitions=1) as topic:
        with Producer(topic) as producer:
            producer.send_many(new_task("nothing") for _ in range(50))
        shift = work_off(topic, 50, Work(nothing), WorkerConfig(order="none", concurrency=4))
    assert len(shift.records) == 50
    assert 0 < shift.seconds < 60
    assert sys.getswitchinterval() == interval


def test_handlers_can_be_imported_by_another_process():
    described = Work(count_up).describe()
    assert Work.of(described).function() is count_up


def test_the_rivals_are_given_the_number_of_threads_that_suits_them_best(monkeypatch):
    rates = {1: 500.0, 2: 900.0, 4: 700.0, 8: 100.0, 16: 800.0}
    monkeypatch.setattr(redis_rivals, "rate", lambda rival, url, tasks, threads: rates[threads])
    assert fastest_threads(CELERY, "unix:///nowhere", 10) == 2
    assert settings(DRAMATIQ, 2)["threads"] == "2, the fastest of (1, 2, 4, 8)"


def test_every_rival_has_a_bound_and_a_load():
    assert all(set(bounds) == set(RIVAL_TASKS) for bounds in BOUNDS.values())
