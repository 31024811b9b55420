"""Records on their way to disk as they come: a folder of Parquet parts, and a journal for the newest of them.

    append -> waiting, for milliseconds -> 000003-8c1f0a.jsonl, the journal -> 000003-8c1f0a.parquet, a part

A journal holds a record a line, so of a process that is killed only the last milliseconds are lost. It becomes a part
when it is full, on a thread, without the interpreter's lock. `read_store` reads such a folder at any time, and whoever
has left it.

Each store has names of its own, by the letters behind the number. So several may use one folder, at once or one after
another: each reads, packs and deletes its own files only, and what a killed program has left stays until somebody
deletes it.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.json import Encoder

from labkit.errors import RecordsUnreadable, RecordsUnwritable
from labkit.logs.safe_logger import safe_logger
from labkit.measure.record_files import RecordFolder, file_names, frame_of, read_file, schema, table_of
from labkit.measure.task_record import TaskRecord, printable
from labkit.whole_file import whole_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: How many records a journal takes before it becomes a part; that takes some kilobytes of memory for each of them.
PART_RECORDS = 10_000
#: How long a record waits for others that are written with it, in seconds.
PACE = 0.005
#: How many are written at once.
BATCH = 1_000
#: How many records wait for a disk that cannot be written to; those that come on top of them are lost, and counted.
MOST_WAITING = 50_000
#: How long to wait before such a disk is tried again, in seconds.
RETRY_INTERVAL = 1.0
#: How long a disk may take for the last of them, in seconds.
CLOSE_TIMEOUT = 30.0

log = safe_logger("labkit.records")


class RecordStore:
    """Takes records from any thread and keeps them in a folder, not in memory.

    Without a `folder` it is a temporary one, which goes with the store. Nothing is made before the first record. A disk
    that cannot be written to is tried again, and never the concern of those who append: what waits for it is among the
    records all the same. Records whose files somebody deletes under way are lost, which is said and counted.
    """

    def __init__(self, folder: Path | None = None, *, part_records: int = PART_RECORDS) -> None:
        #: how many records of each outcome were written to disk
        self.outcomes: Counter[str] = Counter()
        #: the workers whose records were
        self.workers: set[str] = set()
        self._folder = RecordFolder(folder, part_records=part_records)
        self._taken = 0
        self._dropped = 0
        self._taking = threading.Lock()
        self._waiting: deque[TaskRecord] = deque()
        self._writing = threading.Lock()
        self._packing = threading.Lock()
        self._arrived = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._encode = Encoder().encode
        self._failed = False

    def __len__(self) -> int:
        return self._taken - self.lost

    @property
    def folder(self) -> Path | None:
        """Where the records are; a temporary folder is made with the first one."""
        return self._folder.path

    @property
    def lost(self) -> int:
        """How many records were lost, since the disk could not be written to or their files were deleted."""
        return self._dropped + self._folder.missing

    def append(self, record: TaskRecord) -> None:
        """Take one record."""
        with self._taking:
            self._taken += 1
            self._waiting.append(record)
        if not self._arrived.is_set():
            self._arrived.set()
            if self._thread is None:
                self._begin()

    def flush(self) -> bool:
        """Write what waits; whether that could be done."""
        with self._writing:
            left = len(self._waiting)  # what comes meanwhile is for the next time
            while left > 0:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, left))]
                left -= len(batch)
                try:
                    self._folder.write(b"".join(map(self._line, batch)), len(batch))
                except OSError as error:
                    self._put_back(batch, error)
                    return False
                self.outcomes.update(record.outcome for record in batch)
                self.workers.update(record.worker for record in batch)
            if self._failed:
                log.warning("the records can be written again; %d were lost", self.lost)
            self._failed = False
            if self._closed.is_set():
                self._folder.close()
            return True

    def counts(self) -> tuple[Counter[str], int]:
        """How many records there are of each outcome so far, and of how many workers, on disk or not."""
        self.flush()
        with self._writing, self._taking:
            waiting = list(self._waiting)
            outcomes = self.outcomes + Counter(record.outcome for record in waiting)
            return outcomes, len(self.workers.union(record.worker for record in waiting))

    def frame(self) -> pd.DataFrame:
        """All of them, one row per attempt, ordered by the time at which it finished (see `to_frame`)."""
        with self._packing:
            return frame_of(self._tables())

    def write(self, path: Path) -> Path:
        """Write all of them into one Parquet file, part by part; it appears whole or not at all.

        Raises `RecordsUnwritable` if that cannot be done; the folder stays.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self._packing:
            try:
                with whole_file(path) as part, pq.ParquetWriter(part, schema()) as writer:
                    for table in self._tables():
                        writer.write_table(table)
            except (OSError, pa.ArrowException, RecordsUnreadable) as error:
                raise RecordsUnwritable(
                    f"The records could not be written to {path}: {error}. {self._where()}"
                ) from error
            return path

    def close(self) -> None:
        """Write what waits, and end the thread. What was written can still be read. Closing twice is no error.

        Raises `RecordsUnwritable` if the disk does not answer; then all stays, and it can be tried again.
        """
        self._closed.set()
        self._arrived.set()
        if self._thread is None:
            self.flush()
        else:
            self._thread.join(CLOSE_TIMEOUT)
            if self._thread.is_alive():  # and has the lock, without which nothing can be told of the rest
                raise RecordsUnwritable(
                    f"The disk has not taken the newest records within {CLOSE_TIMEOUT:g} s. The others are in the "
                    f"folder {self.folder}, which `read_records` reads too."
                )
        with self._packing, self._writing:
            self._folder.close()

    def remove(self) -> None:
        """Close, and delete the files, with the folder if it holds nothing else."""
        self.close()
        with self._packing, self._writing:
            self._folder.remove()

    def _begin(self) -> None:
        with self._writing:
            if self._thread is None and not self._closed.is_set():
                thread = threading.Thread(target=self._run, name="labkit-records", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # there are too many already; the next record tries again
                    self._say_failed(error)
                    self._arrived.clear()
                else:
                    self._thread = thread

    def _run(self) -> None:
        pause, said = PACE, False
        while not self._closed.is_set():
            self._arrived.wait()
            self._closed.wait(pause)
            self._arrived.clear()
            try:
                pause = PACE if self.flush() else RETRY_INTERVAL
                self._pack()
                said = False
            except Exception:  # whatever it was, later records are to be written
                if not said:
                    log.exception("records could not be written for now")
                pause, said = RETRY_INTERVAL, True
            if self._waiting or self._folder.full:
                self._arrived.set()
        self.flush()

    def _line(self, record: TaskRecord) -> bytes:
        try:
            return self._encode(record) + b"\n"
        except UnicodeEncodeError:
            return self._encode(printable(record)) + b"\n"

    def _put_back(self, batch: list[TaskRecord], error: OSError) -> None:
        self._say_failed(error)
        self._waiting.extendleft(reversed(batch))
        while len(self._waiting) > MOST_WAITING:
            self._waiting.pop()
            self._dropped += 1

    def _say_failed(self, error: Exception) -> None:
        if not self._failed:
            log.warning("records cannot be written for now: %s", error)
        self._failed = True

    def _tables(self) -> Iterator[pa.Table]:
        """All of them, as of now, those that wait for the disk at the end; while no journal becomes a part."""
        self.flush()
        with self._writing:
            tables = self._folder.tables()
            with self._taking:
                waiting = list(self._waiting)
        yield from tables
        if waiting:
            yield table_of(b"".join(map(self._line, waiting)), "what waits for the disk")

    def _where(self) -> str:
        with self._writing:
            waiting = len(self._waiting)
        folder = f"in the folder {self.folder}, which `read_records` reads too"
        if not waiting:
            return f"They are {folder}."
        others = "" if len(self) == waiting else f" The others are {folder}."
        return f"{waiting} of them are in the memory of this program only, until they can be written.{others}"

    def _pack(self) -> None:
        """Make parts of the journals that are full; one that cannot become a part stays what it is."""
        import pyarrow as pa

        while self._folder.full:
            with self._packing:
                if not self._folder.pack():
                    with self._writing:
                        self._folder.count_missing()
            pa.default_memory_pool().release_unused()


def read_store(folder: Path) -> pd.DataFrame:
    """The records in the folder of one store or several, as of now.

    Raises `RecordsUnreadable` if it holds none, or if a part is damaged.
    """
    names = file_names(folder)
    if not names:
        raise RecordsUnreadable(f"The folder {folder} does not hold records of labkit.")
    return frame_of(table for name in names if (table := read_file(folder, name)) is not None)
