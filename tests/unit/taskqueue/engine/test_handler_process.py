"""Handlers in processes of their own: what they raise, print and break, how they die, and how they end."""

import subprocess
import sys

import psutil
import pytest

from labkit.errors import HandlerNotFound, ProcessDied, TaskTimedOut, WorkerFailed
from labkit.taskqueue.engine.failure import RemoteError
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.handler_process import HandlerProcess
from labkit.taskqueue.service_time import constant
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from tests import handlers

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
    failing.close()
    assert printed(failing) == f"on the way {task.id}\n"
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
def test_descriptors_that_are_closed_while_they_are_used_are_told_as_such(child, code):
    one = child(handlers.run_python)
    tasks = (new_task("k", f"import os; hang = __import__('threading').Event().wait; {text}") for text in (code, "1"))
    error = next(filter(None, map(one.run, tasks)))
    assert isinstance(error, ProcessDied)
    assert "has closed the descriptors" in str(error)
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
    one = HandlerProcess(Work(service=constant(1)).describe(), None)
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
