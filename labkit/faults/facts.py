"""What a history says of one group, by task, by position and by actor, so that every rule can look it up.

Tasks, actors and positions are numbers here: those of tasks are those of the column, 0 for none; positions are counted
in the order of partitions and offsets, -1 for none. A row is the number of an event.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from labkit.faults.columns import NOTHING, EventColumns, Mask, Numbers
from labkit.faults.event import KINDS, What
from labkit.faults.verdict import Anomaly

Kind = TypeVar("Kind", bound=np.generic)

#: Events whose offset is a commit point or the beginning of a log, and not where a record stands.
_OF_NO_RECORD: tuple[What, ...] = ("assigned", "committed", "retained")

#: Events that say that there was a dead letter: compaction takes it once it was taken away.
_OF_LETTERS: tuple[What, ...] = ("dead", "replayed", "dropped")

#: Events that say that nothing more need be done for their task.
DONE: tuple[What, ...] = ("finished", "repeated", "shed", "spilled")


class LogPosition(NamedTuple):
    """Where a record stands on the topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"offset {self.offset} of partition {self.partition}"


class Rows:
    """The rows that belong to each number, such as those of each task, in the order of the history."""

    def __init__(self, numbers: Numbers, rows: Numbers) -> None:
        order = np.argsort(numbers, kind="stable")
        self._numbers = numbers[order]
        self._rows = rows[order]

    def of(self, number: int) -> list[int]:
        """The rows of this number."""
        start, stop = np.searchsorted(self._numbers, [number, number + 1])
        return self._rows[start:stop].tolist()  # type: ignore[no-any-return]

    def beyond_the_first(self) -> list[int]:
        """The rows that are not the first of their number."""
        return self._rows[1:][np.diff(self._numbers) == 0].tolist()  # type: ignore[no-any-return]


