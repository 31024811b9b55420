"""What is written to the terminal under a live view, by whomever: it comes line by line to whoever draws the view.

Not only what Python prints: also what a library in C complains of, and what the processes write that a handler starts.
So the descriptors are led elsewhere, not the streams of Python alone.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

#: The descriptors of standard output and error.
_OUTPUTS = (1, 2)
#: Ends what the reader reads. No text has it.
_END = b"\0 labkit's view ends \0"


class TerminalFile:
    """The terminal itself, as rich writes to it. Once it is closed, what is written goes nowhere."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self.encoding = getattr(sys.stdout, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write all of it."""
        data = text.encode(self.encoding, errors="backslashreplace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:  # the terminal was closed
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._descriptor, inheritable=False)
            os.close(nowhere)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """It is one."""
        return True

    def fileno(self) -> int:
        """Its descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


class TerminalLines:
    """From `start` to `close`, each line that anybody writes to the terminal is given to `take`, on one thread."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._kept: dict[int, int] = {}
        self._read = self._write = -1
        self._thread = threading.Thread(target=self._follow, name="lines for the terminal", daemon=True)

    def start(self) -> None:
        """Lead elsewhere what leads to a terminal."""
        _flush()
        self._read, self._write = os.pipe()
        self._thread.start()
        self._kept = {number: os.dup(number) for number in _OUTPUTS if os.isatty(number)}
        for number in self._kept:
            os.dup2(self._write, number)

    def close(self) -> None:
        """Lead it back, when all that was written is taken."""
        _flush()
        ours = os.fstat(self._write)
        for number, kept in self._kept.items():
            if os.path.samestat(os.fstat(number), ours):  # else it was led elsewhere meanwhile, as nowhere at a hang-up
                os.dup2(kept, number)
            os.close(kept)
        os.write(self._write, _END)
        self._thread.join()
        os.close(self._write)
        os.close(self._read)

    def _follow(self) -> None:
        rest, ended = b"", False
        while not ended and (data := os.read(self._read, 65536)):
            rest, end, _ = (rest + data).partition(_END)
            ended = bool(end)
            *lines, rest = rest.split(b"\n")
            for line in lines:
                self._take(line)
        if rest:
            self._take(rest)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever writes next is told
            stream.flush()
