"""Whether the holder of the lock goes on, as the others see it."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from labkit.jobs.follow_lock import BEAT, STANDSTILL, HolderWatch, LockHolder
from labkit.jobs.store import Store
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE
from tests.unit.clock import Clock


class Lock:
    """Held by somebody else."""

    def __init__(self):
        self.held_by, self.looks = LockHolder("Process 7", "1"), 0

    def holder(self):
        self.looks += 1
        return self.held_by


@pytest.fixture
def lock():
    return Lock()


@pytest.fixture
def clock():
    return Clock()


def seen(watch, clock, seconds):
    """What is seen at the end of so many seconds, in steps of a tenth."""
    for _ in range(round(seconds * 10)):
        clock.now += 0.1
        still = watch.stands_still()
    return still


def test_a_holder_that_says_nothing_stands_still_until_it_does(lock, clock):
    watch = HolderWatch(lock, clock)
    assert not watch.stands_still()
    assert not seen(watch, clock, STANDSTILL - 0.5)
    assert seen(watch, clock, 1)
    assert "Process 7 follows the topic for all and has stood still for 6 s" in watch.told()
    assert "kill -CONT" in watch.told()
    lock.held_by = LockHolder("Process 7", "2")
    assert not seen(watch, clock, BEAT)
    assert watch.told() == ""


def test_it_is_looked_for_once_a_second(lock, clock):
    watch = HolderWatch(lock, clock)
    seen(watch, clock, 3)
    assert lock.looks <= 4


def test_who_looks_for_the_first_time_waits(lock, clock):
    clock.now += 100
    watch = HolderWatch(lock, clock)
    clock.now += 100
    assert not watch.stands_still()
    assert watch.told() == ""


@pytest.mark.parametrize("what", ["goes_on", "forget"])
def test_it_is_waited_for_anew(what, lock, clock):
    watch = HolderWatch(lock, clock)
    watch.stands_still()
    assert seen(watch, clock, STANDSTILL + 1)
    getattr(watch, what)()
    assert watch.told() == ""
    assert not seen(watch, clock, STANDSTILL - 1)
    assert seen(watch, clock, 2)


def test_who_has_the_lock_of_a_file_is_told_to_the_others(url):
    with closing(Store(url)) as store, closing(Store(url)) as other:
        mine, others = store.follow_lock(), other.follow_lock()
        assert others.holder() is None
        assert mine.acquire()
        assert not others.acquire()
        first = others.holder()
        assert first.name == f"Process {os.getpid()}"
        others.beat()  # it is not its own
        assert others.holder() == first
        wait_until(
            lambda: mine.beat() or others.holder() != first, timeout=PATIENCE, what="it was to say that it goes on"
        )
        assert others.holder().name == first.name
        mine.release()
