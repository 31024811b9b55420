"""What a command has said when it has ended."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest
from _pytest.mark import ParameterSet

#: How long a command may take to end, in seconds.
TIMEOUT = 180.0


def further(*values: Any) -> ParameterSet:
    """One more of a kind of which another is in every run: for the long ones."""
    return pytest.param(*values, marks=pytest.mark.long)


def outcome(process: subprocess.Popen[str], *statuses: int) -> tuple[str, str]:
    """Its output and its complaints, when it has ended with one of these, or with 0."""
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode in (statuses or (0,)), err
    assert "Traceback" not in err, err
    return out, err


def said(process: subprocess.Popen[str], status: int = 0) -> str:
    """Its output; where it is to fail, its complaints."""
    out, err = outcome(process, status)
    return err if status else out


def ended(process: subprocess.Popen[str]) -> str:
    """Its output when Ctrl-C was pressed."""
    process.send_signal(signal.SIGINT)
    return said(process)
