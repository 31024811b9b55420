"""The figure of tasks done past a slow one."""

import pytest

from benchmarks import slow_task
from labkit.taskqueue import Producer, Topics, new_task
from labkit.taskqueue.transport.memory import MemoryTransport


def test_the_rates_are_those_of_the_second_part_and_of_the_last():
    moments = [0.1 * n for n in range(80)] + [8.0 + 0.2 * n for n in range(20)]
    first, last = slow_task._rates(moments)
    assert first == pytest.approx(10)
    assert last == pytest.approx(5)


def test_every_quick_task_is_done_while_the_slow_one_runs(monkeypatch):
    monkeypatch.setattr(slow_task, "TASKS", 50)
    topics = Topics(MemoryTransport())
    with topics.fresh("slow", partitions=1) as topic:
        with Producer(topic) as producer:
            producer.send_many([new_task("slow"), *(new_task("quick") for _ in range(50))])
        moments, cpu_moments = slow_task._moments(topic)
    assert moments == sorted(moments)
    assert len(moments) == len(cpu_moments) == 50


def test_what_a_commit_is_made_of_is_made_in_no_time(monkeypatch):
    monkeypatch.setattr(slow_task, "FAR", 1000)
    assert slow_task._commit_seconds() > 0
