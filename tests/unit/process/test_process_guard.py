"""The guard kills the groups it was told of, however soon its owner is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from labkit.process import process_guard

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
