"""Student code that uses up what there is of memory, processes, files, time and output, or will not end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.grading.sandbox import Ended, Ending, Limits, Reply, Said, bubblewrap
from labkit.grading.sandbox.container_engine import ContainerEngine
from labkit.grading.sandbox.contract import MIB
from labkit.grading.sandbox.control_group import make_control_group
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE
from tests.integration.grading.conftest import Sandbox

#: Longer than a run may take that is ended by its limit.
FOR_EVER = "3600"
#: What one run is given: the code, and limits by name.
Run = Callable[..., tuple[Reply, Ending, str]]

TELL = "import json, os\ndef tell(value): os.write(65, json.dumps(value).encode() + b'\\n')\n"


@pytest.fixture
def run(sandbox: Sandbox) -> Run:
    """Run code with these limits to its end; returns the first that it told, how it ended, and what it wrote."""

    def run(code: str, **limits: Any) -> tuple[Reply, Ending, str]:
        given = Limits(**{"wall_seconds": PATIENCE, **limits})
        with sandbox.start([sys.executable, "-I", "-c", TELL + code], limits=given) as conversation:
            reply = conversation.receive(2 * PATIENCE)
            ending = conversation.wait(2 * PATIENCE)
            assert ending is not None
            return reply, ending, conversation.output()

    return run


FILL = """
def fill(path, part=65536):
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while True:
                written += file.write(b"x" * part)
    except OSError as error:
        tell([error.strerror, written])
"""


@pytest.mark.parametrize("folder", ["/tmp", "/home/student", "/dev/shm"])
def test_a_folder_takes_no_more_than_its_size(run: Run, folder: str) -> None:
    reply, ending, _ = run(FILL + f"fill({folder + '/large'!r})", tmp_size=MIB)
    assert reply == Said(["No space left on device", MIB])
    assert ending.status == 0


def test_a_file_takes_no_more_than_its_size(run: Run) -> None:
    reply, _, _ = run(FILL + "fill('/tmp/large')", file_size=MIB)
    assert reply == Said(["File too large", MIB])


def test_a_file_with_holes_is_as_large_as_it_says(run: Run) -> None:
    reply, _, _ = run(
        "try: os.truncate(os.open('/tmp/x', os.O_CREAT | os.O_RDWR), 1 << 40)\nexcept OSError as e: tell(e.strerror)"
    )
    assert reply == Said("File too large")


@pytest.fixture(params=["control-groups", "limits-of-processes"])
def limited_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> str:
    """What holds: control groups where this user may make one, and what holds everywhere."""
    if isinstance(sandbox, ContainerEngine):
        monkeypatch.setattr(sandbox, "_groups", sandbox._groups and request.param == "control-groups")
        return "control-groups" if sandbox._groups else "limits-of-processes"
    if request.param == "limits-of-processes" or not may_make_groups():
        monkeypatch.setattr(bubblewrap, "make_control_group", lambda *_: None)
        return "limits-of-processes"
    return "control-groups"


def may_make_groups() -> bool:
    group = make_control_group(64 * MIB, 16)
    if group is not None:
        group.remove()
    return group is not None


def test_memory_is_bounded(run: Run, limited_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "held = []\nwhile True: held.append(bytearray(16 * 1024 * 1024))"
    _, ending, output = run(code, memory=128 * MIB)
    assert ending.limit == "memory" if limited_by == "control-groups" else "MemoryError" in output
    assert not [*tmp_path.iterdir()], "no engine leaves a word of it here"


def test_shared_memory_is_bounded(run: Run, limited_by: str) -> None:
    code = "import mmap\nheld = []\nwhile True:\n held.append(mmap.mmap(-1, 1 << 24)); held[-1].write(bytes(1 << 24))"
    _, ending, output = run(code, memory=128 * MIB)
    assert ending.limit == "memory" if limited_by == "control-groups" else "Error" in output


def test_files_count_as_memory_where_control_groups_hold(run: Run, limited_by: str) -> None:
    code = FILL + "fill('/tmp/large', 1 << 20)"
    reply, ending, _ = run(code, memory=64 * MIB, tmp_size=128 * MIB, file_size=256 * MIB)
    if limited_by == "control-groups":
        assert ending.limit == "memory"
    else:
        assert reply == Said(["No space left on device", 128 * MIB])


@pytest.mark.usefixtures("limited_by")
def test_processes_are_counted(run: Run) -> None:
    code = """
import signal
made = 0
try:
    while os.fork():
        made += 1
    signal.pause()
except OSError as error:
    tell([error.strerror, made])
"""
    reply, ending, _ = run(code, processes=12)
    assert isinstance(reply, Said)
    error, made = reply.value
    assert error == "Resource temporarily unavailable"
    assert 1 <= made <= 12
    assert ending.status == 0


def test_a_fork_bomb_ends_with_its_time(run: Run) -> None:
    code = """
