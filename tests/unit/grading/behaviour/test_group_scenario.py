"""Whether a group changes hands is judged by what its workers do, however long they take for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import RunCut
from labkit.grading.behaviour.group_scenario import BEFORE_HANDOVER, HEARD, QUIET, STEP, UNSEEN, _grow, _join
from labkit.grading.behaviour.request_count import FETCH, HEARTBEAT, JOIN_GROUP, METADATA

SECOND = SimpleNamespace(name="worker 2", address="127.0.0.12")


class PlayedRun:
    """Keeps what `_join` needs of a run, by a clock of its own. The first worker has a task in hand and begins `before`
    further ones; `handover` seconds after the last one the second worker begins its first. A heartbeat of the first
    one comes every `heartbeat` seconds.
    """

    def __init__(self, *, before: int, handover: float, heartbeat: float = 1e9, joins: bool = False) -> None:
        self.time, self.left, self.handover = 0.0, before, handover
        self.heartbeat, self.joins = heartbeat, joins
        self.first = SimpleNamespace(name="worker 1", requests=SimpleNamespace(so_far=self.so_far))
        self.counts = {self.first.name: 1, SECOND.name: 0}
        self.polls_at: float | None = None
        self.cuts: list[str] = []
        self.has_task = True
        self.sink = SimpleNamespace(let_go=self.let_go, held=lambda: ["a task"] if self.has_task else [])
        self.group = SimpleNamespace(has=lambda _: True)

    def so_far(self) -> Counter[int]:
        return Counter({HEARTBEAT: int(self.time / self.heartbeat), JOIN_GROUP: int(self.joins and self.time > 0)})

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
            self.counts[self.first.name] += 1
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
    run = PlayedRun(before=before, handover=handover, heartbeat=0.5)
    _join(run, run.first, SECOND)
    assert run.begun(SECOND) == 1
    assert run.begun(run.first) == 1 + before


def test_who_goes_on_with_tasks_and_does_not_poll_is_blocked() -> None:
    run = PlayedRun(before=100, handover=1.0)
    with pytest.raises(RunCut):
        _join(run, run.first, SECOND)
    assert run.cuts == [mistakes.BLOCKED_POLL]
    assert run.begun(run.first) == 1 + BEFORE_HANDOVER


@pytest.mark.parametrize("heartbeat", [0.5, 3.0])
def test_who_has_heard_that_the_group_changes_hands_and_goes_on_is_not_waited_for(heartbeat: float) -> None:
    run = PlayedRun(before=100, handover=1.0, heartbeat=heartbeat)
    with pytest.raises(RunCut):
        _join(run, run.first, SECOND)
    assert run.cuts == [mistakes.BLOCKED_POLL]
    assert run.begun(run.first) == 1 + BEFORE_HANDOVER
    assert run.time < HEARD * heartbeat + 3 * STEP


def test_who_joins_again_may_keep_some_tasks_meanwhile() -> None:
    """As in groups that give partitions away one by one."""
    run = PlayedRun(before=10, handover=1.0, heartbeat=0.5, joins=True)
    _join(run, run.first, SECOND)
    assert run.time > 10 * STEP


def test_where_nobody_goes_on_tasks_are_left() -> None:
    run = PlayedRun(before=3, handover=10_000.0)
    with pytest.raises(RunCut):
        _join(run, run.first, SECOND)
    assert run.cuts == [mistakes.LEFT]


@pytest.mark.parametrize(
    ("asked", "patience"),
    [
        ({FETCH: 20}, UNSEEN),
        ({FETCH: 3}, QUIET),
        ({FETCH: 20, METADATA: 1}, QUIET),
        ({FETCH: 20, JOIN_GROUP: 1}, QUIET),
    ],
)
def test_who_does_not_ask_for_the_topic_cannot_see_that_it_has_grown(asked: dict[int, int], patience: float) -> None:
    """But who is slow may be about to."""
    counts: Counter[int] = Counter()
    worker = SimpleNamespace(name="worker 1", requests=SimpleNamespace(so_far=counts.copy))
    found: list[str] = []

    def finish(is_over: Callable[[float], bool]) -> bool:
        counts.update(asked)
        assert not is_over(patience)
        assert is_over(patience + 0.1)
        return False

    run = SimpleNamespace(
        sink=SimpleNamespace(mark=lambda _: None),
        grow=lambda _: None,
        produce=lambda _: None,
        finish=finish,
        undone=lambda: ["a task"],
        tell=lambda mistake, *_, **__: found.append(mistake),
    )
    _grow(run, worker, 4)
    assert found == [mistakes.NOT_GROWN]
