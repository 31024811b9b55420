"""Clients that are given up: who waits for their close, and who must not."""

from __future__ import annotations

import logging
import threading

import pytest

from labkit.errors import DeadlineExceeded, NotAcknowledged
from labkit.taskqueue.transport.retirement import Retirement, call_back


def test_a_close_is_waited_for_with_a_limit():
    retirement = Retirement()
    closed = retirement.announce()
    with pytest.raises(DeadlineExceeded, match="to close"):
        retirement.wait(0.01)
    retirement.close(closed, lambda: None)
    retirement.wait(0.0)


def test_a_close_that_fails_is_over_and_says_why():
    def fail():
        raise NotAcknowledged("what a receipt was answered by")

    retirement = Retirement()
    with pytest.raises(NotAcknowledged, match="answered"):
        retirement.close(retirement.announce(), fail)
    retirement.wait(0.0)


def test_in_a_callback_a_client_is_closed_on_another_thread_and_nobody_waits_for_it(caplog):
    """The callback may run on the thread for whose end the close waits."""
    retirement, may_close, threads = Retirement(), threading.Event(), []

    def close():
        threads.append(threading.current_thread())
        assert may_close.wait(60)
        raise NotAcknowledged("in vain")

    def on_receipt():
        retirement.close(retirement.announce(), close)
        retirement.wait(0.0)

    with caplog.at_level(logging.ERROR, "labkit.transport"):
        call_back(on_receipt)
        with pytest.raises(DeadlineExceeded):
            retirement.wait(0.0)
        may_close.set()
        retirement.wait(60)
        threads[0].join(60)
    assert threads[0] is not threading.current_thread()
    assert "in vain" in caplog.text
