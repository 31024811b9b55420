"""`processed_jobs.log`: one JSON line for every job that a group has processed, in whole lines only.

Many processes may append to one log. Who appends holds a lock and has read what the others have appended, so no job of
a group stands there twice, also when a worker was killed between its line and its commit. A file that has become too
large is set aside as `.1`, the one before as `.2`, and so on; the oldest is dropped.

No name in a line ends it or moves a terminal's cursor: what cannot be seen is escaped, as JSON has it.
A line that is none of a processed job is passed over, and said. A file that is taken away under way is begun anew; what
this process knows of it, it still knows: the last `MOST_GONE` jobs. What stood in a file that was dropped is forgotten.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from msgspec import DecodeError, Struct
from msgspec.json import Encoder

from labkit.errors import ProcessedLogFailed
from labkit.parameters import check_methods
from labkit.plain_text import in_json
from labkit.typed_values import json_decoder

log = logging.getLogger("labkit.jobs")

#: How large a file becomes, in bytes, and how many older ones are kept.
MAX_BYTES, OLDER = 10_000_000, 4
#: Of how many jobs it is remembered that they stood in files that were taken away.
MOST_GONE = 100_000
#: How long to wait for others who append, and how often to look whether they have, in seconds: whoever looks more
#: seldom than others append is left behind.
LOCK_TIMEOUT, LOCK_INTERVAL = 10.0, 0.005
#: By how much of its end a file is known again, in bytes.
TAIL = 200
#: How much of a line that is passed over is shown, in characters.
SHOWN = 80


class ProcessedJob(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job that a worker of the group has processed. Times are in seconds since the epoch.

    Jobs of the same id on two topics, or on one that was made anew, are two: `topic_id` tells them apart (KIP-516). It
    is empty where it is not known of which topic the job was, as in lines of older versions.
    """

    job_id: int
    topic_id: str = ""
    group: str
    worker: str
    attempt: int
    started_at: float
    finished_at: float


_encode = Encoder().encode
_of_line = json_decoder(ProcessedJob).decode


