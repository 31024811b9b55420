"""A process of our own: its job, its environment, what it says and prints, and its end, whatever it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from msgspec.json import decode

from labkit.errors import WorkerFailed
from labkit.process import child_process, parent_channel
from labkit.process.child_process import ChildProcess
from labkit.process.signals import ENDING
from labkit.taskqueue.timeouts import wait_until

MODULE = "tests.unit.process.child_modules"
#: Conditions usually come within a second; the computer may be busy.
LONG = 60

#: Starts a child, has it run what its argument says, and tells its process id and those of all that belongs to it.
OWNER = f"""
import sys, threading
from labkit.process.child_process import ChildProcess
heard = []
child = ChildProcess("kept", {MODULE!r}, {{}}, hear=heard.append)
child.start()
child.tell(sys.argv[1])
print(child.pid, flush=True)
threading.Event().wait()
"""


class Mute(Exception):
    """Its text fails."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ValueError("no"), "ValueError: no"),
        (WorkerFailed("It could not."), "It could not."),
        (OSError("/tmp/\udcff"), "OSError: /tmp/\\udcff"),
        (Mute(), "Mute"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_why_a_process_could_not_go_on_can_be_told_of_any_error(error, why):
    assert parent_channel._why(error) == why


@pytest.fixture
def start():
    """Starts a process with this job, and ends it after the test."""
    started: list[ChildProcess] = []

    def run(job: dict[str, object], **options):
        heard: list[dict[str, object]] = []
        child = ChildProcess("echo", MODULE, job, hear=lambda line: heard.append(decode(line)), **options)
        child.start()
        started.append(child)
        return child, heard

    yield run
    for child in started:
        if child.alive():
            child.kill()


def do(child, heard, order):
    """Have it run this; returns what it said."""
    ready(heard)
    before = len(heard)
    child.tell(order)
    wait_until(lambda: len(heard) > before or not child.alive(), timeout=LONG, what=f"{order} was to end")
    return heard[-1].get("said")


def ready(heard):
    wait_until(lambda: bool(heard), timeout=LONG, what="it was to start")


def gone(*pids):
    wait_until(lambda: not any(runs(pid) for pid in pids), timeout=LONG, what=f"{pids} were to end")


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_it_gets_its_job_and_its_environment_and_is_heard(start):
    child, heard = start({"n": 1}, environment={**os.environ, "CHILD_MARK": "here"})
    child.tell("said = 6 * 7")
    child.ask_to_stop()
    child.join()
    assert heard == [{"job": {"n": 1}, "mark": "here", "parent": os.getpid()}, {"said": 42}, {"ended": True}]
    assert not child.alive()


def test_it_ends_in_order_when_it_is_asked_and_can_be_joined_again(start):
    child, _ = start({})
    child.ask_to_stop()
    child.ask_to_stop()
    child.join()
    child.join()


def test_one_that_fails_says_why(start):
    child, _ = start({"fails": "no such lab"})
    child.ask_to_stop()
    for _ in range(2):
        with pytest.raises(WorkerFailed, match="echo ended with status 1: no such lab"):
            child.join()
    assert child.output.text() == "on the way\nno such lab\n"


@pytest.mark.parametrize(
    ("order", "how"),
    [
        ("1 / 0", "status 1: ZeroDivisionError: division by zero"),
        ("raise SystemExit('that is all')", "status 1. It said last: that is all"),
        ("import os; os._exit(3)", "status 3. It said nothing."),
        ("import os; print('the last'); os.abort()", "SIGABRT. It said last: the last"),
        ("import os; os.closerange(3, 1000)", "has closed the descriptors"),
        ("import os; os.closerange(3, 1000); open(os.devnull)", "has closed the descriptors"),
    ],
)
def test_whatever_ends_it_is_said(start, order, how):
    child, _ = start({})
    child.tell(order)
    wait_until(lambda: not child.alive(), timeout=LONG, what="it was to end")
    with pytest.raises(WorkerFailed, match=how):
        child.join()
    with pytest.raises(WorkerFailed):
        child.tell("said = 1")


@pytest.mark.slow
def test_a_thread_that_runs_for_ever_does_not_keep_it(start):
    child, heard = start({})
    do(child, heard, "import threading; threading.Thread(target=threading.Event().wait).start()")
    child.ask_to_stop()
    child.join(LONG)


def test_one_that_does_not_stop_is_killed_in_time(start):
    child, heard = start({})
    ready(heard)
    child.tell("import threading; threading.Event().wait()")
    child.ask_to_stop()
    with pytest.raises(WorkerFailed, match=r"did not stop within 0\.2 s and was killed"):
        child.join(0.2)
    assert not child.alive()


def test_one_that_is_killed_is_gone_at_once(start):
    child, heard = start({})
    ready(heard)
    pid = child.pid
    child.kill()
    assert not child.alive()
    assert not Path(f"/proc/{pid}").exists() or sys.platform != "linux"
    with pytest.raises(WorkerFailed, match=r"SIGKILL\. It said nothing\."):
        child.join()
    child.kill()  # twice is no error


def test_all_that_it_has_started_ends_with_it_however_it_ends(start):
    for end in (ChildProcess.kill, ChildProcess.ask_to_stop, lambda child: child.tell("import os; os._exit(1)")):
        child, heard = start({})
        running = do(child, heard, "import subprocess; said = subprocess.Popen(['sleep', '1000']).pid")
        child.tell("import os; os.system('sleep 1000 & sleep 1000 &')")
        assert runs(running)
        end(child)
        wait_until(lambda child=child: not child.alive(), timeout=LONG, what="it was to end")
        gone(running)


def test_a_kill_does_not_wait_for_what_it_had_started(start):
    child, heard = start({})
    ready(heard)
    pid = child.pid
    # in a session of its own, which nobody kills: it keeps the pipes of the output open
    child.tell("import os; os.system('setsid sleep 1000 & sleep 1000')")
    wait_until(lambda: len(family(pid)) > 1, timeout=LONG, what="the sleeps were to begin")
    sleeps = family(pid)
    child.kill()
    assert not child.alive()
    for number in sleeps:
        if runs(number):
            os.kill(number, signal.SIGKILL)


def family(pid):
    return [one.pid for one in psutil.Process(pid).children(recursive=True) if one.name() == "sleep"]


def test_it_can_be_stopped_and_go_on(start):
    child, heard = start({})
    ready(heard)
    child.signal(signal.SIGSTOP)
    child.tell("said = 'x' * 1_000_000")  # more than fits into a pipe is no reason to wait
    child.tell("said = len('" + "x" * 1_000_000 + "')")
    assert child.alive()
    child.signal(signal.SIGCONT)
    wait_until(lambda: {"said": 1_000_000} in heard, timeout=LONG, what="it was to go on")
    child.ask_to_stop()
    child.join()


def test_one_that_was_not_started_says_so():
    child = ChildProcess("echo", MODULE, {}, hear=lambda _: None)
    assert not child.alive()
    with pytest.raises(RuntimeError, match="echo was not started"):
        _ = child.pid


def test_to_ask_one_that_does_not_listen_any_more_is_not_to_wait_for_its_end(start, monkeypatch):
    child, heard = start({})
    ready(heard)

    def is_closed(line: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(child._watch.orders, "write", is_closed)
    monkeypatch.setattr(child._ended, "wait", lambda timeout: pytest.fail("it is waited for"))
    child.ask_to_stop()
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("order", "printed"),
    [
        ("print('a word')", "a word\n"),
        ("import os; os.system(\"echo '{}'\")", "{}\n"),
        ("import os; os.write(1, b'by number\\n')", "by number\n"),
        ("import os; os.write(2, b'by number\\n')", "by number\n"),
        ("import subprocess; subprocess.run(['echo', 'by a program'])", "by a program\n"),
        (
            "import sys; sys.stdout.buffer.write(b'no UTF-8: \\xff\\n'); sys.stdout.flush()",
            "no UTF-8: \N{REPLACEMENT CHARACTER}\n",
        ),
        ("print('half a pair: \\ud800')", "half a pair: \\ud800\n"),
        ("import ctypes; libc = ctypes.CDLL(None); libc.puts(b'by C'); libc.fflush(None)", "by C\n"),
        ("import os; print(repr(os.read(0, 10)))", "b''\n"),
        ("import os; os.fork() or print('by a copy') or os._exit(0); os.wait()", "by a copy\n"),
        ("import sys; sys.stdout.close(); sys.stderr.write('still\\n')", "still\n"),
    ],
)
def test_what_it_prints_is_kept_and_is_no_report(start, order, printed):
    child, heard = start({})
    ready(heard)
    assert do(child, heard, order) is None
    assert do(child, heard, "said = 'as before'") == "as before"
    child.ask_to_stop()
    child.join()
    assert child.output.text() == printed
    assert heard[1:] == [{"said": None}, {"said": "as before"}, {"ended": True}]


@pytest.mark.parametrize(
    "order",
    [
        "import os; print('left', end=''); os.close(1)",
        "import os, sys; sys.stderr.write('left'); os.close(2)",
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import sys; sys.stdout = None; sys.stderr = None",
        "import sys; sys.stdout = 7; sys.stderr = 7",
        "import sys; sys.stdout = open('/dev/full', 'w'); sys.stdout.write('left')",
    ],
)
def test_what_becomes_of_its_streams_is_not_its_end(start, order):
    child, heard = start({})
    ready(heard)
    assert do(child, heard, order) is None
    child.ask_to_stop()
    child.join()
    assert heard[-1] == {"ended": True}


def test_one_without_streams_says_why_it_fails(start):
    child, heard = start({"fails": "no more paper"})
    ready(heard)
    do(child, heard, "import sys; sys.stdout = 7; sys.stderr = 7")
    child.ask_to_stop()
    with pytest.raises(WorkerFailed, match="'int' object has no attribute 'write'"):
        child.join()


def test_a_copy_that_comes_back_from_a_fork_says_nothing_and_does_not_end_as_if_all_was_well(start):
    child, heard = start({})
    ready(heard)
    do(child, heard, "import os; said = 'parent' if os.fork() else 'copy'")
    assert do(child, heard, "import os; said = os.waitstatus_to_exitcode(os.wait()[1])") == 1
    assert [report.get("said") for report in heard[1:]] == ["parent", 1]


def test_what_it_changes_for_itself_does_not_hold_up_its_end(start, tmp_path):
    child, heard = start({})
    ready(heard)
    do(
        child,
        heard,
        f"import os, signal; os.chdir({str(tmp_path)!r}); os.umask(0o777); os.nice(5)\n"
        "for number in (1, 2, 15, signal.SIGCHLD): signal.signal(number, signal.SIG_IGN)",
    )
    child.ask_to_stop()
    child.join()


def test_what_hears_may_fail_which_ends_the_process_and_is_said(start):
    def hear(line: bytes) -> None:
        raise ValueError("no ear for that")

    child = ChildProcess("unheard", MODULE, {}, hear=hear)
    child.start()
    with pytest.raises(WorkerFailed, match=r"What unheard reported could not be taken: no ear for that"):
        child.join()
    assert not child.alive()


def test_one_that_the_system_does_not_start_is_not_waited_for_and_killed_if_it_comes(monkeypatch):
    begin, may_begin, begun = subprocess.Popen, threading.Event(), []

    def hang(*args, **options):
        assert may_begin.wait(LONG)
        begun.append(begin(*args, **options))
        return begun[0]

    monkeypatch.setattr("labkit.process.process_group.subprocess.Popen", hang)
    child = ChildProcess("late", MODULE, {}, hear=lambda _: None)
    with monkeypatch.context() as hurry:
        hurry.setattr(child_process, "BEGIN_TIMEOUT", 0.05)
        with pytest.raises(WorkerFailed, match=r"late could not be started within 0\.05 s"):
            child.start()
    monkeypatch.undo()
    may_begin.set()
    wait_until(lambda: bool(begun) and child._ended.is_set(), timeout=LONG, what="it was to come and to be killed")
    gone(begun[0].pid)


@pytest.fixture
def ignored():
    """Signals that this process ignores, as it may have been told to by a notebook, a handler's module or a shell."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGCHLD, *ENDING)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_where_the_system_tells_no_status_it_tells_its_own(start, ignored):
    child, heard = start({})
    running = do(child, heard, "import subprocess; said = subprocess.Popen(['sleep', '1000']).pid")
    child.ask_to_stop()
    child.join()
    assert heard[-1] == {"ended": True}
    gone(running)
    child.kill()  # and nobody else, whose number it may be


@pytest.mark.parametrize(
    ("order", "how"),
    [
        ("raise SystemExit(3)", "status 3. It said nothing."),
        ("1 / 0", "status 1: ZeroDivisionError: division by zero"),
        ("import os; os._exit(0)", r"a status that nobody knows \(SIGCHLD is ignored here"),
    ],
)
def test_where_the_system_tells_no_status_it_is_not_taken_for_a_good_end(start, ignored, order, how):
    child, _ = start({})
    child.tell(order)
    wait_until(lambda: not child.alive(), timeout=LONG, what="it was to end")
    with pytest.raises(WorkerFailed, match=how):
        child.join()
    assert child.ending().startswith(how[:8])


SIGNALS = """
import signal
said = [len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        *(name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD")
          if signal.getsignal(signal.Signals[name]) == signal.SIG_IGN)]
"""


def test_it_obeys_signals_whatever_the_thread_that_has_started_it_does(start, ignored):
    started = []

    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        started.append(start({}))

    asking = threading.Thread(target=begin)
    asking.start()
    asking.join()
    [(child, heard)] = started
    assert do(child, heard, SIGNALS) == [0]


def test_what_is_set_for_python_changes_neither_its_end_nor_what_it_prints(start):
    settings = {"PYTHONINSPECT": "1", "PYTHONIOENCODING": "utf-16", "PYTHONUTF8": "0", "PYTHONWARNINGS": "error"}
    child, heard = start({}, environment=os.environ | settings)
    do(child, heard, "print('gr\u00fcn')")
    child.ask_to_stop()
    child.join()
    assert child.output.text() == "gr\u00fcn\n"


BUSY = {
    "waits": "import threading; threading.Event().wait()",
    "waits for a program": "import os; os.system('sleep 1000')",
    "holds the interpreter": "import re; re.match(r'(a+)+$', 'a' * 50 + 'b')",
    "ignores signals": "import signal, threading; signal.signal(15, signal.SIG_IGN); threading.Event().wait()",
    "has forked": "import os, threading; os.fork(); threading.Event().wait()",
    "is stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.mark.parametrize("order", BUSY.values(), ids=BUSY.keys())
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_it_ends_with_its_parent_whatever_it_does_and_all_that_it_has_started_too(order, how):
    owner = subprocess.Popen([sys.executable, "-c", OWNER, order], stdout=subprocess.PIPE, text=True)
    with owner:
        child = psutil.Process(int(owner.stdout.readline()))
        if "sleep" in order or "fork" in order:
            wait_until(lambda: bool(child.children()), timeout=LONG, what="it was to start something")
        everybody = [one.pid for one in (child, *child.children(recursive=True), *psutil.Process(owner.pid).children())]
        owner.send_signal(how)
    gone(*everybody)


def test_the_thread_that_asks_for_a_child_may_end_before_it(start):
    started = []
    asking = threading.Thread(target=lambda: started.append(start({})))
    asking.start()
    asking.join()
    [(child, heard)] = started
    assert do(child, heard, "said = 1") == 1