class Facts:
    """The events of one group and of its topic, sorted out. Where it is `one_of_several`, what names no group may be of
    any of them.
    """

    def __init__(self, columns: EventColumns, *, one_of_several: bool = False) -> None:
        self.columns = columns
        self.one_of_several = one_of_several
        kinds = np.array([KINDS.index(what) if what in KINDS else -1 for what in columns.texts["what"]], dtype=np.int8)
        self.what = kinds[columns.numbers["what"]]
        self.task = columns.numbers["task"]
        self.key = columns.numbers["key"]
        self.seq = columns.numbers["seq"]
        self.partition = columns.numbers["partition"]
        self.offset = columns.numbers["offset"]
        self.actor = _joined(columns.numbers["group"], columns.numbers["by"])
        self._number_positions()
        self._sort_out()

    def with_groups(self, group: Numbers) -> Facts:
        """The same events with other groups, which tell only who is who; what else was sorted out is shared."""
        found = copy(self)
        found.columns = replace(self.columns, numbers=self.columns.numbers | {"group": group})
        found.actor = _joined(group, self.columns.numbers["by"])
        found.__dict__.pop("ordered", None)
        return found

    def _number_positions(self) -> None:
        placed = (self.partition != NOTHING) & (self.offset != NOTHING) & ~self.of_kind(*_OF_NO_RECORD)
        rows = np.flatnonzero(placed)
        rows = rows[np.lexsort((self.offset[rows], self.partition[rows]))]
        partitions, offsets = self.partition[rows], self.offset[rows]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = (np.diff(partitions) != 0) | (np.diff(offsets) != 0)
        self.position = np.full(len(self.what), -1, dtype=np.int64)
        self.position[rows] = np.cumsum(first) - 1
        self.partition_of, self.offset_of = partitions[first], offsets[first]

    def _sort_out(self) -> None:
        tasks = len(self.columns.texts["task"])
        self.received_times = self._times_at("received")
        self.started_times = self._times_at("started")
        self.finished_times = self._times_at("finished")
        self.promised = _marked(tasks, self.task[self.rows("acknowledged", "written")])
        self.promised[0] = False
        self.written_task = self.tasks_at("written")
        self.received_task = self.tasks_at("received")
        self.written_at = self._times_at("written") > 0
        self.letter_at = self._times_at(*_OF_LETTERS) > 0
        dead = self.rows(*_OF_LETTERS)
        self.dead_task = _marked(tasks, self.task[dead])
        self.dead_unplaced = _marked(tasks, self.task[dead[self.position[dead] < 0]])
        done = self.rows(*DONE)
        self.requeued_at = self._times_at("requeued") > 0
        self.done_at = (self._times_at(*DONE) > 0) | self.requeued_at
        unnamed = done[(self.task[done] == 0) & (self.position[done] >= 0)]
        record = np.where(self.written_task > 0, self.written_task, self.received_task)
        self.done_task = _marked(tasks, np.concatenate([self.task[done], record[self.position[unnamed]]]))

    def of_kind(self, *kinds: What) -> Mask:
        """Which rows are of these kinds."""
        wanted = np.zeros(len(KINDS) + 1, dtype=bool)  # the last one stands for kinds that nobody knows
        wanted[[KINDS.index(kind) for kind in kinds]] = True
        return wanted[self.what]

    def rows(self, *kinds: What) -> Numbers:
        """The rows of these kinds."""
        found = [self._rows_of_kind[KINDS.index(kind)] for kind in kinds]
        return found[0] if len(found) == 1 else np.sort(np.concatenate(found))

    def own_letters(self) -> Numbers:
        """The rows of dead letters that are surely of this group."""
        rows = self.rows("dead")
        return rows[self.columns.numbers["group"][rows] > 0] if self.one_of_several else rows

    @cached_property
    def _rows_of_kind(self) -> list[Numbers]:
        order = np.argsort(self.what, kind="stable")
        ends = np.searchsorted(self.what[order], np.arange(len(KINDS) + 1))
        return [order[start:stop] for start, stop in pairwise(ends)]

    def in_own_order(self, *kinds: What) -> Numbers:
        """The rows of these kinds, actor by actor, each in its own order; without actors whose order is not known."""
        rows = self.rows(*kinds)
        rows = rows[self.ordered[self.actor[rows]]]
        return rows[np.lexsort((self.seq[rows], self.actor[rows]))]

    @cached_property
    def ordered(self) -> Mask:
        """Of each actor, whether no two of its events have the same number."""
        order = np.lexsort((self.seq, self.actor))
        again = (np.diff(self.seq[order]) == 0) & (np.diff(self.actor[order]) == 0)
        ordered = np.ones(int(self.actor.max(initial=-1)) + 1, dtype=bool)
        ordered[self.actor[order[1:][again]]] = False
        return ordered

    def at(self, values: npt.NDArray[Kind], rows: Numbers) -> npt.NDArray[Kind]:
        """Of each row, what its position has; 0 where it has no position."""
        return np.append(values, np.zeros(1, values.dtype))[self.position[rows]]

    def delivered_once(self) -> Mask:
        """Of each position, whether no other delivery can have ended its task."""
        return (self.received_times <= 1) & (self.finished_times <= 1)

    @cached_property
    def start_of(self) -> dict[int, int]:
        """Per partition, where the group began: the lowest offset that one of its workers was told."""
        starts: dict[int, int] = {}
        rows = self.rows("assigned")
        for partition, offset in zip(self.partition[rows].tolist(), self.offset[rows].tolist(), strict=True):
            starts[partition] = min(offset, starts.get(partition, offset))
        return starts

    def before_start(self, rows: Numbers) -> Mask:
        """Of each row, whether it stands before where the group began."""
        starts = np.zeros(len(rows), dtype=np.int64)
        for partition, start in self.start_of.items():
            starts[self.partition[rows] == partition] = start
        before: Mask = self.offset[rows] < starts
        return before

    def done_at_start(self, rows: Numbers) -> Mask:
        """Of each row, whether what stands there was done beyond where the group began, when it began."""
        done = np.zeros(len(rows), dtype=bool)
        for partition, offsets in self._done_beyond_start.items():
            done |= (self.partition[rows] == partition) & np.isin(self.offset[rows], offsets)
        return done

    @cached_property
    def _done_beyond_start(self) -> dict[int, Numbers]:
        """Per partition, what everybody was told beyond the start that was told the start: what is done stays so."""
        found: dict[int, Numbers] = {}
        for row in self.rows("assigned").tolist():
            partition, told = int(self.partition[row]), self.columns.beyond_of(row)
            if self.offset[row] == self.start_of[partition]:
                found[partition] = np.intersect1d(told, found.get(partition, told))
        return found

    def place(self, position: int) -> LogPosition:
        """The partition and the offset of a position."""
        return LogPosition(int(self.partition_of[position]), int(self.offset_of[position]))

    def task_name(self, task: int) -> str:
        """The id of a task."""
        return str(self.columns.texts["task"][task])

    def who(self, row: int) -> str:
        """The name of who did it."""
        return str(self.columns.texts["by"][self.columns.numbers["by"][row]])

    @cached_property
    def written(self) -> Rows:
        """The rows by the task that they say is on the topic."""
        rows = self.rows("written")
        return Rows(self.task[rows], rows)

    @cached_property
    def received(self) -> Rows:
        """The rows by the task that was received."""
        rows = self.rows("received")
        return Rows(self.task[rows], rows)

    @cached_property
    def acknowledged(self) -> Rows:
        """The rows by the task that they say is safe."""
        rows = self.rows("acknowledged")
        return Rows(self.task[rows], rows)

    def where(self, task: int) -> list[int]:
        """The positions of a task: where it is written, or else where it was acknowledged."""
        rows = self.written.of(task) or self.acknowledged.of(task)
        return sorted({int(position) for position in self.position[rows].tolist() if position >= 0})

    def where_rows(self) -> Numbers:
        """The rows that say where tasks are: all that are written, and the acknowledgements of tasks that are not."""
        written, acknowledged = self.rows("written"), self.rows("acknowledged")
        is_written = _marked(len(self.promised), self.task[written])
        rows: Numbers = np.concatenate([written, acknowledged[~is_written[self.task[acknowledged]]]])
        placed: Numbers = rows[(self.position[rows] >= 0) & (self.task[rows] > 0)]
        return placed

    def anomaly(
        self, name: str, sentence: str, *, row: int | None = None, task: int = 0, position: int | None = None
    ) -> Anomaly:
        """An anomaly that an event shows, or that a task or a position has."""
        event = None if row is None else self.columns.event(row)
        place: tuple[int | None, int | None] = (None, None) if event is None else (event.partition, event.offset)
        return Anomaly(
            name=name,
            task=event.task if event is not None and not task else self.columns.texts["task"][task],
            partition=place[0] if position is None else self.place(position).partition,
            offset=place[1] if position is None else self.place(position).offset,
            who=None if event is None else event.by,
            when=None if event is None else event.at,
            sentence=sentence,
        )

    def _times_at(self, *kinds: What) -> Numbers:
        """Of each position, how many events of these kinds tell of it."""
        positions = self.position[self.rows(*kinds)]
        return np.bincount(positions[positions >= 0], minlength=len(self.offset_of))

    def keys_at(self, *kinds: What) -> Numbers:
        """Of each position, the key that an event of these kinds has there; 0 for none."""
        return self._at(self.key, *kinds)

    def tasks_at(self, *kinds: What) -> Numbers:
        """Of each position, the task that an event of these kinds has there; 0 for none."""
        return self._at(self.task, *kinds)

    def _at(self, column: Numbers, *kinds: What) -> Numbers:
        rows = self.rows(*kinds)
        rows = rows[(self.position[rows] >= 0) & (column[rows] > 0)]
        found = np.zeros(len(self.offset_of), dtype=np.int64)
        found[self.position[rows]] = column[rows]
        return found


def _joined(*columns: Numbers) -> Numbers:
    """One number for each combination of numbers."""
    joined = columns[0].astype(np.int64)
    for column in columns[1:]:
        joined = joined * (int(column.max(initial=0)) + 1) + column
    return np.unique(joined, return_inverse=True)[1]


def _marked(count: int, numbers: Numbers) -> Mask:
    marks = np.zeros(count, dtype=bool)
    marks[numbers] = True
    return marks
