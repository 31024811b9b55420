"""The thread that makes a client's calls, and an owner that waits for none longer than it wants."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from labkit.taskqueue.transport.confluent import client_thread
from labkit.taskqueue.transport.confluent.client_thread import ClientThread
from tests.conditions import in_time

TIMEOUT = 30.0


@pytest.fixture
def hang():
    """A call that hangs until it is let go, and the event by which it is."""
    let_go = threading.Event()
    yield let_go
    let_go.set()


@pytest.fixture
def thread():
    thread = ClientThread("test")
    yield thread
    assert thread.end(TIMEOUT)


def done(thread, function, timeout=TIMEOUT, *, callbacks=False):
    order = thread.order(function)
    assert thread.wait(order, timeout, callbacks=callbacks)
    return order.answer()


def test_calls_are_made_in_their_order_on_one_thread(thread):
    made = []
    for number in range(5):
        thread.order(lambda number=number: made.append(number))
    assert done(thread, lambda: threading.current_thread().name) == "test"
    assert made == [0, 1, 2, 3, 4]


def test_what_a_call_raises_comes_out_where_its_answer_is_wanted(thread):
    order = thread.order(lambda: 1 / 0)
    assert thread.wait(order, TIMEOUT)
    with pytest.raises(ZeroDivisionError):
        order.answer()


def test_a_call_that_hangs_is_not_waited_for_and_later_ones_are_made_behind_it(thread, hang):
    hanging = thread.order(hang.wait)
    behind = thread.order(lambda: "behind")
    assert not thread.wait(hanging, 0.05)
    assert not thread.wait(behind, 0.05)
    hang.set()
    assert thread.wait(behind, TIMEOUT)
    assert behind.answer() == "behind"


def test_what_is_called_back_runs_in_the_owner_and_may_order_more(thread):
    owner, seen = threading.current_thread(), []

    def called_back():
        seen.append((threading.current_thread(), done(thread, lambda: threading.current_thread().name)))

    assert done(thread, lambda: thread.call_owner(called_back) or "after", callbacks=True) == "after"
    assert seen == [(owner, "test")]


def test_the_owners_own_time_does_not_count(thread, monkeypatch):
    """What is called back takes no time but by the clock, by which it takes more than there is to wait."""
    passed, seen = [0.0], []
    now = lambda: time.monotonic() + passed[0]  # noqa: E731
    monkeypatch.setattr(client_thread, "time", SimpleNamespace(monotonic=now))
    monkeypatch.setattr(client_thread, "left_until", lambda deadline: max(0.0, deadline - now()))

    def called_back():
        passed[0] += 10 * TIMEOUT
        seen.append(threading.current_thread())

    def long():
        for _ in range(20):
            thread.call_owner(called_back)
        return "after"

    assert done(thread, long, callbacks=True) == "after"
    assert seen == [threading.current_thread()] * 20


def test_a_call_back_that_came_too_late_is_run_with_the_next_wait_that_wants_it(thread, hang):
    """Whether it came before that, or within it; meanwhile the thread does what is ordered."""
    for is_there in (True, False):
        seen = []
        late = thread.order(lambda seen=seen: hang.wait() and thread.call_owner(lambda: seen.append("late")))
        assert not thread.wait(late, 0.05, callbacks=True)
        hang.set()
        if is_there:
            assert done(thread, lambda: "next") == "next"
            assert not late.done
            assert not seen
        assert done(thread, lambda: "after", callbacks=True) == "after"
        assert thread.wait(late, TIMEOUT, callbacks=True)
        assert seen == ["late"]
        hang.clear()


def test_what_is_called_back_within_a_callback_is_run_at_once(thread):
    seen = []

    def called_back():
        done(thread, lambda: thread.call_owner(lambda: seen.append("inner")))
        seen.append("outer")

    done(thread, lambda: thread.call_owner(called_back), callbacks=True)
    assert seen == ["inner", "outer"]


def test_a_thread_that_hangs_is_left_behind_and_ends_when_it_is_let_go(hang):
    thread = ClientThread("left behind")
    thread.order(hang.wait)
    assert not in_time(lambda: thread.end(0.05), within=TIMEOUT)
    hang.set()
    assert thread.end(TIMEOUT)


def test_it_ends_also_inside_a_call_back_that_nobody_ran(hang):
    thread = ClientThread("abandoned")
    thread.order(lambda: thread.call_owner(lambda: None))
    assert thread.end(TIMEOUT)
