"""A copy of its process that a handler has forked: how it ends, and what it leaves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

from labkit.taskqueue.engine.fork_guard import guard_loop

#: Forks once for each argument, which the copy runs; the streams are pipes, so they hold what is printed.
PROGRAM = """
import os, sys
from labkit.taskqueue.engine import fork_guard
from labkit.taskqueue.engine.outcome import outcome_of

class Held:
    def write(self, text): pass
    def flush(self):
        if os.getpid() != owner:
            __import__("threading").Event().wait()

def handler(act):
    print("before", end=" ")
    copy = os.fork()
    if copy:
        print(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]))
    else:
        print("in the copy", end=" ")
        exec(act)

owner = os.getpid()
fork_guard.WRITE_TIMEOUT = float(sys.argv[1])
for act in sys.argv[2:]:
    error = outcome_of(handler, act)
    assert error is None, error
"""


def run(*acts: str, write_timeout: float = 60.0) -> tuple[list[str], list[str]]:
    """The lines that such a program has written to its output, and as errors."""
    words = [sys.executable, "-c", PROGRAM, str(write_timeout), *acts]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines(), ended.stderr.splitlines()


ENDS = {
    "pass": 0,
    "raise ValueError('no')": 1,
    "sys.exit()": 0,
    "sys.exit(3)": 3,
    "sys.exit(-1)": 255,
    "sys.exit('why')": 1,
    "raise type('Exit', (SystemExit,), {'code': property(lambda self: 1 / 0)})(4)": 4,
    "raise type('Odd', (ValueError,), {'__class__': property(lambda self: 1 / 0)})": 1,
}


def test_its_status_says_how_it_came_back_and_what_was_printed_is_there_once():
    printed, errors = run(*ENDS)
    assert printed == [f"before in the copy {status}" for status in ENDS.values()]
    whys = [line.split(" has failed: ")[1].split(" (")[0] for line in errors]
    assert whys == ["ValueError: no", "SystemExit: why", "Odd"]


def test_it_ends_also_if_nobody_gives_back_the_lock_of_a_stream():
    printed, _ = run("sys.stdout = Held()", write_timeout=0.01)
    assert printed[0].endswith("0")


def test_a_step_on_a_loop_asks_the_system_for_nothing(monkeypatch):
    async def work():
        for _ in range(3):
            await asyncio.sleep(0)
        return "done"

    def getpid():
        raise AssertionError("a system call at each step")

    with asyncio.Runner() as runner:
        guard_loop(runner.get_loop())
        monkeypatch.setattr(os, "getpid", getpid)
        try:
            assert runner.run(work()) == "done"
        finally:
            monkeypatch.undo()
