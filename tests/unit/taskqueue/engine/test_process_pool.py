"""Handlers in processes of their own: what they raise, how they die, and that they do not outlive the worker."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from labkit.errors import HandlerNotFound, ProcessDied, TaskTimedOut, WorkerFailed
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.process_pool import HandlerProcess
from labkit.taskqueue.service_time import constant
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from tests import handlers

#: Says the pid of its child, and has it hang.
OWNER = """
from labkit.taskqueue.engine.process_pool import HandlerProcess
from labkit.taskqueue.task import new_task
child = HandlerProcess({'handler': 'tests.handlers:hang'}, None)
child.start()
print(child._process.pid, flush=True)
child.run(new_task('k', 'forever'))
"""


@pytest.fixture
def child():
    children = []

    def start(handler, timeout=None):
        children.append(HandlerProcess(Work(handler).describe(), timeout))
        return children[-1]

    yield start
    for one in children:
        one.close()


def test_a_handler_returns_or_fails_in_the_other_process(child, capfd):
    assert child(handlers.count_up).run(new_task("k", 1000)) is None
    task = new_task("k")
    assert str(child(handlers.fail).run(task)) == f"ValueError: {task.id} cannot be done"
    assert capfd.readouterr().err == f"on the way {task.id}\n"
    assert str(child(handlers.leave).run(task)) == "SystemExit: 3"


def test_a_process_that_dies_takes_one_attempt_with_it(child):
    one = child(handlers.die)
    error = one.run(new_task("k", "deadly"))
    assert isinstance(error, ProcessDied)
    assert "SIGKILL" in str(error)
    assert one.run(new_task("k", "harmless")) is None


def test_a_handler_that_hangs_is_killed_in_time(child):
    one = child(handlers.hang, timeout=0.2)
    assert one.run(new_task("k", "well")) is None
    pid = one._process.pid
    error = one.run(new_task("k", "forever"))
    assert isinstance(error, TaskTimedOut)
    assert not psutil.pid_exists(pid)
    assert one.run(new_task("k", "well")) is None


def test_a_simulated_service_time_needs_no_handler():
    one = HandlerProcess(Work(service=constant(1)).describe(), None)
    assert one.run(new_task("k")) is None
    one.close()


def test_a_handler_that_cannot_be_imported_is_said(capfd):
    one = HandlerProcess({"handler": "tests.handlers:nobody"}, None)
    with pytest.raises(WorkerFailed, match="could not be started"):
        one.run(new_task("k"))
    assert "'tests.handlers:nobody' could not be imported" in capfd.readouterr().err
    with pytest.raises(HandlerNotFound, match="only in this process"):
        Work(lambda task: None).describe()


def test_it_ends_with_its_worker_also_in_the_middle_of_a_task():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    pid = int(owner.stdout.readline())
    assert psutil.pid_exists(pid)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    try:
        wait_until(lambda: not psutil.pid_exists(pid), timeout=10, what="the child was to end with its owner")
    finally:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
