"""What the log still has at the end of a run, so that what it lacks may be told from what was never there."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from labkit.faults.columns import NOTHING, Mask, Numbers
from labkit.faults.event import What
from labkit.faults.facts import Facts

#: Who can tell the key of what is gone.
_WITNESSES: tuple[What, ...] = (
    "written",
    "acknowledged",
    "received",
    "started",
    "finished",
    "failed",
    "repeated",
    "shed",
    "spilled",
    "requeued",
    "dead",
)


class KeptLog:
    """Records expire from the beginning of a partition, and compaction keeps the last of each key.

    Where compaction has been, no key stands twice before the last one that it has seen.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        rows = facts.rows("written", "retained")
        self._first: dict[int, int] = {}
        for partition in np.unique(facts.partition[rows]).tolist():
            self._first[partition] = int(facts.offset[rows[facts.partition[rows] == partition]].min())
        had_records = np.union1d(facts.partition_of, facts.partition[_passed_records(facts)])
        self._lost_its_beginning = any(self._first.values()) or not np.isin(had_records, list(self._first)).all()
        notes = facts.columns.numbers["note"][facts.rows("retained")]
        policies = [policy for note in np.unique(notes).tolist() if (policy := facts.columns.texts["note"][note])]
        self._compacts = any("compact" in policy for policy in policies) if policies else None
        self._last: dict[tuple[int, int], int] = {}  # by partition and key, before any key stands twice or is none
        self._behind_a_gap: set[int] = set()  # of these, the keys with offsets before them that have no record
        self._read_keys()
        self._key = facts.keys_at(*_WITNESSES)

    def _read_keys(self) -> None:
        facts = self._facts
        positions = np.flatnonzero(facts.written_at)
        partitions, offsets = facts.partition_of[positions], facts.offset_of[positions]
        keys = facts.keys_at("written")[positions]
        for partition in np.unique(partitions).tolist():
            here = np.flatnonzero(partitions == partition)
            first = np.zeros(len(here), dtype=bool)
            first[np.unique(keys[here], return_index=True)[1]] = True
            uncompacted = np.flatnonzero(~first | (keys[here] == 0))
            here = here[: uncompacted[0]] if len(uncompacted) else here
            for key, position in zip(keys[here].tolist(), positions[here].tolist(), strict=True):
                self._last[partition, key] = position
            self._behind_a_gap.update(keys[here[offsets[here] > np.arange(len(here))]].tolist())

    def may_have_expired(self, position: int) -> bool:
        """Whether the log of the partition begins behind this position, or has nothing at all; without a position (-1),
        whether anything can have expired.
        """
        if position < 0:
            return self._lost_its_beginning
        partition, offset = self._facts.place(position)
        return partition not in self._first or offset < self._first[partition]

    def may_be_compacted(self, position: int, task: int) -> bool:
        """Whether compaction can have taken what stood here; without a position (-1), this task wherever it was."""
        if self._compacts is not None:
            return self._compacts
        if position < 0:
            return bool(self._replaced[task])
        partition, key = self._facts.place(position).partition, int(self._key[position])
        return key > 0 and self._last.get((partition, key), -1) > position

    @cached_property
    def _replaced(self) -> Mask:
        """Of each task, whether compaction can have left another record of its key instead."""
        rows = self._facts.rows(*_WITNESSES)
        keys = np.array(sorted(self._behind_a_gap), dtype=np.int64)
        found: Mask = np.zeros(len(self._facts.promised), dtype=bool)
        found[self._facts.task[rows[np.isin(self._facts.key[rows], keys)]]] = True
        return found


def _passed_records(facts: Facts) -> Numbers:
    """The rows of commit points that have records before them or beyond them; one at 0 may be of an empty partition."""
    rows = facts.rows("assigned", "committed")
    has_beyond = np.diff(facts.columns.ends, prepend=0)[rows] > 0
    passed: Numbers = rows[(facts.partition[rows] != NOTHING) & ((facts.offset[rows] > 0) | has_beyond)]
    return passed
