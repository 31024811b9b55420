"""The guard kills the groups it was told of, however soon its owner is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from labkit.process import process_guard
from labkit.process.process_group import ProcessGroup
from labkit.process.process_guard import ProcessGuard
from labkit.taskqueue.timeouts import wait_until

#: A process that is not the parent of the guard: to the guard, its owner is gone from the beginning.
GONE = 1


@pytest.fixture
def group() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        yield process
        process.kill()


def watch(words: str, owner: int) -> subprocess.Popen[bytes]:
    """A guard that has been told this, on a pipe that a copy of its owner keeps open."""
    guard = subprocess.Popen([sys.executable, "-I", "-S", process_guard.__file__, str(owner)], stdin=subprocess.PIPE)
    assert guard.stdin is not None
    guard.stdin.write(words.encode())
    guard.stdin.flush()
    return guard


@pytest.mark.parametrize(
    ("words", "owner"),
    [
        pytest.param("+{group}\n", GONE, id="the owner has ended before the guard was up"),
        pytest.param("+{group}\n.\n", os.getpid(), id="the owner asks for it in the same breath"),
        pytest.param("+1\n-1\n+{group}\n.\n", os.getpid(), id="others have ended before"),
    ],
)
def test_what_the_owner_has_said_last_counts(group, words, owner):
    with watch(words.format(group=group.pid), owner) as guard:
        assert group.wait(60) == -signal.SIGKILL
        assert guard.wait(60) == 0


def test_a_group_that_has_ended_is_left_alone(group):
    with watch(f"+{group.pid}\n-{group.pid}\n.\n", os.getpid()) as guard:
        assert guard.wait(60) == 0
    assert group.poll() is None


@pytest.fixture
def own() -> Iterator[ProcessGuard]:
    """A guard with an owner's side of its own."""
    guard = ProcessGuard()
    yield guard
    guard.end()


def end_process(guard: ProcessGuard) -> None:
    """Somebody kills it."""
    assert guard._process is not None
    guard._process.kill()
    guard._process.wait()


def refuse() -> None:
    raise OSError(11, "Resource temporarily unavailable")


def test_a_guard_that_could_not_be_started_again_is_started_later_and_knows_all_groups(own, group, monkeypatch):
    own.add(group.pid)
    end_process(own)
    with monkeypatch.context() as patch:
        patch.setattr(own, "_start", refuse)
        for tell in (own.add, own.remove, own.add):
            with pytest.raises(OSError, match="unavailable"):
                tell(2**22 + 1)
    own.remove(2**22 + 1)
    own.end()
    assert group.wait(60) == -signal.SIGKILL


def test_a_guard_that_is_frozen_is_replaced_before_it_holds_up_its_owner(own, group):
    own.add(group.pid)
    os.kill(own._process.pid, signal.SIGSTOP)
    first = own._process
    for _ in range(20_000):  # more than its pipe holds
        own.remove(2**22 + 1)
    assert own._process is not first
    assert first.returncode == -signal.SIGKILL
    own.end()
    assert group.wait(60) == -signal.SIGKILL


def test_no_guard_is_started_when_nothing_is_left_to_guard(own, monkeypatch):
    own.remove(1)
    assert own._process is None
    own.add(2**22 + 1)
    end_process(own)
    monkeypatch.setattr(own, "_start", refuse)
    own.remove(2**22 + 1)
    assert own._process is None


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError("can't fork at shutdown")])
def test_a_child_begins_and_is_reaped_whole_whatever_the_guard_does(monkeypatch, caplog, error):
    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(process_guard.guard, "add", fail)
    monkeypatch.setattr(process_guard.guard, "remove", fail)
    with open(os.devnull, "w") as output:  # noqa: PTH123
        group = ProcessGroup(["sleep", "1000"], output=output.fileno(), inherited=(), environment=None)
    watch = group.end_watch
    assert group.reap() == -signal.SIGKILL
    assert group.end_watch == ()
    for number in watch:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
    assert str(error) in caplog.text


def test_a_number_that_is_another_one_s_by_now_gets_no_signal(group, monkeypatch):
    """Where SIGCHLD is ignored the system has reaped the head, whose number may be taken at once."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with open(os.devnull, "w") as output:  # noqa: PTH123
            ended = ProcessGroup(["true"], output=output.fileno(), inherited=(), environment=None)
        wait_until(ended.has_ended, timeout=60, what="it was to end")
    finally:
        signal.signal(signal.SIGCHLD, before)
    sent = []
    monkeypatch.setattr(os, "killpg", lambda *what: sent.append(what))
    monkeypatch.setattr(ended, "pid", group.pid)
    ended.signal(signal.SIGTERM)
    assert ended.reap() is None
    assert sent == []
