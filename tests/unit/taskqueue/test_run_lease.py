"""The thread that keeps leases outlives whatever goes wrong with one of them."""

from __future__ import annotations

import logging
import threading

import pytest

from labkit.errors import RedisUnreachable
from labkit.outage import Outage
from labkit.taskqueue.run_lease import LeaseRenewal


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
