"""Rules on what comes before what. Two moments are compared only if one and the same actor saw both."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from labkit.faults.columns import Mask, Numbers
from labkit.faults.commit_claims import remembered
from labkit.faults.event import KINDS, What
from labkit.faults.facts import Facts
from labkit.faults.spans import Spans, no_task_at, spans_of
from labkit.faults.verdict import AHEAD, GOING_BACK, OUT_OF_ORDER, Anomaly, Finding, Unjudged, described

#: What a worker tells when it is through with a task, or with an attempt at it, in words.
_THROUGH: dict[What, str] = {
    "finished": "finished it",
    "failed": "failed at it",
    "shed": "dropped it",
    "spilled": "put it on another topic",
    "requeued": "put it behind the others",
}


def offsets_going_back(facts: Facts) -> Iterator[Finding]:
    """Commit points, assignments and receipts below a commit point that the same actor knew before."""
    yield from _without_order(facts, GOING_BACK, facts.rows("assigned", "committed"))
    known: dict[tuple[int, int], int] = {}
    found: list[tuple[int, int]] = []  # the row, and the commit point before
    rows = facts.in_own_order("assigned", "committed", "received")
    received = facts.of_kind("received")[rows].tolist()
    columns = (facts.actor, facts.partition, facts.offset)
    for row, reads, actor, partition, offset in zip(
        rows.tolist(), received, *(column[rows].tolist() for column in columns), strict=True
    ):
        before = known.get((actor, partition), 0)
        if offset < before:
            found.append((row, before))
            known[actor, partition] = offset  # one anomaly for what goes back once
        elif not reads:
            known[actor, partition] = offset
    yield from described(GOING_BACK, found, lambda hit: _going_back(facts, *hit))


def _going_back(facts: Facts, row: int, known: int) -> Anomaly:
    event = facts.columns.event(row)
    did = {
        "committed": f"committed offset {event.offset}",
        "assigned": f"was told to start at offset {event.offset}",
        "received": f"went back to offset {event.offset}",
    }[event.what]
    said = (
        f"On partition {event.partition} everything before offset {known} was committed as done, and then "
        f"{event.by} {did}: work that was done may be done again."
    )
    return facts.anomaly(GOING_BACK, said, row=row)


def out_of_order_within_a_key(facts: Facts) -> Iterator[Finding]:
    """Tasks that a worker began before it was through with an earlier one of their key, outside a redelivery."""
    begins = facts.rows("started")
    yield from _without_order(facts, OUT_OF_ORDER, begins[facts.key[begins] > 0])
    spans = spans_of(facts)
    alone = spans.alone(facts).tolist()
    lanes, order = _lanes(facts, spans)
    begun, through = spans.begun.tolist(), spans.through.tolist()
    found: list[tuple[int, int]] = []  # the span, and the one that it overtook
    lane, slowest = -1, -1  # of all earlier spans of a lane, the one that came to its end last
    for place in order.tolist():
        if lanes[place] != lane:
            lane, slowest = lanes[place], -1
        if slowest >= 0 and begun[place] < through[slowest]:
            found.append((place, slowest))
        if alone[place] and (slowest < 0 or through[place] > through[slowest]):
            slowest = place
    yield from described(OUT_OF_ORDER, found, lambda hit: _out_of_order(facts, spans, *hit))


def _lanes(facts: Facts, spans: Spans) -> tuple[list[int], Numbers]:
    """A number for each worker, partition and key, of each span; and the spans in the order of lanes and positions."""
    key = facts.key[spans.row]
    partition = facts.partition_of[spans.position]
    order = np.lexsort((spans.position, key, partition, spans.actor))
    order = order[key[order] > 0]
    changes = np.zeros(len(order), dtype=bool)
    for column in (spans.actor, partition, key):
        changes[1:] |= np.diff(column[order]) != 0
    lanes = np.zeros(len(key), dtype=np.int64)
    lanes[order] = np.cumsum(changes)
    return lanes.tolist(), order


def _out_of_order(facts: Facts, spans: Spans, place: int, before: int) -> Anomaly:
    event = facts.columns.event(int(spans.row[place]))
    offset = facts.place(int(spans.position[before])).offset
    said = (
        f"{event.by} began task {event.task} (offset {event.offset}) before it had finished the one at offset "
        f"{offset}, which has the same key {event.key} and comes first."
    )
    return facts.anomaly(OUT_OF_ORDER, said, row=int(spans.row[place]))


def commits_ahead_of_the_work(facts: Facts) -> Iterator[Finding]:
    """Tasks that only one worker ever had, and that it committed as done before it was through with them."""
    rows = facts.rows("committed")
    yield from _without_order(facts, AHEAD, rows[np.isin(facts.actor[rows], facts.actor[facts.rows(*_THROUGH)])])
    once = (facts.received_times == 1) & (facts.finished_times <= 1) & ~no_task_at(facts)
    begin, end = _last_at(facts, "received"), _ends(facts)
    once &= (begin >= 0) & (end >= 0)
    once &= (facts.actor[begin] == facts.actor[end]) & (facts.seq[begin] < facts.seq[end])
    had = facts.rows("started", *_THROUGH)
    had = had[facts.position[had] >= 0]
    once[facts.position[had[facts.actor[had] != facts.actor[begin[facts.position[had]]]]]] = False  # another had it too
    early = np.union1d(_passed_by_a_point(facts, once, begin, end), _remembered_too_soon(facts, once, begin, end))
    yield from described(AHEAD, end[early].tolist(), lambda row: _ahead(facts, row))


def _ahead(facts: Facts, row: int) -> Anomaly:
    name, place = facts.task_name(int(facts.task[row])), facts.place(int(facts.position[row]))
    did = _THROUGH[KINDS[facts.what[row]]]
    said = (
        f"{facts.who(row)} committed that task {name} at {place} is done and {did} only then: a death in between "
        "would have lost it."
    )
    return facts.anomaly(AHEAD, said, row=row)


def _passed_by_a_point(facts: Facts, once: Mask, begin: Numbers, end: Numbers) -> Numbers:
    """The positions that their worker's commit point passed between the receipt and the end."""
    rows = facts.in_own_order("committed", "received", *_THROUGH)
    commits = facts.of_kind("committed")[rows]
    kept = commits | (facts.at(once, rows) & ((facts.at(begin, rows) == rows) | (facts.at(end, rows) == rows)))
    rows, commits = rows[kept], commits[kept]
    order = np.argsort(facts.partition[rows], kind="stable")  # then by actor, then by the actor's own order
    rows, commits = rows[order], commits[order]
    changes = (np.diff(facts.partition[rows]) != 0) | (np.diff(facts.actor[rows]) != 0)
    point = np.where(commits, facts.offset[rows], -1)
    for start, stop in pairwise([0, *(np.flatnonzero(changes) + 1).tolist(), len(rows)]):
        np.maximum.accumulate(point[start:stop], out=point[start:stop])
    rows, point = rows[~commits], point[~commits]
    received = facts.of_kind("received")[rows]
    at_receipt, at_end = np.zeros((2, len(facts.offset_of)), dtype=np.int64)
    at_receipt[facts.position[rows[received]]] = point[received]
    at_end[facts.position[rows[~received]]] = point[~received]
    return np.flatnonzero(once & (at_receipt <= facts.offset_of) & (facts.offset_of < at_end))


