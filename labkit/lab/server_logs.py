"""Reading what the servers said."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from labkit.errors import LabNotRunning
from labkit.lab.folders import LabFolders

#: The files of each server: first what it printed, which is usually nothing, then its log.
FILES = {"kafka": ("kafka.out", "server.log"), "redis": ("redis.out", "redis.log")}

#: Seconds between two looks at a log that is followed.
INTERVAL = 0.2


def last_lines(folders: LabFolders, server: str, count: int) -> list[str]:
    """The last lines of each of the server's files. Raises `LabNotRunning` if the lab has never run."""
    paths = [folders.logs / name for name in FILES[server]]
    if not any(path.exists() for path in paths):
        raise LabNotRunning("There are no logs: this lab has never run. Start it with `labkit up`.")
    return [line for path in paths if path.exists() for line in _tail(path, count)]


def follow(folders: LabFolders, server: str) -> Iterator[str]:
    """New lines of the server's log as they come, without end; goes on in the new file when it is rotated."""
    path = folders.logs / FILES[server][-1]
    path.touch()  # a server that failed early has not come to write one
    begin = path.stat().st_size
    while True:
        with _open(path) as file:
            file.seek(begin)
            yield from _until_replaced(path, file)
        begin = 0


def _until_replaced(path: Path, file: TextIO) -> Iterator[str]:
    while not _is_another(path, file):
        yield from _whole_lines(file)
        time.sleep(INTERVAL)
    yield from _whole_lines(file)


def _tail(path: Path, count: int) -> list[str]:
    with _open(path) as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=count)]


def _whole_lines(file: TextIO) -> Iterator[str]:
    """Lines up to the end; half a line is left for the next time."""
    while True:
        begin = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(begin)
            return
        yield line.rstrip("\n")


def _is_another(path: Path, file: TextIO) -> bool:
    """Has the log been replaced by a new file?"""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:  # between the renaming and the new file
        return False


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8", errors="replace")
