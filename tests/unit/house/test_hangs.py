"""A run in which tests hang ends, fails, and says which they were and where they stood; all others are run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: How a test can hang or die, one way a file, between two tests that are well.
WAYS = {
    "lock": "threading.Lock().acquire() and None or HELD.acquire()",
    "interpreter": "ctypes.PyDLL(None).sleep(1000)  # nothing else in Python runs meanwhile",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "child": "HEIR.start() or os.kill(os.getpid(), signal.SIGKILL)  # its child holds the pipe to the parent open",
}
FILE = """
import ctypes, multiprocessing, os, signal, threading, time
import pytest

HELD = threading.Lock()
HELD.acquire()
HEIR = multiprocessing.get_context("fork").Process(target=threading.Event().wait, args=(40,))

def test_before():
    pass

@pytest.mark.timeout(2)
def test_{way}():
    {hang}

@pytest.mark.parametrize("number", range(5))
def test_after(number):
    pass
"""
IN_TEARDOWN = """
import threading
import pytest

@pytest.fixture
def broken():
    yield
    threading.Event().wait()

@pytest.mark.timeout(2)
def test_fails_and_hangs_afterwards(broken):
    assert "it" == "failed"
"""
CONFTEST = 'pytest_plugins = ["tests.scheduler", "tests.watchdog"]'
OPTIONS = ["-q", "-p", "xdist", "-p", "pytest_timeout", "-p", "no:cacheprovider", "-W", "ignore"]
#: For those that do not hang.
LIMITS = ["--timeout=120", "-o", "watchdog_grace=1"]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", *OPTIONS, *LIMITS, f"--rootdir={folder}", *options]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=250
    )


def test_a_run_in_several_processes_ends_and_says_where_each_test_stood(tmp_path: Path) -> None:
    for way, hang in WAYS.items():
        (tmp_path / f"test_{way}.py").write_text(FILE.format(way=way, hang=hang))
    (tmp_path / "test_teardown.py").write_text(IN_TEARDOWN)
    answer = run(tmp_path, "-n", "2")
    said = answer.stdout
    assert answer.returncode == 1
    assert f"{len(WAYS) + 2} failed, {6 * len(WAYS)} passed" in said
    assert all(f"crashed while running 'test_{way}.py::test_{way}'" in said for way in WAYS)
    for way in ("lock", "interpreter"):
        assert f"in test_{way}\n" in said
    assert "/_pytest/" not in said
    assert "It was stopped from outside" in said
    assert "in broken" in said


@pytest.mark.parametrize("way", [pytest.param("lock", marks=pytest.mark.long), "interpreter"])
def test_a_run_in_one_process_ends_too(tmp_path: Path, way: str) -> None:
    (tmp_path / "test_it.py").write_text(FILE.format(way=way, hang=WAYS[way]))
    answer = run(tmp_path)
    assert answer.returncode == 1
    assert f"in test_{way}" in answer.stderr


def test_a_process_that_dies_between_two_tests_fails_the_run(tmp_path: Path) -> None:
    dies = "import os\n\ndef test_it():\n    pass\n\ndef teardown_module():\n    os._exit(0)\n"
    (tmp_path / "test_it.py").write_text(dies)
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    answer = run(tmp_path, "-n", "2")
    assert answer.returncode != 0, answer.stdout
