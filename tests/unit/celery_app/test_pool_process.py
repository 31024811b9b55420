"""A process of Celery's pool that is told to end does so also where Python swallows the exit."""

from __future__ import annotations

import subprocess
import sys

#: billiard's handler of SIGTERM runs in the middle of whatever runs, which may be what a weak reference calls.
PROGRAM = """
import signal, sys, weakref
from billiard.common import _shutdown_cleanup
from labkit.celery_app.pool_process import exit_all_the_same

class Thing: pass

def called_back(reference):
    {what}

sys.unraisablehook = exit_all_the_same
signal.signal(signal.SIGTERM, _shutdown_cleanup)
thing = Thing()
reference = weakref.ref(thing, called_back)
del thing
print("goes on")
"""


def run(what: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", PROGRAM.format(what=what)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_an_exit_that_is_swallowed_ends_it_without_a_word():
    ended = run("signal.raise_signal(signal.SIGTERM)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (15, "", "")


def test_any_other_error_is_told_and_ends_nothing():
    ended = run("1 / 0")
    assert (ended.returncode, ended.stdout) == (0, "goes on\n")
    assert "ZeroDivisionError" in ended.stderr
    ended = run("raise SystemExit(3)")
    assert (ended.returncode, ended.stdout) == (0, "goes on\n")
