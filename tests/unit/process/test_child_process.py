"""A process of our own: its job, its environment, its last words, and its end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from labkit.errors import WorkerFailed
from labkit.process.child_process import ChildProcess
from labkit.taskqueue.timeouts import wait_until

ECHO = """
import json, os, sys
job = json.loads(sys.stdin.readline())
print(json.dumps({"job": job, "mark": os.environ.get("CHILD_MARK"), "parent": os.getppid()}), flush=True)
for line in sys.stdin:
    print(json.dumps({"heard": line.strip()}), flush=True)
if job.get("end"):
    print("on the way", file=sys.stderr)
    sys.exit(job["end"])
print(json.dumps({"ended": True}), flush=True)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a process with this job, and ends it after the test."""
    (tmp_path / "labkit_test_echo.py").write_text(ECHO)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "CHILD_MARK": "here"}
    started: list[ChildProcess] = []

    def run(job: dict[str, object], *, environment=environment):
        heard: list[dict[str, object]] = []
        child = ChildProcess("echo", "labkit_test_echo", job, hear=heard.append, environment=environment)
        child.start()
        started.append(child)
        return child, heard

    yield run
    for child in started:
        if child.alive():
            child.kill()


def test_it_gets_its_job_and_its_environment_and_is_heard(start):
    child, heard = start({"n": 1})
    child.tell("hello")
    child.ask_to_stop()
    child.join()
    assert heard == [{"job": {"n": 1}, "mark": "here", "parent": os.getpid()}, {"heard": "hello"}, {"ended": True}]
    assert not child.alive()


def test_it_ends_in_order_when_its_input_ends_and_can_be_joined_again(start):
    child, _ = start({})
    child.ask_to_stop()
    child.ask_to_stop()
    child.join()
    child.join()


def test_one_that_fails_says_its_last_words(start):
    child, _ = start({"end": "no such lab"})
    child.ask_to_stop()
    for _ in range(2):
        with pytest.raises(WorkerFailed, match="echo ended with status 1: no such lab"):
            child.join()


def test_one_that_is_killed_is_gone_at_once(start):
    child, heard = start({})
    wait_until(lambda: bool(heard), timeout=10, what="it was to start")
    pid = child.pid
    child.kill()
    assert not child.alive()
    assert not Path(f"/proc/{pid}").exists() or sys.platform != "linux"
    with pytest.raises(WorkerFailed, match="status -9: it said nothing"):
        child.join()


def test_it_can_be_stopped_and_go_on(start):
    child, heard = start({})
    wait_until(lambda: bool(heard), timeout=10, what="it was to start")
    child.signal(signal.SIGSTOP)
    child.tell("late")
    assert child.alive()
    child.signal(signal.SIGCONT)
    wait_until(lambda: {"heard": "late"} in heard, timeout=10, what="it was to go on")
    child.ask_to_stop()
    child.join()


def test_one_that_was_not_started_says_so():
    child = ChildProcess("echo", "labkit_test_echo", {}, hear=lambda _: None)
    assert not child.alive()
    with pytest.raises(RuntimeError, match="echo was not started"):
        _ = child.pid
