"""A log's file that is not this process's alone: others write to it, rotate it or delete it.

Python's handlers write on to where the file was: to one that is gone, or to an older one; and two processes that rotate
at the same time rename each other's new file, so that an older one is lost.
"""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO


def share(handler: logging.FileHandler) -> None:
    """Have it write to the file that bears the name now, and rotate that only if nobody else does."""
    _follow(handler)
    if isinstance(handler, RotatingFileHandler):
        _rotate_alone(handler)


def _follow(handler: logging.FileHandler) -> None:
    write = handler.emit

    def emit(record: logging.LogRecord) -> None:
        try:
            if handler.stream is not None and not _is_current(handler.stream, handler.baseFilename):
                handler.stream.close()
                handler.stream = None  # as with `delay`: the next line opens it
            if handler.stream is None:
                Path(handler.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError):
            handler.handleError(record)
        else:
            write(record)

    handler.emit = emit  # type: ignore[method-assign]


def _rotate_alone(handler: RotatingFileHandler) -> None:
    rotate, is_full = handler.doRollover, handler.shouldRollover

    def is_full_by_now(record: logging.LogRecord) -> bool:
        if handler.stream is not None:
            with suppress(OSError):  # a pipe has no end
                handler.stream.seek(0, os.SEEK_END)  # others may have written, which Python 3.13 does not look at
        return bool(is_full(record))

    def rotate_alone() -> None:
        stream = handler.stream = handler.stream or handler._open()
        held = os.dup(stream.fileno())  # which keeps the lock when the stream is closed
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_current(stream, handler.baseFilename):
                rotate()
            else:
                stream.close()
                handler.stream = handler._open()
        except OSError:
            pass  # another process is at it, or it cannot be done there: this line still goes to the file as it is
        finally:
            os.close(held)

    handler.doRollover = rotate_alone  # type: ignore[method-assign]
    handler.shouldRollover = is_full_by_now  # type: ignore[method-assign]


def _is_current(stream: IO[str], name: str) -> bool:
    """Whether it writes to the file of that name."""
    try:
        return os.path.samestat(Path(name).stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False
