"""A command in a terminal, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyte

from tests.conditions import PATIENCE

#: All that a command says stands on the screen; nothing scrolls away.
ROWS = 400


class ScreenedCommand:
    """labkit with these words, on a terminal of so many columns. A context manager: killed at the end."""

    def __init__(self, *words: str, columns: int, folder: Path, environment: Mapping[str, str]) -> None:
        self.raw = b""
        self._screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "labkit", *words],
            cwd=folder,
            env={"TERM": "xterm-256color", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> ScreenedCommand:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def lines(self) -> list[str]:
        """What stands there now, without what is empty at the end."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    def wait_for(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """Return the lines of the screen for which this holds."""
        deadline = time.monotonic() + 4 * PATIENCE
        while not holds(self.lines()):
            assert time.monotonic() < deadline, "\n".join(self.lines())
            assert self._read(), "\n".join(self.lines())
        return self.lines()

    def end(self, *, by_ctrl_c: bool = True) -> list[str]:
        """The screen when the command has ended."""
        if by_ctrl_c:
            self.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 4 * PATIENCE
        while self._read():
            assert time.monotonic() < deadline, "\n".join(self.lines())
        assert self.process.wait(PATIENCE) == 0, "\n".join(self.lines())
        return self.lines()

    def _read(self) -> bool:
        """Show what has come, after waiting a moment for it; whether more may come."""
        if not select.select([self._ours], [], [], 0.5)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # as Linux says that the other end is closed
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)
