"""A history: the events of a run, and its files.

The files are JSON lines, which can be read with the eye, or Parquet, which is small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import msgspec
import numpy as np
from msgspec.structs import fields

from labkit.errors import HistoryUnreadable
from labkit.faults.columns import CHUNK, NOTHING, TEXTS, WHOLE, ColumnsBuilder, EventColumns
from labkit.faults.event import KINDS, Event
from labkit.parameters import checked
from labkit.typed_values import json_decoder
from labkit.whole_file import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

JSON_LINES, PARQUET = ".jsonl", ".parquet"

_COLUMNS = [field.name for field in fields(Event)]
_REQUIRED = [field.name for field in fields(Event) if field.required]

#: How many rows are written as one group, which is read whole, and how many are taken in at a time.
ROW_GROUP, BATCH = 50_000, 10_000


class History(Sequence[Event]):
    """The events of a run, kept in columns: a million take some 100 MB. Raises `HistoryUnreadable` for numbers beyond
    64 bits.
    """

    __slots__ = ("columns",)
    columns: EventColumns

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.columns = events.columns if isinstance(events, History) else EventColumns.of(events)

    @classmethod
    def of(cls, columns: EventColumns) -> Self:
        """The history of events that are in columns already."""
        history = cls.__new__(cls)
        history.columns = columns
        return history

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> History: ...

    def __getitem__(self, index: int | slice) -> Event | History:
        rows = range(len(self))[index]
        return self.columns.event(rows) if isinstance(rows, int) else History(map(self.columns.event, rows))

    def __iter__(self) -> Iterator[Event]:
        for start in range(0, len(self), CHUNK):
            yield from self.columns.events(start, min(start + CHUNK, len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<History of {len(self)} events by {len(self.columns.texts['by']) - 1} actors>"


@checked
def write_history(history: Iterable[Event], path: Path) -> Path:
    """Write as JSON lines (`.jsonl`) or Parquet (`.parquet`), by the name; the file appears whole or not at all."""
    write = {JSON_LINES: _write_json_lines, PARQUET: _write_parquet}[_kind(path)]
    with whole_file(path) as part:
        write(history, part)
    return path


@checked
def read_history(path: Path) -> History:
    """Read what `write_history` wrote; raises `HistoryUnreadable`, which says what is wrong and where."""
    read = {JSON_LINES: _read_json_lines, PARQUET: _read_parquet}[_kind(path)]
    try:
        return read(path)
    except FileNotFoundError as error:
        raise HistoryUnreadable(f"There is no file {path}.") from error


def _kind(path: Path) -> str:
    if path.suffix not in (JSON_LINES, PARQUET):
        raise HistoryUnreadable(f"{path} cannot be a history: its name has to end with {JSON_LINES} or {PARQUET}.")
    return path.suffix


def _write_json_lines(history: Iterable[Event], path: Path) -> None:
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        file.writelines(encode(event) + b"\n" for event in history)


def _read_json_lines(path: Path) -> History:
    with path.open("rb") as lines:
        return History(_decoded(lines, path))


def _decoded(lines: Iterable[bytes], path: Path) -> Iterator[Event]:
    decode = json_decoder(Event).decode
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            raise HistoryUnreadable(f"{path}, line {number}, has no end: the file was cut off in the middle of it.")
        try:
            yield decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HistoryUnreadable(f"{path}, line {number}, is no event of a history: {error}.") from error


def _write_parquet(history: Iterable[Event], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = History(history).columns
    table = {name: pa.array(columns.texts[name], pa.string()).take(pa.array(columns.numbers[name])) for name in TEXTS}
    for name in WHOLE:
        table[name] = pa.array(columns.numbers[name], pa.int64(), mask=columns.numbers[name] == NOTHING)
    table["at"] = pa.array(columns.at, pa.float64())
    ends = np.concatenate([[0], columns.ends]).astype(np.int32)
    table["beyond"] = pa.ListArray.from_arrays(pa.array(ends), pa.array(columns.beyond, pa.int64()))
    parquet.write_table(pa.table({name: table[name] for name in _COLUMNS}), path, row_group_size=ROW_GROUP)


def _read_parquet(path: Path) -> History:
    from pyarrow import ArrowException, parquet

    try:
        file = parquet.ParquetFile(path)
    except FileNotFoundError:
        raise
    except (ArrowException, OSError) as error:
        raise HistoryUnreadable(
            f"{path} cannot be read as Parquet: {error} It was cut off or is something else."
        ) from error
    with file:
        found = file.schema_arrow.names
        missing = [name for name in _REQUIRED if name not in found]
        if missing:
            raise HistoryUnreadable(f"{path} is no history of labkit: it has no column {', '.join(missing)}.")
        unknown = [name for name in found if name not in _COLUMNS]
        if unknown:
            raise HistoryUnreadable(f"{path} is no history of this labkit: it has a column {', '.join(unknown)}.")
        builder = ColumnsBuilder()
        try:
            for batch in file.iter_batches(BATCH):
                _add(batch, builder)
        except (ArrowException, OSError, ValueError) as error:
            raise HistoryUnreadable(f"{path} is no history of labkit: {error}.") from error
    return History.of(builder.columns())


def _add(batch: pa.RecordBatch, builder: ColumnsBuilder) -> None:
    """Take in some rows; columns that an older labkit did not write are empty. Raises `ValueError`."""
    import pyarrow as pa

    for name in _REQUIRED:
        if batch[name].null_count:
            raise ValueError(f"there is no {name} in some of its rows")
    for name, table in builder.tables.items():
        encoded = _column(batch, name, pa.string()).dictionary_encode()
        codes = np.array([table[text] for text in encoded.dictionary.to_pylist()] + [0], dtype=np.int32)
        builder.arrays[name].frombytes(codes[encoded.indices.fill_null(len(codes) - 1).to_numpy()].tobytes())
    unknown = [what for what in builder.tables["what"] if what is not None and what not in KINDS]
    if unknown:
        raise ValueError(f"it has events of the kind {', '.join(map(repr, unknown))}")
    for name in WHOLE:
        builder.arrays[name].frombytes(_column(batch, name, pa.int64()).fill_null(NOTHING).to_numpy().tobytes())
    builder.at.frombytes(_column(batch, "at", pa.float64()).to_numpy().tobytes())
    beyond, ends = builder.arrays["beyond"], builder.arrays["ends"]
    lists = _column(batch, "beyond", pa.list_(pa.int64()))
    lengths = lists.value_lengths().fill_null(0).to_numpy()
    ends.frombytes((len(beyond) + np.cumsum(lengths, dtype=np.int64)).tobytes())
    beyond.frombytes(lists.flatten().to_numpy().tobytes())


def _column(batch: pa.RecordBatch, name: str, kind: pa.DataType) -> Any:
    import pyarrow as pa

    return batch[name].cast(kind) if name in batch.schema.names else pa.nulls(len(batch), kind)
