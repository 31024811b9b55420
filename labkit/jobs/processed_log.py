"""`processed_jobs.log`: one JSON line for every job that a group has processed, in whole lines only.

Many processes may append to one log. Who appends holds a lock and has read what the others have appended, so no job of
a group stands there twice, also when a worker was killed between its line and its commit. A file that has become too
large is set aside as `.1`, the one before as `.2`, and so on; the oldest is dropped.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from labkit.errors import ProcessedLogFailed

#: How large a file becomes, in bytes, and how many older ones are kept.
MAX_BYTES, OLDER = 10_000_000, 4
#: How long to wait for others who append, in seconds.
LOCK_TIMEOUT = 30.0


class ProcessedJob(Struct, frozen=True, kw_only=True):
    """A job that a worker of the group has processed. Times are in seconds since the epoch."""

    job_id: int
    group: str
    worker: str
    attempt: int
    started_at: float
    finished_at: float


_to_line = Encoder().encode
_of_line = Decoder(ProcessedJob).decode


class ProcessedLog:
    """The log, for one group's use. Safe to use from several threads and processes.

    Raises `ProcessedLogFailed` if the file or its folder cannot be used.
    """

    def __init__(self, path: Path, group: str, *, max_bytes: int = MAX_BYTES, older: int = OLDER) -> None:
        self.path = path.absolute()
        self.group = group
        self._max_bytes = max_bytes
        self._older = older
        self._lock = threading.Lock()
        self._file_lock = FileLock(f"{self.path}.lock", timeout=LOCK_TIMEOUT, thread_local=False)
        self._done: set[int] = set()
        self._inode: int | None = None
        self._read_to = 0
        with self._alone():
            pass  # it can be used, and what stands there is known

    def __contains__(self, job_id: int) -> bool:
        """Whether the group has processed the job, as far as the newest files tell."""
        with self._alone():
            return job_id in self._done

    def append(self, job: ProcessedJob) -> bool:
        """Append the line; False if the job stands there already."""
        with self._alone():
            if job.job_id in self._done:
                return False
            self._rotate_if_due()
            self._write(_to_line(job) + b"\n")
            self._done.add(job.job_id)
            return True

    def read(self) -> Iterator[ProcessedJob]:
        """All jobs of all groups in the files that are kept, the oldest first."""
        for file in self._files():
            with file.open("rb") as lines:
                yield from (_of_line(line) for line in lines if line.endswith(b"\n"))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else appends, the last line is whole, and all lines are known."""
        try:
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self._file_lock:
                    self._catch_up()
                    yield
        except (OSError, Timeout, DecodeError) as error:
            raise ProcessedLogFailed(
                f"The log of the processed jobs, {self.path}, cannot be used: {error}. Name another file, "
                "or move this one away: then jobs that are delivered again may stand in the new one too."
            ) from error

    def _catch_up(self) -> None:
        with self.path.open("ab+") as file:
            _mend(file)
            found = os.fstat(file.fileno())
        if found.st_ino != self._inode or found.st_size < self._read_to:  # set aside, or another one
            self._done = {job.job_id for job in self.read() if job.group == self.group}
        elif found.st_size > self._read_to:
            with self.path.open("rb") as lines:
                lines.seek(self._read_to)
                self._done.update(job.job_id for job in map(_of_line, lines) if job.group == self.group)
        self._inode, self._read_to = found.st_ino, found.st_size

    def _write(self, line: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            if file.write(line) < len(line):
                file.truncate(self._read_to)
                raise OSError(errno.ENOSPC, "the line did not fit on the disk")
            self._inode = os.fstat(file.fileno()).st_ino
        self._read_to += len(line)

    def _rotate_if_due(self) -> None:
        if self._read_to < self._max_bytes:
            return
        for number in range(self._older, 0, -1):
            older = self._aside(number - 1)
            if older.exists():
                older.replace(self._aside(number))
        self._read_to = 0

    def _files(self) -> list[Path]:
        files = (self._aside(number) for number in range(self._older, -1, -1))
        return [file for file in files if file.exists()]

    def _aside(self, number: int) -> Path:
        return self.path if number == 0 else self.path.with_name(f"{self.path.name}.{number}")


def _mend(file: BinaryIO) -> None:
    """Cut off a last line that is not whole: whoever wrote it was killed, and its job will be delivered again."""
    size = file.seek(0, os.SEEK_END)
    end = size
    while end > 0:
        start = max(0, end - 65_536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        file.truncate(end)
