"""The files of a record store: journals, which hold a record a line as JSON, and Parquet parts, which they become."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from labkit.errors import RecordsUnreadable
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import COLUMNS, column_dtype, in_order_of_finishing
from labkit.temporary_folder import remove_folder, temporary_folder
from labkit.whole_file import whole_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: How the names of a journal and of a part end.
JOURNAL, PART = ".jsonl", ".parquet"

#: What no record lacks.
_REQUIRED = [name for name in COLUMNS if name not in ("key", "acknowledged_at", "error")]

log = safe_logger("labkit.records")


class Journal:
    """A new journal in a folder, under a name that nobody has; the lines in it are whole. Raises `OSError`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        #: how many bytes of it hold records
        self.size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(folder / f"{name}{JOURNAL}", flags, 0o644)

    def write(self, lines: bytes) -> None:
        """Append these lines: all of them, or none and `OSError`."""
        self._cut()
        try:
            left = memoryview(lines)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            with suppress(OSError):  # it is tried again before anything else is written
                self._cut()
            raise
        self.size += len(lines)

    def is_gone(self) -> bool:
        """Whether somebody has deleted it: what is written then goes nowhere."""
        return os.fstat(self._file).st_nlink == 0

    def close(self) -> None:
        """Let go of the file, which stays."""
        os.close(self._file)

    def _cut(self) -> None:
        """Take away what a write that failed has left: a part of a line, or of lines that are to be written again."""
        if os.fstat(self._file).st_size > self.size:
            os.ftruncate(self._file, self.size)


