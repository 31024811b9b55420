"""Rules on what must have happened: nothing lost, nothing acknowledged that is not there, nothing passed over.

These rules ask whether something happened at all, never when, so that no clock is needed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from labkit.faults.columns import Numbers
from labkit.faults.commit_claims import CommitClaims
from labkit.faults.consistency import reused_ids
from labkit.faults.facts import Facts
from labkit.faults.verdict import LOST, LOST_IN_REPLAY, SKIPPED, UNWRITTEN, Anomaly, Finding, Unjudged, described


def lost_tasks(facts: Facts) -> Iterator[Finding]:
    """Promised tasks that nobody has done and that are no dead letters."""
    claims = CommitClaims(facts)
    two = reused_ids(facts) & facts.done_at.any()  # each of their records must be done by itself
    owing = facts.promised & (~facts.done_task | two)
    read = bool(facts.written_at.any())
    rows = facts.where_rows()
    rows = rows[owing[facts.task[rows]]]
    left = ~facts.at(facts.letter_at, rows) & ~(two[facts.task[rows]] & facts.at(facts.done_at, rows))
    left &= ~(facts.dead_unplaced if read else facts.dead_task)[facts.task[rows]]
    before = facts.offset[rows] < _starts(facts, rows)
    lost = np.unique(facts.task[rows[left & ~before]])
    nowhere = np.flatnonzero(owing & ~facts.dead_task)
    nowhere = np.setdiff1d(nowhere, facts.task[rows])
    yield from described(LOST, np.union1d(lost, nowhere).tolist(), lambda task: _lost(facts, claims, task))
    count = len(np.setdiff1d(facts.task[rows[left & before]], lost))
    if count:
        yield Unjudged(LOST, f"{count} tasks lie before the offset at which the group began.")


def _starts(facts: Facts, rows: Numbers) -> Numbers:
    """Of each row, where the group began on its partition."""
    starts = np.zeros(len(rows), dtype=np.int64)
    for partition, start in facts.start_of.items():
        starts[facts.partition[rows] == partition] = start
    return starts


def _lost(facts: Facts, claims: CommitClaims, task: int) -> Anomaly:
    name = facts.task_name(task)
    places = [place for place in facts.where(task) if not facts.letter_at[place] and not facts.done_at[place]]
    position = places[0] if places else None
    claim = None if position is None else claims.of(position)
    if claim is not None and position is not None:
        said = (
            f"Task {name} at {facts.place(position)} was committed as done by {facts.who(claim)}, but nobody finished "
            "it, so no restart will bring it back."
        )
    elif position is not None and (facts.written_at[position] or not facts.written_at.any()):
        said = (
            f"Task {name} was on the topic ({facts.place(position)}), but when the run was over nobody had finished it."
        )
    else:
        said = f"The producer was told that task {name} is safe, but nobody finished it."
    return facts.anomaly(LOST, said, row=claim, task=task, position=position)


def lost_in_replay(facts: Facts) -> Iterator[Finding]:
    """Tasks whose dead letter was taken away to be replayed, and that are not on the topic again."""

    def describe(hit: tuple[int, int]) -> Anomaly:
        row, task = hit
        name, place = facts.task_name(task), facts.place(int(facts.position[row]))
        said = f"The dead letter of task {name} from {place} was replayed, but the task is not on the topic again."
        return facts.anomaly(LOST_IN_REPLAY, said, row=row, task=task)

    found = [(row, task) for row, task in facts.lost_replays.values() if not facts.done_task[task]]
    return described(LOST_IN_REPLAY, found, describe)


def acknowledged_but_unwritten(facts: Facts) -> Iterator[Finding]:
    """Acknowledgements for which the log has another record or none, where the log was read at all."""
    if not facts.written_at.any():
        return
    rows = facts.rows("acknowledged")
    positions = facts.position[rows]
    there = facts.at(facts.written_task, rows) == facts.task[rows]
    if there.all():
        return
    expired = compacted = 0
    found = []
    kept = _KeptLog(facts)
    for row, position in zip(rows[~there].tolist(), positions[~there].tolist(), strict=True):
        task = int(facts.task[row])
        if position < 0 and (facts.written.of(task) or kept.lost_its_beginning()):
            expired += not facts.written.of(task)
        elif position >= 0 and not facts.written_at[position] and kept.may_have_expired(position):
            expired += 1
        elif position >= 0 and not facts.written_at[position] and kept.may_be_compacted(position):
            compacted += 1
        else:
            found.append(row)
    yield from described(UNWRITTEN, found, lambda row: _unwritten(facts, row))
    if expired:
        yield Unjudged(
            UNWRITTEN, f"{expired} acknowledged records lie before what the log still has; they may have expired."
        )
    if compacted:
        yield Unjudged(UNWRITTEN, f"{compacted} acknowledged records may have been compacted away.")


def _unwritten(facts: Facts, row: int) -> Anomaly:
    position = int(facts.position[row])
    at = "" if position < 0 else f" at {facts.place(position)}"
    name = facts.task_name(int(facts.task[row]))
    said = f"{facts.who(row)} was told that task {name} is safe{at}, but it is not on the topic."
    return facts.anomaly(UNWRITTEN, said, row=row)


class _KeptLog:
    """What the log still has: records expire from its beginning, and compaction keeps the last of each key.

    Where compaction has been, no key stands twice before the last one that it has seen.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        rows = facts.rows("written", "retained")
        self._first: dict[int, int] = {}
        for partition, offset in zip(facts.partition[rows].tolist(), facts.offset[rows].tolist(), strict=True):
            self._first[partition] = min(offset, self._first.get(partition, offset))
        policies = [facts.columns.event(row).note or "" for row in facts.rows("retained").tolist()]
        self._compacts = any("compact" in policy for policy in policies) if policies else None
        self._last: dict[tuple[int, int], int] = {}  # by partition and key, before any key stands twice
        self._read_keys(facts.keys_at("written"))
        self._key = facts.keys_at("received", "started", "finished", "failed", "repeated")

    def _read_keys(self, keys: Numbers) -> None:
        uncompacted = set()
        for position in np.flatnonzero(self._facts.written_at).tolist():
            partition, key = self._facts.place(position).partition, int(keys[position])
            if key == 0 or (partition, key) in self._last:
                uncompacted.add(partition)
            elif partition not in uncompacted:
                self._last[partition, key] = position

    def lost_its_beginning(self) -> bool:
        """Whether anything can have expired."""
        return any(self._first.values())

    def may_have_expired(self, position: int) -> bool:
        """Whether the log of the partition begins behind this position, or has nothing at all."""
        partition, offset = self._facts.place(position)
        return partition not in self._first or offset < self._first[partition]

    def may_be_compacted(self, position: int) -> bool:
        """Whether compaction can have taken what stood here."""
        partition, key = self._facts.place(position).partition, int(self._key[position])
        if self._compacts is not None:
            return self._compacts
        return key > 0 and self._last.get((partition, key), -1) > position


