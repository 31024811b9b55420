"""Who has waited in vain is told how far it has come, at what rate, and what to do."""

from __future__ import annotations

import threading

import pytest

from labkit.errors import DeadlineExceeded
from labkit.taskqueue import Producer, Retry, Topics, WorkerGroup, new_task
from labkit.taskqueue.pace import Pace
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.worker_group.drain import shares, wait_for_count
from tests.unit.clock import Clock


def test_what_was_done_and_how_long_the_rest_takes():
    clock = Clock(0.0)
    pace = Pace(10, clock)
    clock.now += 4.0
    assert pace.so_far(30, "tasks were done") == "20 tasks were done meanwhile (5.0 a second)"
    assert pace.advice(30, 10, "look").startswith("At that rate the rest takes 2.0 s: give a longer `timeout`")


def test_where_nothing_moves_the_way_on_is_another():
    assert Pace(10).advice(10, 5, "end what hangs") == "Nothing has moved: end what hangs."
    assert Pace(10).advice(3, 5, "end what hangs") == "Nothing has moved: end what hangs."


def test_a_drain_in_vain_tells_what_is_done_and_left_and_what_to_do():
    gate = threading.Event()

    def work(task):
        if task.payload == "last":
            gate.wait(60)

    topics = Topics(MemoryTransport())
    topic = topics.create("t", partitions=1)
    with Producer(topic) as producer, WorkerGroup(topic, handler=work, retry=Retry(attempts=1)) as group:
        producer.send_many([new_task("a", "last")])
        with pytest.raises(DeadlineExceeded) as told:
            group.drain(timeout=0.5)
        gate.set()
        group.drain(timeout=60)
    assert "0 tasks were done meanwhile (0.0 a second), and 1 are left." in str(told.value)
    assert "Nothing has moved: see what the workers say" in str(told.value)


def test_a_worker_that_did_too_little_is_told_by_number_and_rate():
    with pytest.raises(
        DeadlineExceeded, match=r"^Waited 0 s in vain: w was to work on 5 tasks\. 0 were done .* 2 are left"
    ):
        wait_for_count(lambda: 3, 5, timeout=0, who="w")


def test_who_has_which_partitions():
    assert shares({"a": (0, 1), "b": ()}).startswith("Now a has 0, 1; b has none. ")
