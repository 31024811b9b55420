"""The thread that keeps leases outlives whatever goes wrong with one of them."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack

import pytest

from labkit.errors import RedisRefused, RedisUnreachable
from labkit.outage import Outage
from labkit.taskqueue.run_lease import LeaseRenewal
from labkit.taskqueue.timeouts import wait_until
from tests.refused_threads import refuse_threads


class Lease:
    """Fails twice to be renewed."""

    key = "once:1"

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._calls = 0
        self.renewed = threading.Event()

    def renew(self) -> None:
        self._calls += 1
        if self._calls < 3:
            raise self._error
        self.renewed.set()

    def give_back(self) -> None: ...


@pytest.mark.parametrize("error", [RuntimeError("a defect"), RedisUnreachable("away")])
def test_a_lease_that_cannot_be_kept_now_is_kept_later(error, caplog):
    lease = Lease(error)
    renewal = LeaseRenewal(0.01, Outage(logging.getLogger("labkit.worker"), "@once", "Redis"))
    with renewal.renewing(lease):
        assert lease.renewed.wait(60)
    assert caplog.text.count("waits for Redis") == 1


class Refused(Lease):
    """Redis refuses all that is asked for it."""

    key = "once:2"

    def __init__(self) -> None:
        super().__init__(RedisRefused())

    def renew(self) -> None:
        self.renewed.set()
        raise self._error

    def finish(self) -> None:
        raise self._error


def test_a_lease_that_redis_refuses_keeps_no_other_from_its_renewal(caplog):
    renewal = LeaseRenewal(0.01, Outage(logging.getLogger("labkit.worker"), "@once", "Redis"))
    others = [Lease(RedisUnreachable("away")) for _ in range(4)]
    with ExitStack() as stack:
        for lease in (leases := (Refused(), *others)):
            stack.enter_context(renewal.renewing(lease))
        assert all(lease.renewed.wait(60) for lease in leases)
        is_said = lambda: "another may begin" in caplog.text  # noqa: E731
        wait_until(is_said, timeout=60, what="the refusal was to be said")
    assert caplog.text.count("another may begin") == 1


def test_a_run_that_has_had_its_effect_is_done_although_redis_refuses_its_mark(caplog):
    renewal = LeaseRenewal(0.01, Outage(logging.getLogger("labkit.worker"), "@once", "Redis"))
    renewal.finish(Refused())
    assert "a redelivery of this task is not recognised" in caplog.text
    assert not renewal.mark(Refused.key)


class Unmarked(Lease):
    """Its run has ended while Redis was away, and its mark cannot be made for long."""

    def __init__(self, beside: Lease) -> None:
        super().__init__(RedisUnreachable("away"))
        self.beside = beside
        self.may_be_marked = threading.Event()

    def finish(self) -> None:
        if not self.beside.renewed.is_set():
            raise self._error
        self.may_be_marked.set()


def test_marks_that_are_missing_keep_no_run_from_the_renewal_of_its_lease():
    renewal = LeaseRenewal(0.01, Outage(logging.getLogger("labkit.worker"), "@once", "Redis"))
    running = Lease(RuntimeError("a defect"))
    ended = Unmarked(running)
    renewal.finish(ended)
    with renewal.renewing(running):
        assert ended.may_be_marked.wait(60)


def test_a_lease_that_no_thread_can_keep_is_kept_by_none_later_either(monkeypatch):
    """Its run has never begun, and another may begin when the lease is over."""
    renewal = LeaseRenewal(0.01, Outage(logging.getLogger("labkit.worker"), "@once", "Redis"))
    never, later = Lease(RedisUnreachable("away")), Lease(RedisUnreachable("away"))
    with monkeypatch.context() as patch:
        refuse_threads(patch, "labkit-leases")
        with pytest.raises(RuntimeError, match="can't start new thread"), renewal.renewing(never):
            pytest.fail("it runs")
    with renewal.renewing(later):
        assert later.renewed.wait(60)
    assert never._calls == 0
