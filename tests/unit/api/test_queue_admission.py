"""Admission is refused when a queue is long, and it is told how long to wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.api import queue_admission
from labkit.api.messages.topic_log import QueueBacklog, RecordPosition
from labkit.api.problems import Problem
from labkit.api.queue_admission import LONGEST, SHORTEST, QueueAdmission


class Queue:
    """A topic to which the test writes and from which it takes, and a clock that it turns."""

    def __init__(self, limit: int) -> None:
        self.end = self.finished = 0
        self.now = 0.0
        self.admission = QueueAdmission(self.backlogs, ["orders", "emails"], limit, clock=lambda: self.now)

    async def backlogs(self) -> dict[str, QueueBacklog]:
        return {"orders": QueueBacklog(self.end - self.finished, {0: self.end}), "emails": QueueBacklog()}

    @property
    def length(self) -> int:
        return self.admission.lags["orders"]

    def look(self, *, after: float = 1.0) -> None:
        self.now += after
        asyncio.run(self.admission.look())

    def seen(self, length: int, *, after: float = 1.0) -> None:
        """Others have written or taken so many that this is how long it is."""
        change = length - (self.end - self.finished)
        self.end, self.finished = self.end + max(0, change), self.finished - min(0, change)
        self.look(after=after)

    def write(self, number: int = 1) -> list[RecordPosition]:
        """So many records come to the topic; a look may see them before anybody is told."""
        self.end += number
        return [RecordPosition(0, self.end - 1 - back) for back in range(number)]

    def send(self, **counts: int) -> None:
        with self.admission.enter(Counter(counts)) as entry:
            for queue, number in counts.items():
                entry.queued(queue, self.write(number))


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
    assert queue.admission.lags == {"orders": 10, "emails": 0}


def test_what_is_under_way_counts_and_once_only_whenever_a_look_sees_it():
    queue = Queue(limit=10)
    with queue.admission.enter(Counter(orders=10)) as entry:
        queue.look()  # it is not on the topic yet
        assert refused(queue, orders=1).status == 429
        positions = queue.write(10)
        queue.look()
        assert queue.length == 10
        entry.queued("orders", positions[:4])
        assert queue.length == 10
        entry.queued("orders", positions[4:])
    assert queue.length == 10
    queue.look()
    assert queue.length == 10


def test_what_a_request_did_not_queue_counts_no_more_when_it_is_over():
    queue = Queue(limit=10)
    with queue.admission.enter(Counter(orders=5)) as entry:
        entry.queued("orders", queue.write(2))  # the others were queued before, or were refused
        assert queue.length == 5
    assert queue.length == 2
    queue.look()
    assert queue.length == 2


def test_what_others_write_is_counted_too():
    queue = Queue(limit=10)
    with queue.admission.enter(Counter(orders=2)) as entry:
        own = queue.write(1)
        queue.write(3)  # another server's
        own += queue.write(1)
        queue.look()
        entry.queued("orders", own)
    assert queue.length == 5


def test_messages_of_a_topic_that_was_made_anew_are_forgotten():
    queue = Queue(limit=10)
    queue.send(orders=5)
    queue.end = 0
    queue.look()
    assert queue.length == 0


class Pause:
    """Awaited, it lets whoever runs the coroutine do something else meanwhile."""

    def __await__(self):
        yield


class Server:
    """One server, whose requests and looks go on step by step, in the order that the test says."""

    def __init__(self) -> None:
        self.end = self.finished = self.seen_finished = 0
        self.admission = QueueAdmission(self.backlogs, ["orders"], 1_000_000, clock=lambda: 0.0)
        self.requests: list[Request] = []
        self.look: Coroutine[None, None, None] | None = None

    async def backlogs(self) -> dict[str, QueueBacklog]:
        await Pause()  # whoever looks has begun, and Redis has not answered yet
        found = {"orders": QueueBacklog(self.end - self.finished, {0: self.end})}
        finished = self.finished
        await Pause()  # Redis has answered, and nobody has heard of it yet
        self.seen_finished = finished
        return found

    @property
    def length(self) -> int:
        """What counts: each message that is written or under way, but those that a look has seen finished."""
        return self.end - self.seen_finished + sum(request.unwritten for request in self.requests)

    def enter(self, number: int) -> None:
        self.requests.append(Request(self, 1 + number % 3))

    def write(self, number: int) -> None:
        for request in self.requests[number:][:1]:
            request.write()

    def tell(self, number: int) -> None:
        for request in self.requests[number:][:1]:
            request.tell()

    def leave(self, number: int) -> None:
        for request in self.requests[number:][:1]:
            self.requests.remove(request)
            request.leave()

    def finish(self, number: int) -> None:
        self.finished = min(self.end, self.finished + number)

    def go_on_looking(self, _number: int = 0) -> None:
        if self.look is None:
            self.look = self.admission.look()
        try:
            self.look.send(None)
        except StopIteration:
            self.look = None


class Request:
    """Some messages that were let in."""

    def __init__(self, server: Server, number: int) -> None:
        self.server, self.unwritten = server, number
        self.untold: list[RecordPosition] = []
        self.context = server.admission.enter(Counter(orders=number))
        self.entry = self.context.__enter__()

    def write(self) -> None:
        if self.unwritten:
            self.unwritten -= 1
            self.untold.append(RecordPosition(0, self.server.end))
            self.server.end += 1

    def tell(self) -> None:
        self.entry.queued("orders", self.untold)
        self.untold = []

    def leave(self) -> None:
        self.tell()
        self.context.__exit__(None, None, None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "write", "tell", "leave", "finish", "go_on_looking", "go_on_looking"]),
            st.integers(0, 4),
        )
    )
)
def test_every_message_counts_once_whenever_it_is_written_told_and_seen(steps):
    server = Server()
    for step, number in steps:
        getattr(server, step)(number)
        assert server.admission.lags["orders"] == server.length
    while server.look is not None:
        server.go_on_looking()


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
    assert queue.admission.lags["emails"] == 0
    queue.send(emails=3)
    assert queue.admission.lags["emails"] == 3


def test_what_is_let_in_while_we_look_counts_once_whether_it_was_seen_or_not():
    for seen in (False, True):
        queue = Queue(limit=10)

        async def look_while_sending(queue=queue, seen=seen) -> None:
            going_on = asyncio.Event()

            async def slow() -> dict[str, QueueBacklog]:
                early = await queue.backlogs()
                await going_on.wait()
                return await queue.backlogs() if seen else early

            queue.admission = QueueAdmission(slow, ["orders", "emails"], 10, clock=lambda: queue.now)
            look = asyncio.create_task(queue.admission.look())
            await asyncio.sleep(0)
            queue.send(orders=2)
            going_on.set()
            await look

        asyncio.run(look_while_sending())
        assert queue.length == 2


def test_looking_goes_on_whatever_goes_wrong(monkeypatch, caplog):
    monkeypatch.setattr(queue_admission, "LOOK_INTERVAL", 0.001)
    looks = []

    async def lags():
        looks.append(1)
        if len(looks) in (2, 3):
            raise RuntimeError("a defect")
        return {"orders": QueueBacklog(len(looks))}

    async def look_on():
        admission = QueueAdmission(lags, ["orders"], 100)
        await admission.start()
        async with asyncio.timeout(60):
            while admission.lags["orders"] < 4:
                await asyncio.sleep(0)
        await admission.aclose()

    asyncio.run(look_on())
    assert caplog.text.count("is not known for now: a defect") == 1
