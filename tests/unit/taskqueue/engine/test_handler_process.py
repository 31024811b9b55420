"""Handlers in processes of their own: what they raise, print and break, how they die, and how they end."""

import errno
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil
import pytest

from labkit.errors import HandlerNotFound, ProcessDied, TaskTimedOut, TryAgainLater, WorkerFailed
from labkit.taskqueue.engine import handler_process
from labkit.taskqueue.engine.failure import RemoteError
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.handler_process import HandlerProcess
from labkit.taskqueue.service_time import constant
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import on_a_thread, wait_until
from tests import handlers
from tests.conditions import frozen

pytestmark = pytest.mark.slow

#: Says the pid of its child, and has it hang.
OWNER = """
from labkit.taskqueue.engine.handler_process import HandlerProcess
from labkit.taskqueue.task import new_task
child = HandlerProcess({'handler': 'tests.handlers:hang'}, None)
print(child.start().pid, flush=True)
child.run(new_task('k', 'forever'))
"""
#: Conditions usually come within a second; the computer may be busy.
LONG = 60


#: A module of a handler that is imported when there is a file, and has run it.
MODULE = """
import pathlib, threading
while not pathlib.Path({go!r}).exists():
    threading.Event().wait(0.02)
exec(pathlib.Path({go!r}).read_text())
def handler(task): pass
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """An interpreter may take long to start beside others."""
    monkeypatch.setattr(handler_process, "START_TIMEOUT", LONG)


@pytest.fixture
def child():
    children = []

    def start(handler, timeout=None):
        children.append(HandlerProcess(Work(handler).describe(), timeout))
        return children[-1]

    yield start
    for one in children:
        one.close()


def printed(one):
    return one.output.text()


def test_a_handler_returns_or_fails_in_the_other_process(child):
    assert child(handlers.count_up).run(new_task("k", 1000)) is None
    task = new_task("k")
    failing = child(handlers.fail)
    assert str(failing.run(task)) == f"ValueError: {task.id} cannot be done"
    failing.close()  # which waits for nothing, nor for what was printed
    wait_until(lambda: printed(failing) == f"on the way {task.id}\n", timeout=LONG, what="all was to be read")
    assert str(child(handlers.leave).run(task)) == "SystemExit: 3"


def test_a_process_that_dies_takes_one_attempt_with_it(child):
    one = child(handlers.die)
    error = one.run(new_task("k", "deadly"))
    assert isinstance(error, ProcessDied)
    assert "SIGKILL" in str(error)
    assert one.run(new_task("k", "harmless")) is None


def test_a_handler_that_hangs_is_killed_in_time(child):
    one = child(handlers.hang, timeout=LONG)
    assert one.run(new_task("k", "well")) is None
    pid = one.start().pid
    one._timeout = 0.2
    error = one.run(new_task("k", "forever"))
    assert isinstance(error, TaskTimedOut)
    assert not psutil.pid_exists(pid)
    one._timeout = LONG
    assert one.run(new_task("k", "well")) is None


def test_a_handler_that_hangs_in_a_program_is_killed_with_it_and_at_once(child):
    one = child(handlers.run_python, timeout=0.5)
    pid = one.start().pid
    sleeps = "import os; os.system('sleep 1000')"
    assert isinstance(one.run(new_task("k", sleeps)), TaskTimedOut)
    assert not psutil.pid_exists(pid)
    one._timeout = LONG
    assert one.run(new_task("k", "pass")) is None


@pytest.mark.parametrize(
    "code",
    [
        "print('{}')",
        "import os; os.system(\"echo '{}'\")",
        "import os; os.write(1, b'null\\n')",
        "import subprocess; subprocess.run(['echo', 'null'])",
        "import sys; sys.stdout.buffer.write(b'\\xff\\n'); sys.stdout.flush()",
        "import os; os.write(1, b'x' * 10_000_000)",
    ],
)
def test_what_a_handler_prints_decides_nothing(child, code):
    one = child(handlers.run_python)
    assert one.run(new_task("k", code)) is None
    error = one.run(new_task("k", f"{code}; raise ValueError('and yet')"))
    assert isinstance(error, RemoteError)
    assert str(error) == "ValueError: and yet"
    assert one.run(new_task("k", "pass")) is None


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os._exit(0)", "ended with status 0"),
        ("import os; os._exit(3)", "ended with status 3"),
        ("import os; os.abort()", "ended with SIGABRT"),
        ("import os; os.kill(os.getpid(), 40)", "ended with signal 40"),
        ("import os; os.closerange(3, 1000)", "has closed the descriptors"),
        ("import os; [os.close(n) for n in range(200) if n > 2 and os.path.exists(f'/proc/self/fd/{n}')]", "closed"),
    ],
)
def test_a_handler_that_breaks_its_process_is_a_failed_attempt(child, code, why):
    one = child(handlers.run_python)
    error = one.run(new_task("k", code))
    assert isinstance(error, ProcessDied)
    assert why in str(error)
    assert one.run(new_task("k", "pass")) is None


@pytest.mark.parametrize(
    "code",
    [
        "import select; real = select.select; select.select = lambda *a: (os.close(a[0][0]), real(*a))[1]; hang()",
        "real = os.read; os.read = lambda n, most: (os.close(n), real(n, most))[1]",
        "real = os.write; os.write = lambda n, data: (os.close(n), real(n, data))[1]",
    ],
)
def test_descriptors_that_are_closed_while_they_are_used_are_told_as_such(child, code, caplog):
    """In the middle of the task, or before the next one has begun, which is not to blame."""
    one = child(handlers.run_python)
    tasks = (new_task("k", f"import os; hang = __import__('threading').Event().wait; {text}") for text in (code, "1"))
    error = next(filter(None, map(one.run, tasks)), None)
    assert error is None or isinstance(error, ProcessDied)
    assert "has closed the descriptors" in f"{error} {caplog.text}"
    assert one.run(new_task("k", "pass")) is None


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("input()", "EOFError: EOF when reading a line"),
        ("import sys; sys.exit('enough')", "SystemExit: enough"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("class Odd(BaseException): pass\nraise Odd(1)", "Odd: 1"),
        (
            (
                "import os\nif os.fork() == 0: raise ValueError('in the copy')\n"
                "os.wait()\nraise ValueError('in the original')"
            ),
            "ValueError: in the original",
        ),
    ],
)
def test_whatever_comes_out_of_a_handler_is_a_failed_attempt_and_the_process_goes_on(child, code, why):
    one = child(handlers.run_python)
    pid = one.start().pid
    assert str(one.run(new_task("k", code))) == why
    assert one.run(new_task("k", "pass")) is None
    assert psutil.pid_exists(pid)


def test_many_deaths_leave_one_log_of_bounded_size(child):
    one = child(handlers.run_python)
    for number in range(3):
        assert isinstance(
            one.run(new_task("k", f"import os; os.write(1, b'{number} ' * 400_000); os._exit(1)")), ProcessDied
        )
    assert {path.name for path in one.output.path.parent.iterdir() if path.name.startswith(one.output.path.name)} == {
        one.output.path.name,
        f"{one.output.path.name}.1",
    }
    assert len(printed(one)) <= 1_000_000


def test_a_simulated_service_time_needs_no_handler():
    one = HandlerProcess(Work(constant(0.001)).describe(), None)
    assert one.run(new_task("k")) is None
    one.close()


def test_a_handler_that_cannot_be_imported_is_said():
    one = HandlerProcess({"handler": "tests.handlers:nobody"}, None)
    with pytest.raises(WorkerFailed, match=r"'tests\.handlers:nobody' could not be imported"):
        one.run(new_task("k"))
    with pytest.raises(HandlerNotFound, match="only in this process"):
        Work(lambda task: None).describe()


def test_it_ends_with_its_worker_also_in_the_middle_of_a_task():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    with owner:
        pid = int(owner.stdout.readline())
        assert psutil.pid_exists(pid)
        owner.kill()
    wait_until(lambda: not psutil.pid_exists(pid), timeout=LONG, what="the child was to end with its owner")


def test_a_process_that_died_after_its_answer_takes_no_attempt_with_it(child, monkeypatch):
    one = child(handlers.count_up)
    assert one.run(new_task("k", 1)) is None
    died = one.start()
    died.kill()
    monkeypatch.setattr(died, "alive", lambda: True)  # nobody has noticed it
    assert one.run(new_task("k", 1)) is None


def test_a_process_that_dies_before_it_begins_a_task_takes_no_attempt_with_it(child, monkeypatch, caplog):
    one = child(handlers.count_up)
    stopped = one.start()
    tell = stopped.tell

    def tell_and_kill(task):
        tell(task)
        stopped.signal(signal.SIGKILL)

    monkeypatch.setattr(stopped, "tell", tell_and_kill)
    with suppress(psutil.NoSuchProcess), frozen(stopped.pid):
        assert one.run(new_task("k", 1)) is None
    assert not stopped.alive()
    assert "ended before it began a task, with SIGKILL" in caplog.text


def test_a_process_that_stands_still_before_it_begins_a_task_is_replaced(child, monkeypatch):
    one = child(handlers.count_up)
    stopped = one.start()
    monkeypatch.setattr(handler_process, "START_TIMEOUT", 0.2)
    with suppress(psutil.NoSuchProcess), frozen(stopped.pid):
        error = one.run(new_task("k", 1))
    assert error is None or isinstance(error, TryAgainLater)  # as soon as the next one is there
    assert not stopped.alive()
    monkeypatch.setattr(handler_process, "START_TIMEOUT", LONG)
    assert one.run(new_task("k", 1)) is None


def test_tasks_wait_where_the_system_starts_no_process_and_go_on_when_it_does(child, monkeypatch, caplog):
    one = child(handlers.count_up)
    with monkeypatch.context() as full:
        full.setattr("labkit.process.process_group.subprocess.Popen", refuse)
        for _ in range(2):
            error = one.run(new_task("k", 1))
            assert isinstance(error, TryAgainLater)
            assert "Resource temporarily unavailable" in str(error)
    assert one.run(new_task("k", 1)) is None
    assert said(caplog) == ["waits for its process", "goes on: its process"]


def test_tasks_wait_where_there_is_no_thread_left_for_a_process(child, monkeypatch):
    one = child(handlers.count_up)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_thread)
        assert isinstance(one.run(new_task("k", 1)), TryAgainLater)
    assert one.run(new_task("k", 1)) is None


def test_a_module_that_takes_long_to_import_is_waited_for(module, monkeypatch, caplog):
    one, go = module
    with monkeypatch.context() as hurry:
        hurry.setattr(handler_process, "START_TIMEOUT", 0.1)
        for _ in range(2):
            assert isinstance(one.run(new_task("k")), TryAgainLater)
        slow = one._child
    go.write_text("")
    assert one.run(new_task("k")) is None
    assert one.start() is slow
    assert said(caplog) == ["waits for its process", "goes on: its process"]


def test_a_process_that_never_gets_ready_is_replaced(module, monkeypatch):
    one, go = module
    with monkeypatch.context() as hurry:
        hurry.setattr(handler_process, "START_TIMEOUT", 0.01)
        assert isinstance(one.run(new_task("k")), TryAgainLater)
        stuck = one._child
        for _ in range(handler_process.MOST_WAITS - 1):
            assert one._child is stuck
            assert isinstance(one.run(new_task("k")), TryAgainLater)
    assert not stuck.alive()
    go.write_text("")
    assert one.run(new_task("k")) is None
    assert one.start() is not stuck


def test_where_the_first_processes_die_in_silence_the_worker_ends_and_says_how(module):
    one, go = module
    go.write_text("import os; os._exit(3)")
    for _ in range(handler_process.MOST_DEATHS - 1):
        assert isinstance(one.run(new_task("k")), TryAgainLater)
    with pytest.raises(WorkerFailed, match="status 3"):
        one.run(new_task("k"))


def test_a_module_that_fails_later_is_an_outage_and_not_the_end(module):
    one, go = module
    go.write_text("")
    assert one.run(new_task("k")) is None
    one.start().kill()
    go.write_text("raise OSError('no such share')")
    error = one.run(new_task("k"))
    assert isinstance(error, TryAgainLater)
    assert "no such share" in str(error)
    go.write_text("")
    assert one.run(new_task("k")) is None


def test_who_closes_it_does_not_wait_and_none_is_left_or_started(module):
    one, _ = module
    outcome = on_a_thread(lambda: one.run(new_task("k")))
    wait_until(lambda: one._child is not None and one._child.alive(), timeout=LONG, what="it was to start")
    child = one._child
    one.close()
    assert isinstance(outcome.result(LONG), TryAgainLater)
    assert not child.alive()
    assert isinstance(one.run(new_task("k")), TryAgainLater)
    assert one._child is None


def test_many_can_be_ended_at_once_since_none_is_waited_for(child, monkeypatch):
    one = child(handlers.run_python)
    busy = one.start()
    outcome = on_a_thread(lambda: one.run(new_task("k", "print('begun'); import threading; threading.Event().wait()")))
    wait_until(lambda: "begun" in printed(one), timeout=LONG, what="the handler was to begin")
    monkeypatch.setattr(busy, "kill", lambda: pytest.fail("it is waited for"))
    one.close()
    assert isinstance(outcome.result(LONG), ProcessDied)
    assert not busy.alive()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A process whose handler's module waits for a file, runs it, and only then is imported; and that file."""
    go = tmp_path / "go"
    (tmp_path / "late_module.py").write_text(MODULE.format(go=str(go)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    one = HandlerProcess({"handler": "late_module:handler"}, None)
    yield one, go
    one.close()


def refuse(*args, **options):
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def no_thread(self):
    raise RuntimeError("can't start new thread")


def said(caplog):
    """What was logged of outages, without the names and the reasons."""
    return [
        words
        for record in caplog.records
        for words in ("waits for its process", "goes on: its process")
        if words in record.getMessage()
    ]
