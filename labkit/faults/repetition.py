"""Rules on what may happen only once. They count, and need no clock."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from labkit.faults.columns import Numbers
from labkit.faults.facts import Facts, Rows
from labkit.faults.verdict import DEAD_TWICE, DUPLICATE, EFFECT_TWICE, Anomaly, Finding, described


def duplicates(facts: Facts) -> Iterator[Finding]:
    """One for every time that a task was finished beyond the first."""
    rows = _ends(facts)
    finished = Rows(facts.task[rows], rows)

    @cache
    def said(task: int) -> str:
        ends = finished.of(task)
        return f"Task {facts.task_name(task)} was finished {len(ends)} times, {_why(facts, ends)}."

    def describe(row: int) -> Anomaly:
        return facts.anomaly(DUPLICATE, said(int(facts.task[row])), row=row)

    return described(DUPLICATE, finished.beyond_the_first(), describe)


def _ends(facts: Facts) -> Numbers:
    """The rows of finished tasks. Who tells of one without its place, as a file of effects does, may tell of what its
    worker tells too; so of each task those with a place count, or those without, whichever are more.
    """
    rows = facts.rows("finished")
    rows = rows[facts.task[rows] > 0]
    placed = facts.position[rows] >= 0
    if placed.all() or not placed.any():
        return rows
    tasks = len(facts.columns.texts["task"])
    with_place = np.bincount(facts.task[rows[placed]], minlength=tasks)
    without = np.bincount(facts.task[rows[~placed]], minlength=tasks)
    kept: Numbers = rows[placed == (with_place >= without)[facts.task[rows]]]
    return kept


def _why(facts: Facts, ends: list[int]) -> str:
    copies = sorted({int(facts.position[row]) for row in ends if facts.position[row] >= 0})
    if len(copies) > 1:
        places = " and at ".join(str(facts.place(position)) for position in copies)
        return f"by {_actors(facts, ends)}: it is on the topic more than once, at {places}"
    deliveries = int(facts.received_times[copies].sum())
    times = "once" if deliveries == 1 else f"{deliveries} times"
    return f"by {_actors(facts, ends)}: it was delivered {times}"


def dead_lettered_twice(facts: Facts) -> Iterator[Finding]:
    """One for every dead letter of the same record beyond the first."""
    rows = facts.own_letters()
    rows = rows[facts.position[rows] >= 0]
    letters = Rows(facts.position[rows], rows)

    @cache
    def times(position: int) -> str:
        same = letters.of(position)
        return f"{len(same)} times, by {_actors(facts, same)}"

    def describe(row: int) -> Anomaly:
        task, position = int(facts.task[row]), int(facts.position[row])
        name = f"Task {facts.task_name(task)}" if task else "The record"
        said = f"{name} at {facts.place(position)} became a dead letter {times(position)}."
        return facts.anomaly(DEAD_TWICE, said, row=row)

    return described(DEAD_TWICE, letters.beyond_the_first(), describe)


def effects_done_twice(facts: Facts) -> Iterator[Finding]:
    """One for every time that an effect was done beyond the first."""
    rows = facts.rows("effect")
    # by its key, or where it has none by its task: both in one series of numbers
    number = np.where(facts.key > 0, facts.key, len(facts.columns.texts["key"]) + facts.task)
    effects = Rows(number[rows], rows)

    @cache
    def times(number: int) -> str:
        same = effects.of(number)
        return f"{len(same)} times, by {_actors(facts, same)}"

    def describe(row: int) -> Anomaly:
        event = facts.columns.event(row)
        said = f"The effect {event.key or event.task} of task {event.task} was done {times(int(number[row]))}."
        return facts.anomaly(EFFECT_TWICE, said, row=row)

    return described(EFFECT_TWICE, effects.beyond_the_first(), describe)


def _actors(facts: Facts, rows: list[int]) -> str:
    return " and ".join(dict.fromkeys(facts.who(row) for row in rows))
