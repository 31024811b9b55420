"""Spans: what one worker did at one position, from the first begin of an attempt to the last begin or end of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.faults.columns import Mask, Numbers
from labkit.faults.event import What
from labkit.faults.facts import Facts

#: The moment of a begin that is not told.
NEVER = 2**63 - 1

#: What a worker says of a record that it has: of one that is no task it names none.
_OF_A_WORKER: tuple[What, ...] = ("received", "finished", "failed", "repeated", "shed", "spilled", "requeued")


@dataclass(frozen=True, slots=True)
class Spans:
    """One place in each array per worker and position. Moments are the worker's own numbers.

    `row`: of the first begin, or of the first end where no begin is told. `begun`: `NEVER` where none is told. `open`:
    no end is told of the last begin, so it is not known when it ended.
    """

    actor: Numbers
    position: Numbers
    row: Numbers
    begun: Numbers
    through: Numbers
    open: Mask

    def alone(self, facts: Facts) -> Mask:
        """Of each span, whether no other delivery and no other worker can have ended this task."""
        spans_at = np.bincount(self.position, minlength=len(facts.offset_of))
        once = facts.delivered_once() & (spans_at == 1)
        once &= (facts.received_times == 1) | (facts.started_times <= 1)  # a redelivery would not show without receipts
        alone: Mask = once[self.position]
        return alone


def no_task_at(facts: Facts) -> Mask:
    """Of each position, whether the record there is no task: nobody began it, and the log or everybody says so."""
    named = (facts.written_task > 0) | (~facts.written_at & (facts.tasks_at(*_OF_A_WORKER) > 0))
    no_task: Mask = (facts.started_times == 0) & ~named
    return no_task


def spans_of(facts: Facts) -> Spans:
    """The spans of all workers whose order is known. What is told of a record that is no task is no attempt."""
    rows = facts.in_own_order("started", "finished", "failed")
    rows = rows[facts.position[rows] >= 0]
    rows = rows[~facts.at(no_task_at(facts), rows)]
    rows = rows[np.lexsort((facts.seq[rows], facts.position[rows], facts.actor[rows]))]
    actor, position, seq = facts.actor[rows], facts.position[rows], facts.seq[rows]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (np.diff(actor) != 0) | (np.diff(position) != 0)
    starts = np.flatnonzero(first)
    if not len(starts):
        return Spans(rows, rows, rows, rows, rows, rows > 0)
    last = np.append(starts[1:], len(rows)) - 1
    begins = facts.of_kind("started")[rows]
    begun = np.minimum.reduceat(np.where(begins, seq, NEVER), starts)
    first_begin = np.minimum.reduceat(np.where(begins, np.arange(len(rows)), len(rows)), starts)
    row = rows[np.where(begun < NEVER, first_begin, starts)]
    return Spans(actor[starts], position[starts], row, begun, seq[last], begins[last])
