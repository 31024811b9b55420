"""Rules on what contradicts itself: ids, results, dead letters and marks that cannot be what they say they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from labkit.faults.columns import Mask, Numbers
from labkit.faults.event import What
from labkit.faults.facts import Facts
from labkit.faults.spans import NEVER, Spans, spans_of
from labkit.faults.verdict import (
    DEAD_THOUGH_DONE,
    DEAD_UNBEGUN,
    DONE_UNBEGUN,
    NO_EFFECT,
    REUSED_ID,
    SWAPPED,
    Anomaly,
    Finding,
    Unjudged,
    described,
)

#: What a worker says of a record that it was handed.
_OF_AN_ATTEMPT: tuple[What, ...] = ("started", "finished", "failed", "repeated", "dead")

#: Of so many positions a sentence tells.
SHOWN = 5


def reused_ids(facts: Facts) -> Mask:
    """Of each task, whether its id stands for two: at two positions of the log the key or the content differs.

    Where the log was not read, keys are compared as they were received.
    """
    read = bool(facts.written_at.any())
    rows = facts.rows("written" if read else "received")
    rows = rows[(facts.task[rows] > 0) & (facts.position[rows] >= 0)]
    reused = np.zeros(len(facts.columns.texts["task"]), dtype=bool)
    for column in (facts.key, facts.columns.numbers["content"]):
        known = rows if read else rows[column[rows] > 0]
        known = known[np.argsort(facts.task[known], kind="stable")]
        differs = (np.diff(facts.task[known]) == 0) & (np.diff(column[known]) != 0)
        reused[facts.task[known[1:][differs]]] = True
    return reused


def one_id_for_two_tasks(facts: Facts) -> Iterator[Finding]:
    """One for every id under which different tasks are on the topic."""

    def describe(task: int) -> Anomaly:
        rows = facts.written.of(task) or facts.received.of(task)
        places = sorted({int(facts.position[row]) for row in rows})
        at = " and at ".join(str(facts.place(position)) for position in places[:SHOWN])
        said = f"The id {facts.task_name(task)} stands for different tasks, at {at}."
        return facts.anomaly(REUSED_ID, said, task=task, position=places[-1])

    return described(REUSED_ID, np.flatnonzero(reused_ids(facts)).tolist(), describe)


def results_of_other_tasks(facts: Facts) -> Iterator[Finding]:
    """One for every event that belongs to another task than its worker was at."""
    yield from _at_the_wrong_record(facts)
    yield from _ended_unbegun(facts)
    yield from _exchanged_effects(facts)


def _at_the_wrong_record(facts: Facts) -> Iterator[Finding]:
    """Events that name another task than was received there."""
    rows = facts.rows(*_OF_AN_ATTEMPT)
    rows = rows[(facts.position[rows] >= 0) & (facts.task[rows] > 0)]
    handed = np.where(facts.received_task > 0, facts.received_task, facts.written_task)
    wrong = (facts.at(handed, rows) > 0) & (facts.at(handed, rows) != facts.task[rows])

    def describe(row: int) -> Anomaly:
        position = int(facts.position[row])
        name, other = facts.task_name(int(facts.task[row])), facts.task_name(int(handed[position]))
        said = f"{facts.who(row)} tells of task {name} at {facts.place(position)}, where it was handed task {other}."
        return facts.anomaly(SWAPPED, said, row=row)

    return described(SWAPPED, rows[wrong].tolist(), describe)


def _ended_unbegun(facts: Facts) -> Iterator[Finding]:
    """Ends of attempts that their worker never began, while it never ended another one that it did begin."""
    spans = spans_of(facts)

    def describe(row: int) -> Anomaly:
        name = facts.task_name(int(facts.task[row]))
        said = f"{facts.who(row)} ended task {name}, which it never began, and never ended another one that it began."
        return facts.anomaly(SWAPPED, said, row=row)

    return described(SWAPPED, spans.row[_perhaps_of_another(spans)].tolist(), describe)


def _perhaps_of_another(spans: Spans) -> Mask:
    """Of each span, whether it has only ends, and its worker never ended another one that it began."""
    found: Mask = (spans.begun == NEVER) & np.isin(spans.actor, spans.actor[spans.open])
    return found


def done_though_never_begun(facts: Facts) -> Iterator[Finding]:
    """Tasks that a worker finished, though it tells when it begins and had not begun them.

    What may be the end of another attempt of its worker is left to `results_of_other_tasks`.
    """
    rows = facts.rows("finished")
    rows = rows[(facts.position[rows] >= 0) & (facts.task[rows] > 0)]
    rows = rows[np.isin(facts.actor[rows], facts.actor[facts.rows("started")])]
    rows = rows[_before_its_begin(facts, rows)]
    spans = spans_of(facts)
    rows = rows[~np.isin(rows, spans.row[_perhaps_of_another(spans)])]

    def describe(row: int) -> Anomaly:
        name, place = facts.task_name(int(facts.task[row])), facts.place(int(facts.position[row]))
        said = f"{facts.who(row)} says that it finished task {name} at {place}, which it had never begun."
        return facts.anomaly(DONE_UNBEGUN, said, row=row)

    return described(DONE_UNBEGUN, rows.tolist(), describe)


def _before_its_begin(facts: Facts, rows: Numbers) -> Mask:
    """Of each row, whether its actor had not begun at its position by then, or never did where its order is unknown."""
    begins = facts.rows("started")
    begins = begins[facts.position[begins] >= 0]
    begins = begins[np.argsort(facts.seq[begins], kind="stable")]
    places = len(facts.offset_of)
    pairs, first = np.unique(facts.actor[begins] * places + facts.position[begins], return_index=True)
    if not len(pairs):
        return np.ones(len(rows), dtype=bool)
    pair = facts.actor[rows] * places + facts.position[rows]
    found = np.minimum(np.searchsorted(pairs, pair), len(pairs) - 1)
    later = facts.ordered[facts.actor[rows]] & (facts.seq[rows] < facts.seq[begins[first[found]]])
    unbegun: Mask = (pairs[found] != pair) | later
    return unbegun


def _exchanged_effects(facts: Facts) -> Iterator[Finding]:
    """Effects of two tasks, each of which had the other's."""
    texts = facts.columns.texts
    had: dict[tuple[str, str], int] = {}
    for row in facts.rows("effect").tolist():
        task, key = texts["task"][facts.task[row]], texts["key"][facts.key[row]]
        if task is not None and key is not None and task != key:
            had[task, key] = row

    def describe(pair: tuple[str, str]) -> Anomaly:
        task, key = pair
        said = f"Task {task} had the effect {key}, and task {key} the effect {task}."
        return facts.anomaly(SWAPPED, said, row=had[pair])

    return described(SWAPPED, [(task, key) for task, key in had if (key, task) in had], describe)


