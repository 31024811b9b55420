"""What commits claim: that everything before a point is done, and what they remember as done beyond it."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property

import numpy as np

from labkit.faults.columns import Numbers
from labkit.faults.facts import Facts


class CommitClaims:
    """The commits of a group, to be asked for a position."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def of(self, position: int) -> int | None:
        """The row of a commit that says that this is done, of several the nearest; None if no commit does."""
        partition, offset = self._facts.place(position)
        points, rows = self._commit_points.get(partition, ([], []))
        nearest = bisect_right(points, offset)
        return rows[nearest] if nearest < len(rows) else self._remembered.get(position)

    @cached_property
    def _commit_points(self) -> dict[int, tuple[list[int], list[int]]]:
        """Per partition, the commit points of its commits in rising order, and their rows."""
        facts = self._facts
        rows = facts.rows("committed")
        rows = rows[np.lexsort((facts.seq[rows], facts.actor[rows], facts.offset[rows]))]
        found = {}
        for partition in np.unique(facts.partition[rows]).tolist():
            own = rows[facts.partition[rows] == partition]
            found[partition] = facts.offset[own].tolist(), own.tolist()
        return found

    @cached_property
    def _remembered(self) -> dict[int, int]:
        """By position beyond a commit point, the first commit that says that it is done."""
        positions, rows = remembered(self._facts)
        _, first = np.unique(positions, return_index=True)
        return dict(zip(positions[first].tolist(), rows[first].tolist(), strict=True))


def remembered(facts: Facts) -> tuple[Numbers, Numbers]:
    """Every position that a commit says is done beyond its point, and the commit's row."""
    columns = facts.columns
    lengths = np.diff(columns.ends, prepend=0)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.full(len(rows), -1, dtype=np.int64)
    for partition in np.unique(facts.partition[rows]).tolist():
        of_it = np.flatnonzero(facts.partition[rows] == partition)
        start, stop = np.searchsorted(facts.partition_of, [partition, partition + 1])
        offsets = facts.offset_of[start:stop]
        place = np.searchsorted(offsets, columns.beyond[of_it])
        known = place < len(offsets)
        known[known] = offsets[place[known]] == columns.beyond[of_it[known]]
        positions[of_it[known]] = start + place[known]
    wanted = (positions >= 0) & facts.of_kind("committed")[rows]
    return positions[wanted], rows[wanted]
