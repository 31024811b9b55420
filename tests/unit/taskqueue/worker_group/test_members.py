"""The end of the members of a group: all of them, whatever one does, and side by side."""

from __future__ import annotations

import signal
import threading

import pytest

from labkit.errors import WorkerFailed
from labkit.process import child_process
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.worker_group.members import stop_members
from labkit.taskqueue.worker_group.worker_process import ProcessMember
from tests.conditions import FOR_EVER, in_time

#: Seconds; the computer may be busy.
LONG = 60

#: For a process of the tests, which runs what it is told.
REPORTS_A_RECORD = """
from labkit.taskqueue.worker_group.worker_process import WorkerReport
from tests.unit.measure.test_record_store import record
parent.report(WorkerReport(record=record(0)))
"""


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

    monkeypatch.setattr("labkit.taskqueue.worker_group.members.on_a_thread", refuse)
    ended = threading.Event()
    ended.set()
    members = [Slow(ended), Slow(ended, "join 7"), Slow(ended)]
    assert [str(failure) for failure in stop_members(members, 7)] == ["join 7"]
    assert [member.steps for member in members] == [["ask", "join 7"]] * 3


def test_a_worker_that_has_died_while_its_record_is_taken_is_asked_for_as_long_as_there_is_time(tmp_path, monkeypatch):
    """Its end is noticed on the thread that takes what it has reported, which may be long at that."""
    monkeypatch.setattr(child_process, "KILL_TIMEOUT", FOR_EVER)
    takes, may_go_on = threading.Event(), threading.Event()

    def on_record(record):
        takes.set()
        may_go_on.wait()

    def is_found_dead():
        try:
            member.running(0.1)
        except WorkerFailed as error:
            return "has ended" in str(error)
        return False

    member = ProcessMember({"name": "w"}, on_record=on_record, log_dir=tmp_path)
    member._child._module = "tests.unit.process.child_modules"
    member.start()
    try:
        member._child.tell(REPORTS_A_RECORD)
        assert takes.wait(LONG)
        member.signal(signal.SIGKILL)
        # its main thread may have ended before those that still hold its end of the pipe
        wait_until(lambda: in_time(is_found_dead, within=LONG), timeout=LONG, what="its pipe was to be broken")
        assert member.alive(), "its last record is still being taken"
    finally:
        may_go_on.set()
    with pytest.raises(WorkerFailed, match="SIGKILL"):
        member.join(LONG)