@check_methods
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
        self._file_lock = FileLock(
            f"{self.path}.lock", timeout=LOCK_TIMEOUT, poll_interval=LOCK_INTERVAL, thread_local=False
        )
        #: the group's jobs in the files that are kept, and in those that were taken away; as keys, the oldest first
        self._done: dict[tuple[str, int], None] = {}
        self._gone: dict[tuple[str, int], None] = {}
        self._inode: int | None = None
        self._read_to = 0
        #: what stood before that place; the number of a file that was deleted may be that of the next
        self._tail = b""
        #: the lines that were passed over, by their file and place, so that each is said once
        self._said: set[tuple[int, int]] = set()
        with self._alone():
            pass  # it can be used, and what stands there is known

    def __contains__(self, job_id: int) -> bool:
        """Whether the group has processed a job of this id, on whatever topic, as far as the newest files tell."""
        with self._alone():
            return any(done == job_id for known in (self._done, self._gone) for _, done in known)

    def has(self, topic_id: str, job_id: int) -> bool:
        """Whether the group has processed the job of this very topic, as far as the newest files tell."""
        with self._alone():
            return self._is_done((topic_id, job_id))

    def append(self, job: ProcessedJob) -> bool:
        """Append the line; False if the job stands there already."""
        with self._alone():
            if self._is_done(_key(job)):
                return False
            self._rotate_if_due()
            self._write(in_json(_encode(job).decode()).encode() + b"\n")
            self._done[_key(job)] = None
            return True

    def read(self) -> Iterator[ProcessedJob]:
        """All jobs of all groups in the files that are kept, the oldest first."""
        for file in self._files():
            with file.open("rb") as lines:
                yield from self._jobs(lines)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else appends, the last line is whole, and all lines are known."""
        try:
            with self._turn():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self._file_lock:
                    self._catch_up()
                    yield
        except (OSError, Timeout) as error:
            raise ProcessedLogFailed(
                f"The log of the processed jobs, {self.path}, cannot be used: {error}. Mend that, or name another "
                "file: then jobs that are delivered again may stand in the new one too."
            ) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """No other thread of this process is at it; of many, each would wait for the file as long as all before it."""
        if not self._lock.acquire(timeout=LOCK_TIMEOUT):
            raise Timeout(self._file_lock.lock_file)
        try:
            yield
        finally:
            self._lock.release()

    def _catch_up(self) -> None:
        with self.path.open("ab+") as file:
            _mend(file)
            if not self._is_known(file):  # set aside, or another one
                known = self._gone if self._was_set_aside() else self._gone | self._done
                self._read_anew()
                self._gone = dict.fromkeys([key for key in known if key not in self._done][-MOST_GONE:])
            else:
                file.seek(self._read_to)
                self._done.update((_key(job), None) for job in self._jobs(file) if job.group == self.group)
            self._remember(file)

    def _is_done(self, key: tuple[str, int]) -> bool:
        return key in self._done or key in self._gone

    def _read_anew(self) -> None:
        """Know what stands in the files that are kept, and nothing else of files."""
        inodes = {file.stat().st_ino for file in self._files()}
        self._said = {(inode, place) for inode, place in self._said if inode in inodes}
        self._done = {_key(job): None for job in self.read() if job.group == self.group}

    def _is_known(self, file: BinaryIO) -> bool:
        """Whether it is the file that was read last, with nothing gone from it."""
        return os.fstat(file.fileno()).st_ino == self._inode and _before(file, self._read_to) == self._tail

    def _remember(self, file: BinaryIO) -> None:
        self._inode = os.fstat(file.fileno()).st_ino
        self._read_to = file.seek(0, os.SEEK_END)
        self._tail = _before(file, self._read_to)

    def _was_set_aside(self) -> bool:
        """Whether the file that was read last is one of the older ones now, so that nothing is missing."""
        return any(file.stat().st_ino == self._inode for file in self._files()[:-1])

    def _jobs(self, lines: BinaryIO) -> Iterator[ProcessedJob]:
        """The jobs of the whole lines from here on."""
        place = lines.tell()
        for line in lines:
            if line.endswith(b"\n"):
                try:
                    yield _of_line(line)
                except (DecodeError, ValueError) as error:
                    self._say(lines, place, line, error)
            place += len(line)

    def _say(self, file: BinaryIO, place: int, line: bytes, error: Exception) -> None:
        seen = (os.fstat(file.fileno()).st_ino, place)
        if seen not in self._said:
            self._said.add(seen)
            shown = line[:SHOWN].decode(errors="backslashreplace").rstrip()
            log.warning(
                "%s: the line at byte %d is no processed job and is passed over (%s): %s",
                file.name,
                place,
                error,
                shown,
            )

    def _write(self, line: bytes) -> None:
        with self.path.open("ab+", buffering=0) as file:
            if file.write(line) < len(line):
                file.truncate(self._read_to)
                raise OSError(errno.ENOSPC, "the line did not fit on the disk")
            self._remember(file)

    def _rotate_if_due(self) -> None:
        if self._read_to < self._max_bytes:
            return
        is_one_dropped = self._aside(self._older).exists()
        for number in range(self._older, 0, -1):
            older = self._aside(number - 1)
            if older.exists():
                older.replace(self._aside(number))
        self._read_to = 0
        if is_one_dropped:
            self._read_anew()

    def _files(self) -> list[Path]:
        files = (self._aside(number) for number in range(self._older, -1, -1))
        return [file for file in files if file.exists()]

    def _aside(self, number: int) -> Path:
        return self.path if number == 0 else self.path.with_name(f"{self.path.name}.{number}")


def _key(job: ProcessedJob) -> tuple[str, int]:
    return job.topic_id, job.job_id


def _before(file: BinaryIO, place: int) -> bytes:
    """Some of what stands before this place."""
    start = file.seek(max(0, place - TAIL))
    return file.read(place - start)


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
