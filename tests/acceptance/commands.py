"""What a command has said when it has ended."""

from __future__ import annotations

import signal
import subprocess

#: How long a command may take to end, in seconds.
TIMEOUT = 90.0


def outcome(process: subprocess.Popen[str], status: int = 0) -> tuple[str, str]:
    """Its output and its complaints."""
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status, err
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
