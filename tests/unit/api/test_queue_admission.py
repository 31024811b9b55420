"""Doors that close when a queue is long, and tell how long to wait."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from labkit.api import queue_admission
from labkit.api.problems import Problem
from labkit.api.queue_admission import LONGEST, SHORTEST, QueueAdmission


class Queue:
    """A queue whose length the test sets, and a clock that it turns."""

    def __init__(self, limit: int) -> None:
        self.length = 0
        self.now = 0.0
        self.doors = QueueAdmission(self.lags, ["orders", "emails"], limit, clock=lambda: self.now)

    async def lags(self) -> dict[str, int]:
        return {"orders": self.length, "emails": 0}

    def seen(self, length: int, *, after: float = 1.0) -> None:
        self.length = length
        self.now += after
        asyncio.run(self.doors.look())

    def send(self, **counts: int) -> None:
        with self.doors.enter(Counter(counts)):
            pass


def refused(queue: Queue, **counts: int) -> Problem:
    with pytest.raises(Problem) as caught:
        queue.send(**counts)
    return caught.value


def test_what_was_let_in_counts_before_it_is_seen():
    queue = Queue(limit=10)
    queue.seen(0)
    for _ in range(10):
        queue.send(orders=1)
    assert refused(queue, orders=1).status == 429
    assert queue.doors.lags == {"orders": 10, "emails": 0}


def test_what_is_under_way_counts_until_a_look_that_began_after_it():
    queue = Queue(limit=10)
    with queue.doors.enter(Counter(orders=10)):
        queue.seen(0)  # it is not on the topic yet
        assert refused(queue, orders=1).status == 429
    queue.seen(10)
    assert queue.doors.lags["orders"] == 10


def test_the_refusal_names_the_queue_the_reason_and_the_time():
    queue = Queue(limit=10)
    queue.seen(12)
    problem = refused(queue, orders=1)
    assert problem.name == "queue-full"
    assert "orders is full: 12 tasks are not finished, and the limit is 10" in problem.detail
    assert int(problem.headers["Retry-After"]) == LONGEST, "nothing is taken out"


def test_the_time_is_that_in_which_the_queue_gets_short_enough():
    queue = Queue(limit=10)
    queue.seen(100)
    queue.seen(80)  # 20 in a second
    assert refused(queue, orders=1).headers["Retry-After"] == "4", "(80 - 9) / 20, rounded up"
    queue.seen(10, after=0.1)
    assert refused(queue, orders=1).headers["Retry-After"] == str(SHORTEST)


def test_it_opens_again():
    queue = Queue(limit=10)
    queue.seen(10)
    refused(queue, orders=1)
    queue.seen(9)
    queue.send(orders=5)
    refused(queue, orders=1)


def test_all_or_nothing_over_several_queues():
    queue = Queue(limit=10)
    queue.seen(10)
    refused(queue, emails=3, orders=1)
    assert queue.doors.lags["emails"] == 0
    queue.send(emails=3)
    assert queue.doors.lags["emails"] == 3


def test_what_is_let_in_while_we_look_is_counted_until_the_next_look():
    queue = Queue(limit=10)

    async def look_while_sending() -> None:
        look = asyncio.create_task(queue.doors.look())
        await asyncio.sleep(0)
        queue.send(orders=2)
        await look

    async def slow() -> dict[str, int]:
        length = queue.length
        await asyncio.sleep(0)
        return {"orders": length, "emails": 0}

    queue.doors = QueueAdmission(slow, ["orders", "emails"], 10, clock=lambda: queue.now)
    asyncio.run(look_while_sending())
    assert queue.doors.lags["orders"] == 2
    queue.seen(2)
    assert queue.doors.lags["orders"] == 2


def test_looking_goes_on_whatever_goes_wrong(monkeypatch, caplog):
    monkeypatch.setattr(queue_admission, "LOOK_INTERVAL", 0.001)
    looks = []

    async def lags():
        looks.append(1)
        if len(looks) in (2, 3):
            raise RuntimeError("a defect")
        return {"orders": len(looks)}

    async def look_on():
        admission = QueueAdmission(lags, ["orders"], 100)
        await admission.start()
        async with asyncio.timeout(60):
            while admission.lags["orders"] < 4:
                await asyncio.sleep(0)
        await admission.aclose()

    asyncio.run(look_on())
    assert caplog.text.count("is not known for now: a defect") == 1
