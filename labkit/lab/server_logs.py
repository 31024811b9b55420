"""Reading what the servers said."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from labkit.errors import LabError, LabNotRunning
from labkit.lab.folders import LabFolders

#: The files of each server: first what it printed, which is usually nothing, then its log.
FILES = {"kafka": ("kafka.out", "server.log"), "redis": ("redis.out", "redis.log")}

#: Seconds between two looks at a log that is followed.
INTERVAL = 0.2


def last_lines(folders: LabFolders, server: str, count: int, *, broker: int = 1) -> list[str]:
    """The last lines of each of the server's files; `broker` says which Kafka, counted from 1.

    Raises `LabNotRunning` if the lab has never run, and `LabError` if it has no such broker.
    """
    paths = _paths(folders, server, broker)
    return [line for path in paths if path.exists() for line in _tail(path, count)]


def follow(folders: LabFolders, server: str, count: int, *, broker: int = 1) -> Iterator[str]:
    """The last lines, then new ones of the server's log as they come, without end, also when the log is rotated."""
    *others, path = _paths(folders, server, broker)
    for other in others:
        yield from _tail(other, count) if other.exists() else ()
    path.touch()  # a server that failed early has not come to write one
    lines: int | None = count
    while True:
        with path.open("rb") as file:
            yield from deque(_whole_lines(file), maxlen=lines)
            yield from _until_replaced(path, file)
        lines = None


def _paths(folders: LabFolders, server: str, broker: int) -> list[Path]:
    brokers = folders.brokers()
    if broker > max(1, brokers):
        raise LabError(
            f"This lab has {brokers} broker{'' if brokers == 1 else 's'}, so there is no log of broker {broker}."
        )
    logs = folders.broker(broker).logs if server == "kafka" else folders.logs
    paths = [logs / name for name in FILES[server]]
    if not any(path.exists() for path in paths):
        raise LabNotRunning("There are no logs: this lab has never run. Start it with `labkit up`.")
    return paths


def _tail(path: Path, count: int) -> list[str]:
    with path.open("rb") as file:
        return list(deque(_whole_lines(file), maxlen=count))


def _until_replaced(path: Path, file: BinaryIO) -> Iterator[str]:
    while not _is_another(path, file):
        yield from _whole_lines(file)
        time.sleep(INTERVAL)
    yield from _whole_lines(file)


def _whole_lines(file: BinaryIO) -> Iterator[str]:
    """Lines up to the end; half a line is left for the next time."""
    while True:
        begin = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(begin)
            return
        yield line.decode(errors="replace").rstrip("\n")


def _is_another(path: Path, file: BinaryIO) -> bool:
    """Has the log been replaced by a new file?"""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:  # between the renaming and the new file
        return False
