"""Rules on what must have happened: nothing lost, nothing acknowledged that is not there, nothing passed over.

These rules ask whether something happened at all, never when, so that no clock is needed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from labkit.faults.columns import Mask, Numbers
from labkit.faults.commit_claims import CommitClaims
from labkit.faults.consistency import reused_ids
from labkit.faults.facts import Facts
from labkit.faults.kept_log import KeptLog
from labkit.faults.verdict import LOST, LOST_IN_REPLAY, SKIPPED, UNWRITTEN, Anomaly, Finding, Unjudged, described


def lost_tasks(facts: Facts) -> Iterator[Finding]:
    """Promised tasks that nobody has done and that are no dead letters."""
    rows, nowhere = _left_over(facts)
    before, done = facts.before_start(rows), facts.done_at_start(rows)
    gone, gone_from_nowhere = _compacted_away(facts, rows, nowhere)
    owed = rows[~before & ~done & ~gone]
    lost = np.union1d(facts.task[owed], nowhere[~gone_from_nowhere])
    claims = CommitClaims(facts)
    first = dict(zip(facts.task[owed[::-1]].tolist(), facts.position[owed[::-1]].tolist(), strict=True))
    yield from described(LOST, lost.tolist(), lambda task: _lost(facts, claims, task, first.get(task)))
    gone_tasks = np.union1d(facts.task[rows[gone & ~before & ~done]], nowhere[gone_from_nowhere])
    for tasks, why in (
        (facts.task[rows[before]], "lie before the offset at which the group began"),
        (facts.task[rows[done]], "were done when the group began, by the commit that it was told of"),
        (gone_tasks, "may have been compacted away before anybody did them"),
    ):
        if count := len(np.setdiff1d(tasks, lost)):
            yield Unjudged(LOST, f"{count} tasks {why}.")
    requeued = np.unique(facts.task[facts.rows("requeued")])
    if not facts.written_at.any() and (count := int((~facts.done_task & ~facts.dead_task)[requeued].sum())):
        yield Unjudged(
            LOST, f"{count} tasks were put behind the others, and the log was not read, which has them there."
        )


def _left_over(facts: Facts) -> tuple[Numbers, Numbers]:
    """The rows of promised tasks that tell of places from where these were neither done nor given up, in the order of
    the places; and the tasks that have no place.
    """
    reused = reused_ids(facts)
    two = reused & facts.done_at.any()  # each of their records must be done by itself
    owing = facts.promised & (~facts.done_task | two)
    rows = facts.where_rows()
    rows = rows[owing[facts.task[rows]]]
    nowhere = np.setdiff1d(np.flatnonzero(owing & ~facts.dead_task), facts.task[rows])
    letters = facts.letter_at.copy()
    letters[list(_lost_replays(facts)[0])] = False
    left = ~facts.at(letters, rows) & ~(two[facts.task[rows]] & facts.at(facts.done_at, rows))
    requeued = facts.at(facts.requeued_at, rows)
    elsewhere = np.isin(facts.task[rows], facts.task[rows[~requeued]])
    left &= ~(requeued & (elsewhere | (not facts.written_at.any())))  # it is owed where it stands now
    left &= reused[facts.task[rows]] | ~_before_a_letter(facts, rows, letters)
    left &= ~(facts.dead_unplaced if facts.written_at.any() else facts.dead_task)[facts.task[rows]]
    rows = rows[left]
    return rows[np.argsort(facts.position[rows], kind="stable")], nowhere


def _before_a_letter(facts: Facts, rows: Numbers, letters: Mask) -> Mask:
    """Of each row, whether its task has a letter from farther behind on the partition: it may have been replayed from
    here so long ago that neither letter nor tombstone is left.
    """
    last = np.full(len(facts.promised), -1, dtype=np.int64)
    dead = rows[facts.at(letters, rows)]
    np.maximum.at(last, facts.task[dead], facts.position[dead])
    of_task = last[facts.task[rows]]
    before: Mask = (of_task > facts.position[rows]) & (facts.partition_of[of_task] == facts.partition[rows])
    return before


def _compacted_away(facts: Facts, rows: Numbers, nowhere: Numbers) -> tuple[Mask, Mask]:
    """Of each row, and of each of the tasks that are nowhere, whether the log may lack it for compaction."""
    gone, gone_from_nowhere = np.zeros(len(rows), dtype=bool), np.zeros(len(nowhere), dtype=bool)
    missing = np.flatnonzero(~facts.at(facts.written_at, rows))
    if facts.written_at.any() and len(missing) + len(nowhere):
        kept = KeptLog(facts)
        tasks, positions = facts.task[rows[missing]].tolist(), facts.position[rows[missing]].tolist()
        gone[missing] = [kept.may_be_compacted(*place) for place in zip(positions, tasks, strict=True)]
        gone_from_nowhere[:] = [kept.may_be_compacted(-1, task) for task in nowhere.tolist()]
    return gone, gone_from_nowhere


def _lost(facts: Facts, claims: CommitClaims, task: int, position: int | None) -> Anomaly:
    name = facts.task_name(task)
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

    lost, gone, nameless = _lost_replays(facts)
    found = [(row, task) for row, task in lost.values() if not facts.done_task[task]]
    yield from described(LOST_IN_REPLAY, found, describe)
    if gone:
        yield Unjudged(LOST_IN_REPLAY, f"{gone} replayed tasks may have been compacted away or have expired since.")
    if nameless:
        yield Unjudged(LOST_IN_REPLAY, f"{nameless} replayed tasks are plain text, and the log does not tell which.")


def _lost_replays(facts: Facts) -> tuple[dict[int, tuple[int, int]], int, int]:
    """The positions whose dead letter was replayed while the log has no copy of the task: the row and the task; of how
    many more the copy may be gone again; and how many are nameless in the log, so that no copy would be found.
    """
    rows = facts.rows("replayed") if facts.written_at.any() else facts.rows("replayed")[:0]
    found, nameless = {}, 0
    for row in rows[facts.position[rows] >= 0].tolist():
        position = int(facts.position[row])
        task = int(facts.task[row]) or int(facts.written_task[position]) or int(facts.received_task[position])
        if task and facts.written_at[position] and not facts.written_task[position]:
            nameless += not facts.done_task[task]
        elif task and not _is_behind(facts, task, position):
            found[position] = row, task
    kept = KeptLog(facts) if found else None
    lost = {
        position: (row, task)
        for position, (row, task) in found.items()
        if kept and not (kept.may_have_expired(position) or kept.may_be_compacted(position, task))
    }
    gone = sum(not facts.done_task[task] for position, (_, task) in found.items() if position not in lost)
    return lost, gone, nameless


def _is_behind(facts: Facts, task: int, position: int) -> bool:
    """Whether the task is also written behind this position, or on another partition."""
    before, places = facts.place(position), map(facts.place, facts.where(task))
    return any(place > before or place.partition != before.partition for place in places)


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
    kept = KeptLog(facts)
    for row, position in zip(rows[~there].tolist(), positions[~there].tolist(), strict=True):
        task = int(facts.task[row])
        if position < 0 and facts.written.of(task):
            continue
        if position >= 0 and facts.written_at[position]:
            found.append(row)
        elif kept.may_have_expired(position):
            expired += 1
        elif kept.may_be_compacted(position, task):
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
    rows = facts.rows("written")
    rows = rows[facts.at(facts.written_at & (facts.received_times == 0) & ~facts.letter_at, rows)]
    rows = rows[~facts.before_start(rows) & ~facts.done_at_start(rows)]
    unseen = np.unique(facts.position[rows]).tolist()
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