class RecordFolder:
    """The files of one store, in a folder where others may have theirs; without a `path`, in a temporary one.

    They bear the letters of this store, and no other files are read, written or deleted. Used by one thread at a time;
    only `pack` and what `tables` gives may be run beside `write`.
    """

    def __init__(self, path: Path | None, *, part_records: int) -> None:
        self.path = path
        #: how many records were in files that somebody has deleted
        self.missing = 0
        #: the journals that are to become parts
        self.full: deque[str] = deque()
        self._part_records = part_records
        self._token = uuid4().hex[:12]
        self._number = 0
        #: how many records are in each of the files, by their names without the ending
        self._files: dict[str, int] = {}
        self._journal: Journal | None = None

    def write(self, lines: bytes, number: int) -> None:
        """Write these lines, which are so many records. Raises `OSError`; then none of them is written."""
        if self._journal is not None and self._journal.is_gone():
            self.count_missing()
        if self._journal is None:
            self._journal = self._new_journal()
            self._files[self._journal.name] = 0
        self._journal.write(lines)
        name = self._journal.name
        self._files[name] += number
        if self._files[name] >= self._part_records:
            self.full.append(name)
            self.close()

    def close(self) -> None:
        """Let go of the journal; what is written from now on goes into a new one."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def count_missing(self) -> None:
        """Forget the files that somebody has deleted, as cleaners of temporary folders do."""
        gone = [name for name in self._files if not self._is_there(name)]
        if self._journal is not None and self._journal.name in gone:
            self.close()
        number = sum(self._files.pop(name) for name in gone)
        self.missing += number
        if number:
            log.warning("%d records in %s were lost: somebody has deleted their files", number, self.path)

    def tables(self) -> Iterator[pa.Table]:
        """What is written so far, also if it is read later; while nothing is packed."""
        self.count_missing()
        sizes: dict[str, int | None] = dict.fromkeys(self._files)
        if self._journal is not None:
            sizes[self._journal.name] = self._journal.size
        return self._read(sizes)

    def pack(self) -> bool:
        """Make a part of the first journal that is full; False if somebody has deleted it."""
        import pyarrow.parquet as pq

        assert self.path is not None
        table = read_file(self.path, self.full[0])
        if table is not None:
            with whole_file(self.path / f"{self.full[0]}{PART}") as part:
                pq.write_table(table, part)
            (self.path / f"{self.full[0]}{JOURNAL}").unlink(missing_ok=True)
        self.full.popleft()
        return table is not None

    def remove(self) -> None:
        """Delete the files as far as possible, and the folder if it holds nothing else."""
        if self.path is None:
            return
        with suppress(OSError):
            for name in self._files:
                for suffix in (JOURNAL, PART):
                    (self.path / f"{name}{suffix}").unlink(missing_ok=True)
            self.path.rmdir()
        self._files.clear()
        self.full.clear()

    def _new_journal(self) -> Journal:
        if self.path is None:
            self.path = temporary_folder("records")
            weakref.finalize(self, _remove, self.path, os.getpid())
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._number and file_names(self.path):
            log.warning("%s holds records of other runs too, also of such as were killed; they stay there", self.path)
        self._number += 1
        return Journal(self.path, f"{self._number:06}-{self._token}")

    def _is_there(self, name: str) -> bool:
        """A journal is there until its part is."""
        assert self.path is not None
        return any((self.path / f"{name}{suffix}").exists() for suffix in (JOURNAL, PART))

    def _read(self, sizes: Mapping[str, int | None]) -> Iterator[pa.Table]:
        for name, size in sizes.items():
            assert self.path is not None
            table = read_file(self.path, name, size=size)
            if table is not None:
                yield table


def file_names(folder: Path) -> list[str]:
    """The names of the journals and parts in a folder, in order, without their endings; nothing if there is none."""
    return sorted({path.stem for path in folder.glob("*") if path.suffix in (JOURNAL, PART)})


def read_file(folder: Path, name: str, *, size: int | None = None) -> pa.Table | None:
    """The records in the part or the journal of this name, of the latter in its first `size` bytes.

    None if there is no such file any more. Raises `RecordsUnreadable` for a part that is damaged.
    """
    part, journal = folder / f"{name}{PART}", folder / f"{name}{JOURNAL}"
    for path in (part, journal, part):  # a journal may become a part meanwhile
        with suppress(FileNotFoundError, NotADirectoryError):
            return _read_part(path) if path is part else table_of(path.read_bytes()[:size], str(path))
    return None


def table_of(lines: bytes, source: str) -> pa.Table:
    """The records in the whole lines; those that hold none are passed over, which is said with the `source`."""
    import pyarrow as pa

    lines = lines[: lines.rfind(b"\n") + 1]  # whoever wrote them may have been killed in the middle of one
    if not lines:
        return schema().empty_table()
    tables = list(_good(lines))
    passed_over = lines.count(b"\n") - sum(table.num_rows for table in tables)
    if passed_over > 0:
        log.warning("%s: %d lines are no records and are passed over", source, passed_over)
    return pa.concat_tables([schema().empty_table(), *tables])


def schema() -> pa.Schema:
    """The columns of a record."""
    import pyarrow as pa

    kinds = {"str": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    return pa.schema([(name, kinds[column_dtype(name)]) for name in COLUMNS])


def frame_of(tables: Iterable[pa.Table]) -> pd.DataFrame:
    """All records, one row per attempt, ordered by the time at which it finished."""
    import pyarrow as pa

    table = pa.concat_tables([schema().empty_table(), *tables])
    frame = table.to_pandas().astype({name: column_dtype(name) for name in COLUMNS})
    return in_order_of_finishing(frame)


def _read_part(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (pa.ArrowException, OSError) as error:
        raise RecordsUnreadable(
            f"{path} cannot be read as Parquet: {error}. It was cut off or is something else; take it out of its "
            "folder to read the rest."
        ) from error


def _parsed(lines: bytes) -> pa.Table:
    """Raises `ArrowInvalid` if one of the lines is no record."""
    import pyarrow as pa
    from pyarrow import json

    table = json.read_json(
        pa.BufferReader(lines),
        read_options=json.ReadOptions(block_size=len(lines), use_threads=False),  # each thread would keep its memory
        parse_options=json.ParseOptions(explicit_schema=schema(), unexpected_field_behavior="ignore"),
    )
    table.validate(full=True)
    if any(table[name].null_count for name in _REQUIRED):
        raise pa.ArrowInvalid("a record is not whole")
    return table


def _good(lines: bytes) -> Iterator[pa.Table]:
    """The records in these lines, in few tables; the lines that hold none are found by halving."""
    import pyarrow as pa

    try:
        yield _parsed(lines)
    except pa.ArrowInvalid:
        middle = lines.rfind(b"\n", 0, len(lines) // 2) + 1 or lines.find(b"\n") + 1
        if middle < len(lines):
            yield from _good(lines[:middle])
            yield from _good(lines[middle:])


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked copy ends too
        remove_folder(folder)
