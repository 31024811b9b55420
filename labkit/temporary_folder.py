"""Folders for temporary files that do not stay for ever where their owner was killed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: What the names of the folders end with: nobody else gives such names.
SUFFIX = ".labkit"
#: How long a folder stays that nobody owns, in seconds: what was in a killed program's may still be looked at.
STAYS = 24 * 3600.0

_NAME = re.compile(rf"[a-z]+-\w{{8}}{re.escape(SUFFIX)}", re.ASCII)
#: The locks of the folders that this process owns; the system opens them when it ends, and its forked copies.
_held: dict[Path, int] = {}
_swept: set[Path] = set()


def temporary_folder(what: str, parent: Path | None = None) -> Path:
    """A new folder for this, one word, that nobody else may look into; the caller ends it by `remove_folder`.

    In `parent`, or else the folder for temporary files. What killed programs have left there for a day goes.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    if parent not in _swept:
        _swept.add(parent)
        sweep(parent, time.time())
    folder = Path(tempfile.mkdtemp(prefix=f"{what}-", suffix=SUFFIX, dir=parent))
    with suppress(OSError):  # where folders cannot be locked, nothing is swept either
        _held[folder] = _lock(folder)
    return folder


def remove_folder(folder: Path) -> None:
    """Delete it with all that is in it, as far as possible; once more is no error."""
    shutil.rmtree(folder, ignore_errors=True)
    lock = _held.pop(folder, None)
    if lock is not None:
        os.close(lock)


@contextmanager
def passing_folder(what: str, parent: Path | None = None) -> Iterator[Path]:
    """Such a folder for as long as this lasts."""
    folder = temporary_folder(what, parent)
    try:
        yield folder
    finally:
        remove_folder(folder)


def sweep(parent: Path, now: float) -> None:
    """Delete the folders there that no process owns any more and in which nothing has changed for a day."""
    for folder in _own_folders(parent):
        with suppress(OSError):
            lock = _lock(folder)
            try:
                if now - _changed(folder) > STAYS:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _own_folders(parent: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
                        yield Path(entry.path)


def _lock(folder: Path) -> int:
    """A descriptor that locks it; raises `BlockingIOError` where another process has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _changed(folder: Path) -> float:
    """When something in it changed last, in seconds since 1970."""
    with os.scandir(folder) as entries:
        return max([folder.stat().st_mtime, *(entry.stat(follow_symlinks=False).st_mtime for entry in entries)])
