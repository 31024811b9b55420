"""The thread that makes a client's calls, and an owner that waits for none longer than it wants."""

from __future__ import annotations

import threading

import pytest

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


def done(thread, function, timeout=TIMEOUT):
    order = thread.order(function)
    assert thread.wait(order, timeout)
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

    assert done(thread, lambda: thread.call_owner(called_back) or "after") == "after"
    assert seen == [(owner, "test")]


def test_the_owners_own_time_does_not_count(thread):
    waited = threading.Event()
    threading.Timer(1.0, waited.set).start()
    assert done(thread, lambda: thread.call_owner(lambda: waited.wait(TIMEOUT)) or "after", timeout=0.5) == "after"


def test_a_call_back_that_came_too_late_is_run_with_the_next_wait(thread, hang):
    seen = []
    late = thread.order(lambda: hang.wait() and thread.call_owner(lambda: seen.append("late")))
    assert not thread.wait(late, 0.05)
    hang.set()
    assert done(thread, lambda: "next") == "next"
    assert thread.wait(late, TIMEOUT)
    assert seen == ["late"]


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
