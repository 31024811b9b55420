"""A partition that is stopped, because its dead letters are refused, and the group around it, in memory."""

from __future__ import annotations

import threading

import pytest

from labkit.settings import Settings
from labkit.taskqueue import WorkerGroup, new_task
from labkit.taskqueue.engine.fetcher import Fetcher
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.worker_group.membership import Membership
from tests.conditions import PATIENCE

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


@pytest.fixture
def turns(monkeypatch):
    """Per fetcher, the numbers of partitions that it was to bound, one entry per turn of its worker that went well."""
    seen: dict[Fetcher, list[int]] = {}
    real = Fetcher.bound

    def bound(fetcher, held, places, stopped=()):
        real(fetcher, held, places, stopped)
        seen.setdefault(fetcher, []).append(len(places))

    monkeypatch.setattr(Fetcher, "bound", bound)
    return seen


def send(topics: Topics, partition: int, *kinds: str) -> None:
    with Producer(topics.get("t"), settings=SETTINGS, partitioner=lambda _key, _count: partition) as producer:
        producer.send_many(new_task(kind) for kind in kinds)


def test_it_survives_a_rebalance_that_waits_for_another_member(topics, turns):
    """The worker gives up its partitions, and polls on without any before it gets others."""
    topics.create("t", partitions=4)
    topics.create("t.dead", partitions=1, config={"max.message.bytes": "50"})
    is_held, may_end = threading.Event(), threading.Event()

    def handler(task):
        if task.kind == "bad":
            raise ValueError("no")
        if task.kind == "slow":
            is_held.set()
            assert may_end.wait(PATIENCE)

    how = {"group": "g", "handler": handler, "retry": Retry(attempts=1), "settings": SETTINGS}
    with WorkerGroup(topics.get("t"), workers=2, **how) as group:
        send(topics, 0, "bad", "stuck")
        send(topics, 1, "slow")
        worker = group._members["worker-1"]._worker
        wait_until(lambda: bool(worker._assigned.stopped()), timeout=PATIENCE, what="partition 0 was to be stopped")
        assert is_held.wait(PATIENCE)
        turns.clear()
        group.begin_to_add()
        without = lambda: 0 in turns.get(worker._fetcher, []) or group.dead()  # noqa: E731
        wait_until(without, timeout=PATIENCE, what="worker-1 was to poll without partitions")
        may_end.set()
        group.wait_until_balanced(timeout=PATIENCE)
        assert not group.dead()
        send(topics, 2, "good")
        kinds = lambda: set(group.records().query("outcome == 'done'")["kind"])  # noqa: E731
        wait_until(lambda: "good" in kinds(), timeout=PATIENCE, what="the others were to go on")
        wait_until(_is_stopped(group), timeout=PATIENCE, what="partition 0 was to be stopped again")


def test_letters_that_have_no_room_in_the_commit_leave_room_for_the_tasks_of_other_partitions(monkeypatch):
    monkeypatch.setattr("labkit.taskqueue.engine.offset_metadata.MAX_METADATA_BYTES", 10)
    may_end, good = threading.Event(), threading.Event()

    def handler(task):
        if task.kind == "bad":
            raise ValueError("no")
        if task.kind == "slow":
            assert may_end.wait(PATIENCE)
        if task.kind == "good":
            good.set()

    how = {"group": "g", "handler": handler, "retry": Retry(attempts=1), "settings": SETTINGS}
    how |= {"order": "none", "concurrency": 2, "membership": Membership(max_in_flight=3)}
    with Topics(MemoryTransport()) as topics:
        topics.create("t", partitions=2)
        with WorkerGroup(topics.get("t"), workers=1, **how) as group:
            send(topics, 0, "slow", *["bad"] * 6)
            worker = group._members["worker-1"]._worker
            wait_until(lambda: bool(worker._assigned.stopped()), timeout=PATIENCE, what="partition 0 was to be stopped")
            wait_until(lambda: worker._held() <= 1, timeout=PATIENCE, what="the slow one alone was to take up room")
            send(topics, 1, "good")
            assert good.wait(PATIENCE)
            may_end.set()
            group.drain(timeout=PATIENCE)
            assert not worker._assigned.stopped()
        assert sum(topics.end_offsets("t.dead").values()) == 6


def _is_stopped(group: WorkerGroup):
    return lambda: any(member._worker._assigned.stopped() for member in group._members.values())
