"""The events of a history in columns: whole numbers in arrays, and each text once: a hundred bytes an event.

A text is a number, the same for equal texts of one column, and 0 where there is none. A whole number that an event does
not have is `NOTHING`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from labkit.errors import HistoryUnreadable
from labkit.faults.event import Event

Numbers = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]

#: The fields of an event by how they are kept.
TEXTS = ("what", "by", "task", "key", "whom", "note", "group", "content")
WHOLE = ("seq", "partition", "offset", "attempt")
_FIELDS = (*TEXTS, *WHOLE, "at", "beyond")

#: Stands for a whole number that is not there.
NOTHING = -(2**63)

#: How many events are taken in at a time.
CHUNK = 10_000


class TextTable(dict[str | None, int]):
    """Numbers for texts, in the order of their first appearance; none is 0."""

    def __init__(self) -> None:
        super().__init__({None: 0})

    def __missing__(self, text: str | None) -> int:
        self[text] = number = len(self)
        return number


@dataclass(frozen=True, slots=True)
class EventColumns:
    """So many events. `numbers`: the columns of texts and of whole numbers; `texts`: what the numbers of texts mean.

    `beyond` of the row r is `beyond[ends[r - 1]:ends[r]]`.
    """

    numbers: dict[str, Numbers]
    texts: Mapping[str, Sequence[str | None]]
    at: npt.NDArray[np.float64]
    beyond: Numbers
    ends: Numbers

    @classmethod
    def of(cls, events: Iterable[Event]) -> EventColumns:
        """The columns of these events; raises `HistoryUnreadable` for a number that 64 bits do not hold."""
        builder, source = ColumnsBuilder(), iter(events)
        while chunk := list(islice(source, CHUNK)):
            builder.add(chunk)
        return builder.columns()

    def __len__(self) -> int:
        return len(self.at)

    def event(self, row: int) -> Event:
        """The event of this row, counted from 0."""
        return next(self.events(row, row + 1))

    def events(self, start: int, stop: int) -> Iterator[Event]:
        """The events of these rows."""
        texts = [map(self.texts[name].__getitem__, self.numbers[name][start:stop].tolist()) for name in TEXTS]
        whole = [_or_none(self.numbers[name][start:stop].tolist()) for name in WHOLE]
        beyond = (tuple(self.beyond_of(row).tolist()) for row in range(start, stop))
        for values in zip(*texts, *whole, self.at[start:stop].tolist(), beyond, strict=True):
            yield Event(**dict(zip(_FIELDS, values, strict=True)))

    def beyond_of(self, row: int) -> Numbers:
        """What a commit remembers as finished beyond its point."""
        return self.beyond[int(self.ends[row - 1]) if row else 0 : int(self.ends[row])]

    def take(self, rows: Numbers) -> EventColumns:
        """Only these rows, in this order; the texts stay."""
        parts = [self.beyond_of(row) for row in rows.tolist()] if len(self.beyond) else []
        lengths = np.array([len(part) for part in parts] if parts else np.zeros(len(rows)), dtype=np.int64)
        return EventColumns(
            numbers={name: column[rows] for name, column in self.numbers.items()},
            texts=self.texts,
            at=self.at[rows],
            beyond=np.concatenate(parts) if parts else self.beyond,
            ends=np.cumsum(lengths),
        )


class ColumnsBuilder:
    """Columns that grow, a chunk at a time."""

    def __init__(self) -> None:
        self.tables = {name: TextTable() for name in TEXTS}
        self.arrays = {name: array("i") for name in TEXTS} | {name: array("q") for name in (*WHOLE, "beyond", "ends")}
        self.at = array("d")

    def add(self, events: Sequence[Event]) -> None:
        """Take in these events; raises `HistoryUnreadable` for a number that 64 bits do not hold."""
        for name, table in self.tables.items():
            self.arrays[name].extend([table[getattr(event, name)] for event in events])
        beyond, ends = self.arrays["beyond"], self.arrays["ends"]
        try:
            for name in WHOLE:
                values = [getattr(event, name) for event in events]
                self.arrays[name].extend([NOTHING if value is None else value for value in values])
            for event in events:
                beyond.extend(event.beyond)
                ends.append(len(beyond))
        except OverflowError as error:
            raise HistoryUnreadable("A number in this history does not fit into 64 bits.") from error
        self.at.extend([event.at for event in events])

    def columns(self) -> EventColumns:
        """What has been taken in."""
        numbers = {name: _as_numbers(column) for name, column in self.arrays.items()}
        return EventColumns(
            texts={name: list(table) for name, table in self.tables.items()},
            at=np.frombuffer(self.at, dtype=np.float64) if self.at else np.empty(0, dtype=np.float64),
            beyond=numbers.pop("beyond"),
            ends=numbers.pop("ends"),
            numbers=numbers,
        )


def _or_none(values: Iterable[int]) -> Iterator[int | None]:
    return (None if value == NOTHING else value for value in values)


def _as_numbers(column: array[int]) -> Numbers:
    """The same numbers, for numpy, without a copy."""
    kind = np.dtype(column.typecode)
    return np.frombuffer(column, dtype=kind) if column else np.empty(0, dtype=kind)
