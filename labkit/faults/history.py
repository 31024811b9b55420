"""A history: what every actor of a run did, as a list of events.

`what`        by        means
sent          producer  the task was handed to the client
acknowledged  producer  the client said that the task is safe, at this partition and offset
refused       producer  the client said that the task was not written
written       log       the task is on the topic: read from the log when the run was over
assigned      worker    the partition is the worker's from now on; `offset` is the commit point it was told, `beyond`
                        what is finished beyond it
received      worker    a poll returned the record
started       worker    the handler began
finished      worker    the handler returned
failed        worker    the handler raised
committed     worker    the group took this commit; `offset` is the commit point (the next record to do), `beyond` the
              or group  finished offsets after it that the commit remembers
dead          worker    the task became a dead letter; partition and offset are where it came from
effect        worker    the effect with this `key` was done for the task
fault         nemesis   something was broken on purpose: `note` says what, `whom` says to whom

A history is of one topic and one group, and of a whole run: at its end the queue had the time to run empty. Every actor
numbers its own events (`seq`). `at` is in seconds by the actor's own clock, and only shown to people.

Its files are JSON lines, which can be read with the eye, or Parquet, which is small.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from labkit.errors import HistoryUnreadable

What = Literal[
    "sent",
    "acknowledged",
    "refused",
    "written",
    "assigned",
    "received",
    "started",
    "finished",
    "failed",
    "committed",
    "dead",
    "effect",
    "fault",
]


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one actor did at one moment; see the module for the kinds. `at` is in seconds."""

    what: What
    by: str
    seq: int
    at: float
    task: str | None = None
    key: str | None = None
    partition: int | None = None
    offset: int | None = None
    attempt: int | None = None
    beyond: tuple[int, ...] = ()
    whom: str | None = None
    note: str | None = None


class History(tuple[Event, ...]):
    """The events of a run. Their order in the tuple means nothing but for events of one actor with equal `seq`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<History of {len(self)} events by {len({event.by for event in self})} actors>"


JSON_LINES, PARQUET = ".jsonl", ".parquet"

_COLUMNS = [field.name for field in fields(Event)]
_WHOLE = ("seq", "partition", "offset", "attempt")


def write_history(history: Iterable[Event], path: Path) -> Path:
    """Write as JSON lines (`.jsonl`) or Parquet (`.parquet`), by the name; the file appears whole or not at all."""
    write = {JSON_LINES: _write_json_lines, PARQUET: _write_parquet}[_kind(path)]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        write(history, part)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
    path.write_bytes(msgspec.json.Encoder().encode_lines(history))


def _read_json_lines(path: Path) -> History:
    decode = msgspec.json.Decoder(Event).decode
    events = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                raise HistoryUnreadable(f"{path}, line {number}, has no end: the file was cut off in the middle of it.")
            try:
                events.append(decode(line))
            except msgspec.DecodeError as error:
                raise HistoryUnreadable(f"{path}, line {number}, is no event of a history: {error}.") from error
    return History(events)


def _write_parquet(history: Iterable[Event], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    events = list(history)
    types = dict.fromkeys(_COLUMNS, pa.string()) | dict.fromkeys(_WHOLE, pa.int64())
    types |= {"at": pa.float64(), "beyond": pa.list_(pa.int64())}
    columns = {name: pa.array([getattr(event, name) for event in events], types[name]) for name in _COLUMNS}
    parquet.write_table(pa.table(columns), path)


def _read_parquet(path: Path) -> History:
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise
    except (ArrowException, OSError) as error:
        raise HistoryUnreadable(
            f"{path} cannot be read as Parquet: {error} It was cut off or is something else."
        ) from error
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise HistoryUnreadable(f"{path} is no history of labkit: it has no column {', '.join(missing)}.")
    rows = zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True)
    try:
        return History(msgspec.convert([dict(zip(_COLUMNS, row, strict=True)) for row in rows], list[Event]))
    except msgspec.ValidationError as error:
        raise HistoryUnreadable(f"{path} is no history of labkit: {error}.") from error
