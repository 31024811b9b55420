"""A bridge is judged by what it does with a task that is refused, and whether it still looks at `stop` meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import RunCut
from labkit.grading.behaviour.bridge_scenario import (
    REFUSALS,
    TRIES_UNSTOPPED,
    _refuse_one,
    _refused,
    _stop_while_away,
)
from labkit.grading.effect_sink import Effect
from labkit.grading.sandbox.kernel import CodeError, Returned


class PlayedBridge:
    """Keeps what the steps need of a run, with one bridge and one partition. `tries` hands on a task that is new, and
    tells what the bridge then does: see `does`.
    """

    def __init__(self, does: str) -> None:
        self.does, self.time, self.partitions = does, 0.0, 2
        self.tasks: dict[str, tuple[int, int]] = {}
        self.taken: list[str] = []
        self.told: list[str] = []
        self.refuses: Callable[[Effect], bool] = lambda _: False
        self.sink = SimpleNamespace(
            mark=lambda _: None,
            refuse=lambda which: setattr(self, "refuses", which),
            effects=list,
        )
        self.group = SimpleNamespace(has=lambda _: False, committed=dict)
        self.bridge = SimpleNamespace(
            name="worker 1",
            address="127.0.0.1",
            answer=None,
            may_fail=False,
            stopping=False,
            is_over=lambda: self.bridge.answer is not None,
            kill=lambda: self.told.append("killed"),
        )

    def next_task(self, _: object) -> Callable[[Effect], bool]:
        return lambda effect: effect.task in self.tasks

    def produce(self, count: int) -> None:
        self.tasks |= {f"task {len(self.tasks) + number}": (0, len(self.tasks) + number) for number in range(count)}

    def try_one(self) -> None:
        """The bridge has the next task in hand, and tries once."""
        if self.bridge.is_over() or not self.undone():
            return
        task = next(task for task in self.tasks if task not in self.taken and task not in self.passed())
        if not self.refuses(Effect(number=0, what="began", task=task, worker="worker 1", at=0.0)):
            self.taken.append(task)
        elif self.does == "passes over":
            self.skipped = task
        elif self.does == "ends by an error":
            self.bridge.answer = CodeError("OperationalError: the other broker is away", 3)
        elif self.does == "returns":
            self.bridge.answer = Returned(None)

    def passed(self) -> list[str]:
        return [self.skipped] if hasattr(self, "skipped") else []

    def finish(self, is_over: Callable[[float], bool]) -> bool:
        while self.undone():
            if is_over(0.0):
                return False
            self.try_one()
        return True

    def done(self) -> set[str]:
        return set(self.taken)

    def undone(self) -> list[str]:
        return [task for task in self.tasks if task not in self.taken]

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        end = self.time + timeout
        while not condition() and self.time < end:
            self.time += 0.1
            self.try_one()
        return condition()

    def stop(self, bridge: object, timeout: float) -> bool:
        if self.does != "tries for ever":
            self.bridge.answer = Returned(None)
        return self.wait(self.bridge.is_over, timeout)

    def uncommitted(self, *_: object) -> list[str]:
        return []

    def tell(self, mistake: str, sentence: str, **_: object) -> None:
        self.told.append(mistake)

    def cut(self, mistake: str, sentence: str, **_: object) -> RunCut:
        self.tell(mistake, sentence)
        return RunCut()


def test_one_task_is_refused_so_often_and_then_taken() -> None:
    run = PlayedBridge("tries again")
    run.produce(2)
    refused = _refused(run, run.bridge, REFUSALS)
    began = [Effect(number=0, what="began", task=f"task {number}", worker="worker 1", at=0.0) for number in range(2)]
    assert [run.refuses(effect) for effect in (began[0], began[1], began[0], began[0])] == [True, False, True, False]
    assert refused == ["task 0"] * REFUSALS


def test_who_tries_again_has_nothing_to_be_told() -> None:
    run = PlayedBridge("tries again")
    _refuse_one(run, run.bridge)
    assert (run.told, run.undone()) == ([], [])
    assert not run.bridge.may_fail
    assert not run.bridge.stopping


@pytest.mark.parametrize(
    ("does", "mistake"),
    [
        ("passes over", mistakes.PASSED_OVER),
        ("ends by an error", mistakes.NOT_BORNE),
        ("returns", mistakes.NOT_BORNE),
    ],
)
def test_who_does_not_is_told_at_once(does: str, mistake: str) -> None:
    run = PlayedBridge(does)
    with pytest.raises(RunCut):
        _refuse_one(run, run.bridge)
    assert run.told == [mistake]


def test_who_looks_at_stop_between_two_tries_ends() -> None:
    run = PlayedBridge("tries again")
    _stop_while_away(run, run.bridge)
    assert run.told == []
    assert run.undone()


def test_what_was_refused_is_not_to_be_committed() -> None:
    run = PlayedBridge("tries again")
    run.group = SimpleNamespace(has=lambda _: False, committed=lambda: {0: 1})
    _stop_while_away(run, run.bridge)
    assert run.told == [mistakes.REFUSED_DONE]


def test_who_tries_for_ever_is_not_waited_for() -> None:
    run = PlayedBridge("tries for ever")
    _stop_while_away(run, run.bridge)
    assert run.told == [mistakes.NOT_STOPPED, "killed"]
    assert run.time < 10 + 0.1 * TRIES_UNSTOPPED
