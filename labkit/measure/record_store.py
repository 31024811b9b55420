"""Records on their way to disk as they come: a folder of Parquet parts, and a journal for the newest of them.

    append -> waiting, for milliseconds -> 000003.jsonl, the journal -> 000003.parquet, a part, once that is full

A journal holds a record a line, so of a process that is killed only the last milliseconds are lost. It becomes a part
on a thread, without the interpreter's lock. `read_store` reads such a folder at any time, and whoever has left it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.json import Encoder

from labkit.errors import RecordsUnreadable, RecordsUnwritable
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import COLUMNS, TaskRecord, column_dtype, in_order_of_finishing, printable

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

_JOURNAL, _PART = ".jsonl", ".parquet"

log = safe_logger("labkit.records")


class RecordStore:
    """Takes records from any thread and keeps them in a folder, not in memory.

    Without a `folder` it is a temporary one, which goes with the store. Nothing is made before the first record. A disk
    that cannot be written to is tried again, and never the concern of those who append.
    """

    def __init__(self, folder: Path | None = None, *, part_records: int = PART_RECORDS) -> None:
        self.folder = folder
        #: how many records were lost, since the disk could not be written to
        self.lost = 0
        #: how many records of each outcome are on disk
        self.outcomes: Counter[str] = Counter()
        self._part_records = part_records
        #: the workers whose records are on disk
        self.workers: set[str] = set()
        self._taken = 0
        self._taking = threading.Lock()
        self._waiting: deque[TaskRecord] = deque()
        self._writing = threading.Lock()
        self._packing = threading.Lock()
        self._arrived = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._encode = Encoder().encode
        self._number = 1
        self._in_journal = 0
        self._journal = -1
        self._full: list[Path] = []
        self._failed = False

    def __len__(self) -> int:
        return self._taken - self.lost

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
                    self._write(b"".join(map(self._line, batch)))
                except OSError as error:
                    self._put_back(batch, error)
                    return False
                self.outcomes.update(record.outcome for record in batch)
                self.workers.update(record.worker for record in batch)
                self._in_journal += len(batch)
                if self._in_journal >= self._part_records:
                    self._begin_anew()
            if self._failed:
                log.warning("the records can be written again; %d were lost", self.lost)
            self._failed = False
            return True

    def frame(self) -> pd.DataFrame:
        """All of them, one row per attempt, ordered by the time at which it finished (see `to_frame`)."""
        with self._packing:
            self.flush()
            return _to_frame(() if self.folder is None else _tables(self.folder))

    def write(self, path: Path) -> Path:
        """Write all of them into one Parquet file, part by part; it appears whole or not at all.

        Raises `RecordsUnwritable` if that cannot be done; the folder stays.
        """
        import pyarrow.parquet as pq

        with self._packing:
            self.flush()
            part = path.with_name(path.name + ".part")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with pq.ParquetWriter(part, _schema()) as writer:
                    for table in () if self.folder is None else _tables(self.folder):
                        writer.write_table(table)
                return part.replace(path)
            except OSError as error:
                raise RecordsUnwritable(
                    f"The records could not be written to {path}: {error}. They are in the folder {self.folder}, "
                    "which `read_records` reads too."
                ) from error
            finally:
                with suppress(OSError):
                    part.unlink(missing_ok=True)

    def close(self) -> None:
        """Write what waits, and end the thread. What was written can still be read. Closing twice is no error."""
        self._closed.set()
        self._arrived.set()
        if self._thread is not None:
            self._thread.join()
        with self._packing, self._writing:
            self._close_journal()

    def remove(self) -> None:
        """Close, and delete what is in the folder."""
        self.close()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self) -> None:
        with self._writing:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="labkit-records", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = PACE
        while not self._closed.is_set():
            self._arrived.wait()
            self._closed.wait(pause)
            self._arrived.clear()
            try:
                pause = PACE if self.flush() else RETRY_INTERVAL
                self._pack()
            except Exception:  # whatever it was, later records are to be written
                log.exception("records could not be written for now")
                pause = RETRY_INTERVAL
            if self._waiting:
                self._arrived.set()
        self.flush()

    def _line(self, record: TaskRecord) -> bytes:
        try:
            return self._encode(record) + b"\n"
        except UnicodeEncodeError:
            return self._encode(printable(record)) + b"\n"

    def _write(self, data: bytes) -> None:
        if self._journal < 0:
            self._open_journal()
        size = os.fstat(self._journal).st_size
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._journal, left) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._journal, size)  # a part of a line, or of the batch that is to be written again
            raise

    def _put_back(self, batch: list[TaskRecord], error: OSError) -> None:
        if not self._failed:
            log.warning("records cannot be written for now: %s", error)
        self._failed = True
        self._waiting.extendleft(reversed(batch))
        while len(self._waiting) > MOST_WAITING:
            self._waiting.pop()
            self.lost += 1

    def _open_journal(self) -> None:
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="labkit-records-"))
            weakref.finalize(self, _remove, self.folder, os.getpid())
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self._number:06}{_JOURNAL}"
        self._journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _close_journal(self) -> None:
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1

    def _begin_anew(self) -> None:
        assert self.folder is not None
        self._close_journal()
        self._full.append(self.folder / f"{self._number:06}{_JOURNAL}")
        self._number += 1
        self._in_journal = 0

    def _pack(self) -> None:
        """Make parts of the journals that are full; one that cannot become a part stays what it is."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        while self._full:
            path = self._full[0]
            with self._packing:
                part = path.with_suffix(".part")
                pq.write_table(_read_journal(path), part)
                part.replace(path.with_suffix(_PART))
                path.unlink()
                pa.default_memory_pool().release_unused()
            self._full.pop(0)


def read_store(folder: Path) -> pd.DataFrame:
    """The records in the folder of a store, as of now. Raises `RecordsUnreadable` if it holds none."""
    if not any(path.suffix in (_JOURNAL, _PART) for path in folder.glob("*")):
        raise RecordsUnreadable(f"The folder {folder} does not hold records of labkit.")
    return _to_frame(_tables(folder))


def _tables(folder: Path) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    names = (path for path in folder.glob("*") if path.suffix in (_JOURNAL, _PART))
    for name in sorted({path.stem for path in names}):
        readers: list[tuple[str, Callable[[Path], pa.Table]]] = [(_PART, pq.read_table), (_JOURNAL, _read_journal)]
        for suffix, read in [*readers, readers[0]]:  # a journal may become a part meanwhile
            with suppress(FileNotFoundError):
                yield read(folder / f"{name}{suffix}")
                break


def _read_journal(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json

    data = path.read_bytes()
    data = data[: data.rfind(b"\n") + 1]  # the process may have been killed in the middle of a line
    if not data:
        return _schema().empty_table()
    return json.read_json(
        pa.BufferReader(data),
        read_options=json.ReadOptions(block_size=len(data), use_threads=False),  # each thread would keep its memory
        parse_options=json.ParseOptions(explicit_schema=_schema(), unexpected_field_behavior="ignore"),
    )


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"str": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    return pa.schema([(name, kinds[column_dtype(name)]) for name in COLUMNS])


def _to_frame(tables: Iterator[pa.Table] | tuple[()]) -> pd.DataFrame:
    import pyarrow as pa

    table = pa.concat_tables([_schema().empty_table(), *tables])
    frame = table.to_pandas().astype({name: column_dtype(name) for name in COLUMNS})
    return in_order_of_finishing(frame)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked copy ends too
        shutil.rmtree(folder, ignore_errors=True)
