"""Why a history is not judged at all: it is empty, it is not understood, or it is two histories in one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from labkit.faults.columns import Numbers
from labkit.faults.event import KINDS, What
from labkit.faults.facts import Facts

#: Events that promise nothing and do nothing, …
_IDLE: tuple[What, ...] = ("sent", "refused", "retained", "fault")
#: … and those that may contradict each other, but do nothing for a task either.
_BARREN: tuple[What, ...] = (*_IDLE, "assigned", "committed", "replayed", "dropped")

#: What tells of one record at one position.
_WITNESSES: tuple[What, ...] = ("received", "acknowledged", "written")


def refusal(facts: Facts) -> str | None:
    """The reason in a sentence or two; None if the history can be judged."""
    return next((reason for look in _LOOKS if (reason := look(facts)) is not None), None)


def refusal_to_praise(facts: Facts) -> str | None:
    """The reason why it proves nothing that nothing was found; None if it does."""
    return _NOTHING if facts.of_kind(*_BARREN).all() else None


def _nothing_happened(facts: Facts) -> str | None:
    return _NOTHING if facts.of_kind(*_IDLE).all() else None


def _unknown_kinds(facts: Facts) -> str | None:
    found = {facts.columns.event(row).what for row in np.flatnonzero(facts.what < 0).tolist()}
    if found:
        return f"it has events of the kind {', '.join(sorted(found))}, and there are {', '.join(KINDS)}."
    return None


def _two_records_at_one_position(facts: Facts) -> str | None:
    for kind in _WITNESSES:
        rows = _placed(facts, kind)
        rows = rows[np.argsort(facts.position[rows], kind="stable")]
        two = (np.diff(facts.position[rows]) == 0) & (np.diff(facts.task[rows]) != 0)
        if two.any():
            row = int(rows[1:][two][0])
            other = facts.task_name(int(facts.task[rows[:-1][two][0]]))
            this, place = facts.task_name(int(facts.task[row])), facts.place(int(facts.position[row]))
            return f"tasks {other} and {this} were both {kind} at {place}. {_TWO_LIVES}"
    return None


def _sent_and_acknowledged_twice(facts: Facts) -> str | None:
    """A record that is sent again gets an offset of its own."""
    rows = _placed(facts, "acknowledged")
    sent = np.bincount(facts.task[facts.rows("sent")], minlength=len(facts.columns.texts["task"]))
    rows = rows[sent[facts.task[rows]] > 1]
    positions, times = np.unique(facts.position[rows], return_counts=True)
    if (times > 1).any():
        position = int(positions[times > 1][0])
        row = int(rows[facts.position[rows] == position][0])
        task = facts.task_name(int(facts.task[row]))
        return f"task {task} was sent twice, and acknowledged twice at {facts.place(position)}. {_TWO_LIVES}"
    return None


def _log_of_another_life(facts: Facts) -> str | None:
    """On a partition, the log agrees with the others nowhere, though they have several offsets in common."""
    told = np.where(facts.received_task > 0, facts.received_task, facts.tasks_at("acknowledged"))
    both = np.flatnonzero((told > 0) & (facts.written_task > 0))
    agrees = told[both] == facts.written_task[both]
    partitions = facts.partition_of[both]
    for partition in np.unique(partitions).tolist():
        here = partitions == partition
        if here.sum() > 1 and not agrees[here].any():
            return f"the log of partition {partition} has other tasks at all offsets that are known. {_TWO_LIVES}"
    return None


_NOTHING = "nothing was promised and nobody did anything, which proves nothing."

_TWO_LIVES = (
    "So these are two runs, or two lives of a topic, and an offset means different records. Judge one at a time. "
    "(A log that lost its end and was written again looks the same; then acknowledged records are gone.)"
)

_LOOKS: tuple[Callable[[Facts], str | None], ...] = (
    _nothing_happened,
    _unknown_kinds,
    _two_records_at_one_position,
    _sent_and_acknowledged_twice,
    _log_of_another_life,
)


def _placed(facts: Facts, kind: What) -> Numbers:
    rows = facts.rows(kind)
    return rows[(facts.position[rows] >= 0) & (facts.task[rows] > 0)]
