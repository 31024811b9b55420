"""Ctrl-C before the command line has begun: it ends as any program does, and Python shows nothing of its imports."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

#: Python reads it at its start: the interrupt comes when the module is looked for.
CUSTOMIZE = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
"""
SCRIPT = str(Path(sys.executable).with_name("labkit"))


def run(folder: Path, module: str, *command: str) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(CUSTOMIZE.format(module=module))
    return subprocess.run(
        command, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("command", [(SCRIPT,), (sys.executable, "-m", "labkit")], ids=["script", "module"])
@pytest.mark.parametrize("module", ["labkit.lazy_names", "labkit.cli", "labkit.errors", "labkit.process.signals"])
def test_ctrl_c_during_the_imports_shows_nothing(tmp_path, command, module):
    process = run(tmp_path, module, *command, "--help")

    assert (process.returncode, process.stdout, process.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("command", [(SCRIPT,), (sys.executable, "-m", "labkit")], ids=["script", "module"])
def test_once_the_command_line_has_begun_it_has_the_status_of_ctrl_c(tmp_path, command):
    process = run(tmp_path, "labkit.cli.commands", *command, "--help")

    assert (process.returncode, process.stdout, process.stderr) == (130, "", "")


@pytest.mark.parametrize("argument", ["-c", "-m"])
def test_a_program_that_imports_labkit_keeps_its_own_ctrl_c(tmp_path, argument):
    (tmp_path / "own.py").write_text("import signal, labkit\nprint(signal.getsignal(signal.SIGINT).__name__)\n")
    what = "own" if argument == "-m" else (tmp_path / "own.py").read_text()

    process = run(tmp_path, "none", sys.executable, argument, what, "-m", "labkit")

    assert (process.stdout, process.stderr) == ("default_int_handler\n", "")
