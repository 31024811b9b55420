"""What a process writes to its standard output and its standard error: in a file of bounded size, and at hand."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from labkit.temporary_folder import remove_folder, temporary_folder

#: What the file is called where a process has a folder of its own.
OUTPUT_FILE = "output.log"
#: How much of what a process writes is kept on disk at most, in bytes: the newest.
MAX_BYTES = 1_000_000
#: How much of it is kept in memory, for its last words, in bytes.
TAIL_BYTES = 8_192
#: How long a last line may be, in characters.
LAST_LINE = 500

log = logging.getLogger("labkit.process")

_numbers = count(1)


class OutputLog:
    """The newest `MAX_BYTES` of an output, in two files: `path`, and `path` with `.1` behind it, which is older.

    The files appear with the first bytes. Without a `path` they are in `output_folder`. A disk that cannot be written
    to loses what was to be written, which is said once, and never the process. Files that are taken away under way are
    begun anew, with the last words.
    """

    def __init__(self, name: str, path: Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        #: how many bytes have come so far
        self.written = 0
        self._name = name
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._file = -1
        self._size = 0
        self._tail = b""
        self._failed = False

    def write(self, data: bytes) -> None:
        """Take what has come."""
        for show in _shown_by:
            show(data)
        with self._lock:
            self.written += len(data)
            self._tail = (self._tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
            try:
                if self._is_gone():
                    log.warning(
                        "%s, where what %s writes is kept, was taken away and is begun anew", self.path, self._name
                    )
                    self._let_go()
                    data = max(data, self._tail, key=len)  # which ends with it
                self._append(data[-self._max_bytes :])
            except OSError as error:
                if not self._failed:
                    log.warning("what %s writes is not kept for now: %s", self._name, error)
                self._failed = True

    def text(self) -> str:
        """All that is kept, the oldest first; what is no UTF-8 is replaced."""
        with self._lock:
            if self.path is None or self._failed or not self.path.exists():
                return _decoded(self._tail)
            older = self.path.with_name(self.path.name + ".1")
            return _decoded(b"".join(part.read_bytes() for part in (older, self.path) if part.exists()))

    def last_line(self) -> str:
        """The last line that is not empty, or its end if it is long; nothing if there is none."""
        with self._lock:
            lines = _decoded(self._tail).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[-LAST_LINE:]

    def close(self) -> None:
        """Let go of the file, which stays."""
        for show in _shown_by:
            show(b"")
        with self._lock:
            self._let_go()

    def _is_gone(self) -> bool:
        return self._file >= 0 and os.fstat(self._file).st_nlink == 0

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, data: bytes) -> None:
        half = self._max_bytes // 2
        while data:
            if self._file < 0:
                self._open()
            if self._size >= half:
                self._turn_over()
            part = data[: half - self._size]
            done = os.write(self._file, part)
            self._size += done
            data = data[done:]
        self._failed = False

    def _open(self) -> None:
        if self.path is None:
            self.path = output_folder() / f"{self._name.replace(os.sep, '_')}-{next(_numbers)}.log"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    def _turn_over(self) -> None:
        assert self.path is not None
        self._let_go()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._open()


_shown_by: list[Callable[[bytes], object]] = []


@contextmanager
def outputs_shown(show: Callable[[bytes], object]) -> Iterator[None]:
    """Inside, what any process writes is given to `show` too, as it comes, from the thread that hears the process.

    Nothing, as `b""`, is given when it has ended.
    """
    _shown_by.append(show)
    try:
        yield
    finally:
        _shown_by.remove(show)


_given: list[Path] = []


def use_output_folder(folder: Path) -> None:
    """From now on, what has no other place goes into this folder."""
    _given[:] = [folder.absolute()]  # a handler may change the working directory


def output_folder() -> Path:
    """Where the outputs are that have no other place: a temporary folder that goes when this process ends."""
    return _given[0] if _given else _temporary_folder()


@cache
def _temporary_folder() -> Path:
    folder = temporary_folder("output")
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a forked copy ends too
            remove_folder(folder)

    atexit.register(remove)
    return folder


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
