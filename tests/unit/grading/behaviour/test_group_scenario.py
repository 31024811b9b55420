"""Whether a group changes hands is judged by what its workers do, however long they take for it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import RunCut
from labkit.grading.behaviour.group_scenario import BEFORE_HANDOVER, _join

FIRST, SECOND = SimpleNamespace(name="worker 1"), SimpleNamespace(name="worker 2", address="127.0.0.12")


class PlayedRun:
    """Keeps what `_join` needs of a run, by a clock of its own. The first worker has a task in hand and begins `before`
    further ones; `handover` seconds after the last one the second worker begins its first.
    """

    def __init__(self, *, before: int, handover: float) -> None:
        self.time, self.left, self.handover = 0.0, before, handover
        self.counts = {FIRST.name: 1, SECOND.name: 0}
        self.polls_at: float | None = None
        self.cuts: list[str] = []
        self.has_task = True
        self.sink = SimpleNamespace(let_go=self.let_go, held=lambda: ["a task"] if self.has_task else [])
        self.group = SimpleNamespace(has=lambda _: True)

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        end = self.time + timeout
        while not condition():
            if self.time >= end:
                return False
            self.time += 0.1
            if self.polls_at is not None and self.time >= self.polls_at + self.handover:
                self.counts[SECOND.name] = 1
        return True

    def let_go(self, then: object) -> None:
        if self.left:
            self.left -= 1
            self.counts[FIRST.name] += 1
        else:
            self.has_task = False
            self.polls_at = self.time if self.polls_at is None else self.polls_at

    def next_task(self, worker: object) -> None:
        pass

    def begun(self, worker: SimpleNamespace) -> int:
        return self.counts[worker.name]

    def cut(self, mistake: str, sentence: str, *, who: str) -> RunCut:
        self.cuts.append(mistake)
        return RunCut()


@pytest.mark.parametrize("handover", [0.2, 3.0, 45.0])
@pytest.mark.parametrize("before", [0, 2, 10])
def test_a_handover_may_take_long_on_a_busy_computer(before: int, handover: float) -> None:
    run = PlayedRun(before=before, handover=handover)
    _join(run, FIRST, SECOND)
    assert run.begun(SECOND) == 1
    assert run.begun(FIRST) == 1 + before


def test_who_goes_on_with_tasks_and_does_not_poll_is_blocked() -> None:
    run = PlayedRun(before=100, handover=1.0)
    with pytest.raises(RunCut):
        _join(run, FIRST, SECOND)
    assert run.cuts == [mistakes.BLOCKED_POLL]
    assert run.begun(FIRST) == 1 + BEFORE_HANDOVER


def test_where_nobody_goes_on_tasks_are_left() -> None:
    run = PlayedRun(before=3, handover=10_000.0)
    with pytest.raises(RunCut):
        _join(run, FIRST, SECOND)
    assert run.cuts == [mistakes.LEFT]
