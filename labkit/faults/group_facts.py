"""Whose events are whose: the facts of each group of a history, and what is of nobody known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from labkit.faults.columns import Mask
from labkit.faults.event import KINDS, What
from labkit.faults.facts import Facts
from labkit.faults.verdict import DEAD_TWICE, DUPLICATE, EFFECT_TWICE, GOING_BACK, SKIPPED, Unjudged

#: What is of every group where it names none.
_SHARED: tuple[What, ...] = (
    "sent",
    "acknowledged",
    "refused",
    "written",
    "retained",
    "dead",
    "replayed",
    "dropped",
    "fault",
)

#: What a group does with the records that it is handed.
_WORK: tuple[What, ...] = ("received", "started", "finished", "failed", "repeated", "shed", "spilled", "requeued")

#: What cannot be found where it is not known whose these are; of work, duplicates.
_LEFT_OPEN: dict[What, str] = {"committed": GOING_BACK, "assigned": SKIPPED, "effect": EFFECT_TWICE}


def facts_by_group(facts: Facts) -> dict[str | None, Facts]:
    """The facts of each group by its name.

    What names no group is of the only one there is. Beside a group that works it is one of its own if it works at
    records too; else, as commits read from the broker and effects read from a file, it is of that one, and beside
    several of nobody known.
    """
    columns = facts.columns
    group = columns.numbers["group"]
    of_all, nameless = _of_all(facts), _nameless(facts)
    named = np.unique(group[group > 0]).tolist()
    if not named or (len(named) == 1 and not nameless.any()):
        return {None: facts}
    working = np.unique(group[facts.of_kind(*_WORK) & (facts.position >= 0)])
    if len(named) == 1 and len(working) < 2:
        (only,) = named
        return {None: facts.with_groups(np.where(nameless, only, group).astype(group.dtype))}
    numbers = [0, *named] if 0 in working else named
    return {
        columns.texts["group"][number]: Facts(
            columns.take(np.flatnonzero((group == number) | of_all)), one_of_several=True
        )
        for number in numbers
    }


def left_out(facts: Facts, groups: dict[str | None, Facts]) -> Iterator[Unjudged]:
    """What was given to none of these groups, or may be of another than it was given to."""
    if len(groups) < 2:
        return
    letters = facts.rows("dead")
    letters = letters[(facts.columns.numbers["group"][letters] == 0) & (facts.position[letters] >= 0)]
    times = np.unique(facts.position[letters], return_counts=True)[1]
    for count in times[times > 1][:1].tolist():
        yield Unjudged(DEAD_TWICE, f"{count} dead letters of one record name no group, and there are several.")
    if None in groups:
        return
    kinds, counts = np.unique(facts.what[_nameless(facts)], return_counts=True)
    for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
        said = f"{count} events of the kind {KINDS[kind]} name no group, and there are several."
        yield Unjudged(_LEFT_OPEN.get(KINDS[kind], DUPLICATE), said)


def _of_all(facts: Facts) -> Mask:
    of_all: Mask = (facts.columns.numbers["group"] == 0) & facts.of_kind(*_SHARED)
    return of_all


def _nameless(facts: Facts) -> Mask:
    """What is of one group, and does not say of which."""
    nameless: Mask = (facts.columns.numbers["group"] == 0) & ~facts.of_kind(*_SHARED)
    return nameless
