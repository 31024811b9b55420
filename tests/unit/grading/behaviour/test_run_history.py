"""A run's history as the checker takes it: what is committed and was not done is lost, the rest is left to the next."""

from __future__ import annotations

import pytest

from labkit.errors import HistoryUnreadable
from labkit.grading.behaviour.mistakes import (
    AUTO_COMMIT,
    COMMIT_FIRST,
    DISORDER,
    HINTS,
    KEPT,
    LATE_COMMIT,
    LOST,
    TWICE,
    told,
)
from labkit.grading.behaviour.run_history import mistakes_in, run_history
from labkit.grading.effect_sink import Effect
from labkit.grading.question_verdict import Feedback

PLACES = {f"Task {offset}: x": (0, offset) for offset in range(3)}


def effects(*told: tuple[str, str, int]) -> list[Effect]:
    """Who did what with the task of which offset, one after the other."""
    return [
        Effect(number=number, what=what, task=f"Task {offset}: x", worker=worker, at=float(number))  # type: ignore[arg-type]
        for number, (worker, what, offset) in enumerate(told)
    ]


def found(*told: tuple[str, str, int], committed: int, excused: int = 0) -> list[tuple[str, str | None]]:
    history = run_history(PLACES, effects(*told), {0: committed} if committed else {})
    return [(feedback.mistake, feedback.task) for feedback in mistakes_in(history, excused=excused)]


def each(worker: str, *offsets: int) -> list[tuple[str, str, int]]:
    return [(worker, what, offset) for offset in offsets for what in ("began", "done")]


def test_a_worker_that_does_all_and_commits_it_is_right() -> None:
    assert found(*each("worker 1", 0, 1, 2), committed=3) == []


def test_what_is_not_committed_is_left_to_the_next_worker() -> None:
    assert found(*each("worker 1", 0), committed=1) == []
    assert found(committed=0) == []


def test_what_is_committed_and_was_not_done_is_lost() -> None:
    assert found(*each("worker 1", 0, 2), committed=3) == [(LOST, "Task 1: x")]
    killed_in_it = [*each("worker 1", 0), ("worker 1", "began", 1)]
    assert found(*killed_in_it, *each("worker 2", 2), committed=3) == [(LOST, "Task 1: x")]


def test_what_is_done_twice_is_said_beyond_what_a_crash_excuses() -> None:
    told = [*each("worker 1", 0, 1), *each("worker 2", 0, 1, 2)]
    assert {mistake for mistake, _ in found(*told, committed=3)} == {TWICE}
    assert len(found(*told, committed=3)) == 2
    assert len(found(*told, committed=3, excused=1)) == 1
    assert found(*told, committed=3, excused=2) == []


def test_a_partition_has_an_order() -> None:
    told = [("worker 1", "began", 0), *each("worker 1", 1), ("worker 1", "done", 0)]
    assert found(*told, committed=2) == [(DISORDER, "Task 1: x")]


def test_sentences_name_tasks_as_they_are_called() -> None:
    told = [("worker 1", "began", 0), *each("worker 1", 1), ("worker 1", "done", 0)]
    (feedback,) = mistakes_in(run_history(PLACES, effects(*told), {}), excused=0)
    assert "began Task 1: x" in feedback.sentence
    assert "the same partition" in feedback.sentence
    assert (feedback.who, feedback.at) == ("worker 1", 1.0)


def test_effects_of_unknown_tasks_are_left_out() -> None:
    stray = Effect(number=0, what="done", task="forged", worker="worker 1", at=0.0)
    assert len(run_history(PLACES, [stray], {})) == len(run_history(PLACES, [], {}))


def test_what_cannot_be_judged_is_not_praised() -> None:
    """The topic was made anew in the middle, so two tasks were acknowledged at one place."""
    places = {"Task 1: x": (0, 0), "Task 2: x": (0, 0)}
    with pytest.raises(HistoryUnreadable, match="Task 1: x and Task 2: x were both written"):
        mistakes_in(run_history(places, [], {}), excused=0)


def test_causes_are_told_first_and_not_too_much_of_each() -> None:
    many = [Feedback(mistake, f"{mistake} {number}") for mistake in reversed(HINTS) for number in range(KEPT + 1)]
    listed = told(many)
    assert listed[0].mistake == next(iter(HINTS))
    assert all(sum(one.mistake == name for one in listed) <= KEPT for name in HINTS)
    order = [one.mistake for one in listed]
    assert order.index(COMMIT_FIRST) < order.index(TWICE)
    assert not {LATE_COMMIT, LOST} & set(order)
    assert AUTO_COMMIT in order
