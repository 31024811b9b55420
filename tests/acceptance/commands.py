"""What a command has said when it has ended."""

from __future__ import annotations

import signal
import subprocess

#: How long a command may take to end, in seconds.
TIMEOUT = 180.0


def outcome(process: subprocess.Popen[str], *statuses: int) -> tuple[str, str]:
    """Its output and its complaints, when it has ended with one of these, or with 0."""
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode in (statuses or (0,)), err
    assert "Traceback" not in err
    return out, err


def said(process: subprocess.Popen[str], status: int = 0) -> str:
    """Its output; where it is to fail, its complaints."""
    out, err = outcome(process, status)
    return err if status else out


def ended(process: subprocess.Popen[str]) -> str:
    """Its output when Ctrl-C was pressed."""
    process.send_signal(signal.SIGINT)
    return said(process)