@dataclass(slots=True)
class _Stint:
    """One worker's time with one partition. Kafka hands it the records from `start` on in order, up to `last`."""

    worker: str
    start: int
    last: int = -1
    row: int = -1


@dataclass(slots=True)
class _Stints:
    """All stints with a partition, in the order of their starts; of those up to each, the one that read on farthest."""

    starts: list[int] = field(default_factory=list)
    farthest: list[_Stint] = field(default_factory=list)

    @classmethod
    def of(cls, stints: list[_Stint]) -> _Stints:
        found = cls()
        for stint in sorted(stints, key=lambda stint: stint.start):
            before = found.farthest[-1] if found.farthest else stint
            found.starts.append(stint.start)
            found.farthest.append(stint if stint.last > before.last else before)
        return found

    def passed(self, offset: int) -> _Stint | None:
        """A stint that began at this offset or before it, and read on past it."""
        place = bisect_right(self.starts, offset) - 1
        found = self.farthest[place] if place >= 0 else None
        return found if found is not None and found.last > offset else None


def skipped_on_poll(facts: Facts) -> Iterator[Finding]:
    """Records that a commit says are done, that nobody received, and that a worker passed over while it read on."""
    unseen = np.flatnonzero(facts.written_at & (facts.received_times == 0) & ~facts.letter_at).tolist()
    stints, claims = _stints(facts) if unseen else {}, CommitClaims(facts)
    found = []
    for position in unseen:
        place = facts.place(position)
        stint = stints[place.partition].passed(place.offset) if place.partition in stints else None
        if stint is not None and claims.of(position) is not None:
            found.append((position, stint))

    def describe(hit: tuple[int, _Stint]) -> Anomaly:
        position, stint = hit
        task = int(facts.written_task[position])
        name = f"Task {facts.task_name(task)}" if task else "The record"
        said = (
            f"{name} at {facts.place(position)} was never received by anyone: {stint.worker} read on to offset "
            f"{stint.last} without it, and a commit says that it is done."
        )
        return facts.anomaly(SKIPPED, said, row=stint.row, task=task, position=position)

    yield from described(SKIPPED, found, describe)


def _stints(facts: Facts) -> dict[int, _Stints]:
    """All stints by partition. A receipt before its worker's first assignment is in none: its beginning is unknown."""
    current: dict[tuple[int, int], _Stint] = {}
    stints: dict[int, list[_Stint]] = {}
    rows = facts.in_own_order("assigned", "received")
    assigned = facts.of_kind("assigned")[rows].tolist()
    columns = (facts.actor, facts.partition, facts.offset)
    for row, began, actor, partition, offset in zip(
        rows.tolist(), assigned, *(column[rows].tolist() for column in columns), strict=True
    ):
        if began:
            current[actor, partition] = _Stint(facts.who(row), offset)
            stints.setdefault(partition, []).append(current[actor, partition])
        elif (actor, partition) in current and offset > current[actor, partition].last:
            current[actor, partition].last, current[actor, partition].row = offset, row
    return {partition: _Stints.of(found) for partition, found in stints.items()}