def _remembered_too_soon(facts: Facts, once: Mask, begin: Numbers, end: Numbers) -> Numbers:
    """The positions that their worker committed as finished beyond its point between the receipt and the end."""
    positions, commits = remembered(facts)
    wanted = once[positions] & facts.ordered[facts.actor[commits]]
    positions, commits = positions[wanted], commits[wanted]
    seq = facts.seq[commits]
    between = (facts.seq[begin[positions]] < seq) & (seq < facts.seq[end[positions]])
    return np.unique(positions[between & (facts.actor[commits] == facts.actor[end[positions]])])


def _ends(facts: Facts) -> Numbers:
    """Of each position, the row with which its worker was through with it; -1 for none: where it was finished, or else
    the last failure, or that it was put away.
    """
    finished = _last_at(facts, "finished")
    return np.where(finished >= 0, finished, _last_at(facts, *_THROUGH))


def _last_at(facts: Facts, *kinds: What) -> Numbers:
    """Of each position, the last row of these kinds by the actors' own numbers; -1 for none."""
    rows = facts.rows(*kinds)
    rows = rows[facts.position[rows] >= 0]
    rows = rows[np.argsort(facts.seq[rows], kind="stable")]
    found = np.full(len(facts.offset_of), -1, dtype=np.int64)
    found[facts.position[rows]] = rows
    return found


def _without_order(facts: Facts, name: str, rows: Numbers) -> Iterator[Unjudged]:
    """Says of whom among those who did this no order is known."""
    names = facts.columns.numbers["by"][rows[~facts.ordered[facts.actor[rows]]]]
    if len(names):
        who = ", ".join(sorted(str(facts.columns.texts["by"][name]) for name in np.unique(names)))
        said = f"Different events of {who} have one number, so the name stands for two, or its order is not known."
        yield Unjudged(name, said)