def letters_of_finished_tasks(facts: Facts) -> Iterator[Finding]:
    """Dead letters by a worker that finished the task, which was delivered once."""
    finished = facts.rows("finished")
    finished = finished[facts.position[finished] >= 0]
    by = np.zeros(len(facts.offset_of), dtype=np.int64)
    by[facts.position[finished]] = facts.actor[finished]
    rows = facts.own_letters()
    rows = rows[facts.at((facts.received_times == 1) & (facts.finished_times == 1), rows)]

    def describe(row: int) -> Anomaly:
        name, place = facts.task_name(int(facts.task[row])), facts.place(int(facts.position[row]))
        said = f"Task {name} at {place} was delivered once, and {facts.who(row)} finished it and made it a dead letter."
        return facts.anomaly(DEAD_THOUGH_DONE, said, row=row)

    return described(DEAD_THOUGH_DONE, rows[facts.at(by, rows) == facts.actor[rows]].tolist(), describe)


def letters_of_tasks_never_begun(facts: Facts) -> Iterator[Finding]:
    """Dead letters by a worker that received the task, tells when it begins, and did not; nor did another one.

    What it received as no task, or is none by the log, is not begun, though the letter has an id from its headers.
    """
    rows = facts.own_letters()
    rows = rows[(facts.position[rows] >= 0) & (facts.task[rows] > 0)]
    rows = rows[facts.started_times[facts.position[rows]] == 0]
    rows = rows[np.isin(facts.actor[rows], facts.actor[facts.rows("started")])]
    received = facts.rows("received")
    received = received[np.isin(facts.position[received], facts.position[rows])]
    received = received[(facts.task[received] > 0) | facts.at(facts.written_task > 0, received)]
    had = set(zip(facts.actor[received].tolist(), facts.position[received].tolist(), strict=True))

    def describe(row: int) -> Anomaly:
        name, place = facts.task_name(int(facts.task[row])), facts.place(int(facts.position[row]))
        said = f"{facts.who(row)} made task {name} at {place} a dead letter, and nobody had ever begun it."
        return facts.anomaly(DEAD_UNBEGUN, said, row=row)

    hits = [row for row in rows.tolist() if (int(facts.actor[row]), int(facts.position[row])) in had]
    return described(DEAD_UNBEGUN, hits, describe)


def _same_as(facts: Facts, tasks: Numbers) -> Numbers:
    """The tasks that have the idempotency key of one of these, and so are the same to their handler."""
    rows = facts.rows("written")
    keys = facts.columns.numbers["note"][rows]
    same: Numbers = facts.task[rows[(keys > 0) & np.isin(keys, keys[np.isin(facts.task[rows], tasks)])]]
    return same


def marks_without_an_effect(facts: Facts) -> Iterator[Finding]:
    """Tasks that were finished or recognised as done and never had their effect, where effects are told of at all."""
    effects = facts.rows("effect")
    if not len(effects):
        return
    rows = facts.rows("finished", "repeated")
    rows = rows[(facts.task[rows] > 0) & ~np.isin(facts.task[rows], facts.task[effects])]
    rows = rows[~np.isin(facts.task[rows], _same_as(facts, facts.task[effects]))]
    texts = facts.columns.texts
    keys = ((texts["task"][facts.task[row]], texts["key"][facts.key[row]]) for row in effects.tolist())
    if len(rows) and any(key is not None and key != task for task, key in keys):
        yield Unjudged(NO_EFFECT, "Effects are known by keys of their own, so it is not known whose is missing.")
        return
    _, first = np.unique(facts.task[rows], return_index=True)

    def describe(row: int) -> Anomaly:
        said = f"{facts.who(row)} says that task {facts.task_name(int(facts.task[row]))} is done, but it had no effect."
        return facts.anomaly(NO_EFFECT, said, row=row)

    yield from described(NO_EFFECT, rows[np.sort(first)].tolist(), describe)
