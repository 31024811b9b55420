"""A task that is to run alone does, among threads and among processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from labkit.celery_app.exclusive_run import ExclusiveRun
from labkit.taskqueue.timeouts import wait_until

#: For what comes at once on an idle computer, in seconds.
PATIENCE = 30.0


class InThread:
    """Somebody who runs in a thread until let go."""

    def __init__(self, lock: ExclusiveRun, *, alone: bool) -> None:
        self.runs = threading.Event()
        self._go = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(lock, alone))
        self._thread.start()

    def _run(self, lock: ExclusiveRun, alone: bool) -> None:
        with lock.running(alone=alone):
            self.runs.set()
            assert self._go.wait(PATIENCE)

    def end(self) -> None:
        self._go.set()
        self._thread.join(PATIENCE)


class InProcess:
    """Somebody who runs in a forked process until let go, or killed."""

    def __init__(self, lock: ExclusiveRun, *, alone: bool) -> None:
        self.runs = threading.Event()
        self._begun, begun = os.pipe()
        go, self._go = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._go)
            with lock.running(alone=alone):
                os.write(begun, b".")
                os.read(go, 1)
            os._exit(0)
        os.close(begun), os.close(go)
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        if os.read(self._begun, 1):
            self.runs.set()

    def end(self) -> None:
        os.write(self._go, b".")
        self._reap()

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        os.waitpid(self._pid, 0)
        os.close(self._go), os.close(self._begun)


# Celery forks its processes too, before it has other threads
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture(params=[InThread, InProcess])
def run(request: pytest.FixtureRequest) -> Callable[[bool], InThread | InProcess]:
    lock = ExclusiveRun()
    return lambda alone: request.param(lock, alone=alone)


@contextmanager
def running(run, *, alone: bool):
    one = run(alone)
    assert one.runs.wait(PATIENCE)
    yield one
    one.end()


def test_those_beside_each_other_do_not_wait(run):
    with running(run, alone=False), running(run, alone=False), running(run, alone=False):
        pass


def test_who_is_alone_waits_for_the_others_and_goes_before_those_who_come_later(run):
    with running(run, alone=False):
        alone = run(True)
        assert not alone.runs.wait(0.1)
        later = run(False)
        assert not later.runs.wait(0.1)
    assert alone.runs.wait(PATIENCE)
    assert not later.runs.is_set()
    alone.end()
    assert later.runs.wait(PATIENCE)
    later.end()


def test_two_who_are_alone_are_so_one_after_the_other(run):
    with running(run, alone=True):
        second = run(True)
        assert not second.runs.wait(0.1)
    assert second.runs.wait(PATIENCE)
    second.end()


def test_a_process_that_dies_alone_holds_nobody_up():
    lock = ExclusiveRun()
    alone = InProcess(lock, alone=True)
    assert alone.runs.wait(PATIENCE)
    waits = InProcess(lock, alone=False)
    alone.kill()
    wait_until(waits.runs.is_set, timeout=PATIENCE, what="it was to run")
    waits.end()


def test_an_error_inside_lets_others_in():
    lock = ExclusiveRun()
    for alone in (True, False, True):
        with pytest.raises(ValueError, match="x"), lock.running(alone=alone):
            raise ValueError("x")