import time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.1)
"""
    _, ending, _ = run(code, processes=12, wall_seconds=1.0)
    assert ending.limit == "wall time"


@pytest.mark.usefixtures("limited_by")
def test_threads_are_counted(run: Run) -> None:
    code = """
import threading
count = 0
try:
    while True:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        count += 1
except RuntimeError:
    tell(count)
os._exit(0)
"""
    reply, ending, _ = run(code, processes=12)
    assert isinstance(reply, Said)
    assert 1 <= reply.value <= 12
    assert ending.status == 0


def test_open_files_are_counted(run: Run) -> None:
    code = "count = 0\ntry:\n while True: os.dup(0); count += 1\nexcept OSError as error: tell([error.strerror, count])"
    reply, _, _ = run(code, open_files=80)
    assert isinstance(reply, Said)
    assert reply.value[0] == "Too many open files"
    assert reply.value[1] < 80


def test_output_is_bounded(run: Run) -> None:
    _, ending, output = run("while True: print('y' * 1000)", output=10_000)
    assert ending.limit == "output"
    assert 10_000 <= len(output) <= 10_001


def test_output_that_is_no_text_is_replaced(run: Run) -> None:
    _, _, output = run("os.write(1, b'\\xff\\xfe and text')")
    assert output == "\ufffd\ufffd and text"


@pytest.mark.slow
def test_time_on_a_processor_is_bounded(run: Run) -> None:
    _, ending, _ = run("while True: pass", cpu_seconds=1)
    assert ending.limit == "CPU time"


UNENDING = {
    "sleeps": "time.sleep(3600)",
    "ignores-signals": """
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
time.sleep(3600)
""",
    "is-stopped": "os.kill(os.getpid(), signal.SIGSTOP); time.sleep(3600)",
    "waits-for-a-fifo": "os.mkfifo('/tmp/f'); open('/tmp/f')",
    "in-a-session-of-its-own": "os.fork() and time.sleep(3600) or os.setsid() or time.sleep(3600)",
    "closes-its-output": "os.close(1); os.close(2); time.sleep(3600)",
}


@pytest.mark.parametrize("code", UNENDING.values(), ids=UNENDING)
def test_what_will_not_end_is_ended(run: Run, code: str) -> None:
    reply, ending, _ = run("import signal, time\n" + code, wall_seconds=0.5)
    assert ending == Ending(137, "It was ended after 0.5 s.", "wall time")
    assert reply == Ended(ending)


@pytest.mark.parametrize("ends", [True, False], ids=["with-the-command", "with-the-conversation"])
def test_a_daemon_does_not_outlive_the_run(sandbox: Sandbox, unique_name: str, ends: bool) -> None:
    daemon = "import os, time; os.write(65, b'1\\n'); time.sleep(3600)"
    code = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-I", "-c", {daemon!r}, {unique_name!r}])
    os._exit(0)
os.wait()
os.read(64, 1)
{"time.sleep(3600)" if not ends else ""}
"""
    with sandbox.start([sys.executable, "-I", "-c", code]) as conversation:
        assert conversation.receive(PATIENCE) == Said(1)
        assert daemons(unique_name) == 1
        conversation.send(1, PATIENCE)
        if ends:
            ending = conversation.wait(PATIENCE)
            assert ending is not None
            assert ending.status == 0
        else:
            conversation.close()
        assert daemons(unique_name) == 0


def daemons(name: str) -> int:
    found = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found += process.cmdline()[-1:] == [name]
    return found


def test_one_that_is_closed_at_any_moment_of_its_start_is_gone(sandbox: Sandbox, unique_name: str) -> None:
    """Also before bwrap's process inside has asked Linux to end with it."""
    for moment in range(40):
        conversation = sandbox.start([sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)", unique_name])
        assert conversation.wait(moment / 500) is None
        conversation.close()
        assert daemons(unique_name) == 0


GRADER = """
import sys, time
from labkit.grading.sandbox.backend_choice import make_backend
code = "import os, time; os.write(65, b'1\\\\n'); time.sleep(3600)"
conversation = make_backend({backend!r}).start([sys.executable, "-I", "-c", code, {name!r}])
print(conversation.receive(60), flush=True)
time.sleep(3600)
"""


def test_a_grader_that_is_killed_leaves_nothing_running(sandbox: Sandbox, unique_name: str) -> None:
    backend = sandbox.name if isinstance(sandbox, ContainerEngine) else "bubblewrap"
    words = [sys.executable, "-c", GRADER.format(name=unique_name, backend=backend)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as grader:
        try:
            assert grader.stdout is not None
            assert grader.stdout.readline() == "Said(value=1)\n"
            assert daemons(unique_name) >= 1  # bwrap has it among its words too
        finally:
            grader.kill()
    wait_until(lambda: daemons(unique_name) == 0, timeout=PATIENCE, what="it was to end with its grader")
