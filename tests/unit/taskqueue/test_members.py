"""The end of the members of a group: all of them, whatever one does, and side by side."""

from __future__ import annotations

import threading

from labkit.errors import WorkerFailed
from labkit.taskqueue.members import stop_members

#: Seconds; the computer may be busy.
LONG = 60


class Slow:
    """A member that ends when all of them are waited for, and fails in the steps that it names."""

    def __init__(self, all_waited_for, *fails):
        self.all_waited_for = all_waited_for
        self.fails = fails
        self.steps = []

    def ask_to_stop(self):
        self._take("ask")

    def join(self, timeout):
        self.all_waited_for.wait(LONG)
        self._take(f"join {timeout:g}")

    def _take(self, step):
        self.steps.append(step)
        if step in self.fails:
            raise WorkerFailed(step)


def test_all_are_waited_for_at_once_each_with_the_whole_time():
    """Where one is waited for after the other, the time that it takes to kill one is that of all the rest as well."""
    barrier = threading.Barrier(3)
    members = [Slow(barrier) for _ in range(3)]
    assert stop_members(members, 7) == []
    assert [member.steps for member in members] == [["ask", "join 7"]] * 3


def test_what_goes_wrong_with_one_is_told_in_order_and_holds_up_no_other():
    barrier = threading.Barrier(3)
    members = [Slow(barrier, "ask"), Slow(barrier, "join 7"), Slow(barrier)]
    assert [str(failure) for failure in stop_members(members, 7)] == ["ask", "join 7"]
    assert [member.steps for member in members] == [["ask", "join 7"]] * 3


def test_where_no_thread_can_be_started_they_are_waited_for_one_after_the_other(monkeypatch):
    """As when the interpreter ends."""

    def refuse(step):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("labkit.taskqueue.members.on_a_thread", refuse)
    ended = threading.Event()
    ended.set()
    members = [Slow(ended), Slow(ended, "join 7"), Slow(ended)]
    assert [str(failure) for failure in stop_members(members, 7)] == ["join 7"]
    assert [member.steps for member in members] == [["ask", "join 7"]] * 3
