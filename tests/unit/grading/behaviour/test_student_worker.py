"""What a worker may use of the machine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from labkit.grading import sandboxed_solution
from labkit.grading.behaviour import student_worker
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.effect_sink import EffectSink
from labkit.grading.sandbox.kernel import Returned
from labkit.grading.time_budget import TimeBudget
from labkit.lab.condition import wait_for
from tests.conditions import PATIENCE


def test_no_time_of_a_processor_ends_a_worker_before_its_own_time_is_over() -> None:
    """A loop that polls without a pause uses one processor all the time."""
    assert student_worker.LIMITS.cpu_seconds >= student_worker.LIMITS.wall_seconds


def test_a_question_does_not_pay_for_what_those_before_it_have_used() -> None:
    assert sandboxed_solution.LIMITS.cpu_seconds >= sandboxed_solution.SUBMISSION_TIMEOUT


class SlowKernel:
    """Stands for a kernel in which each cell takes 119 seconds."""

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock = clock

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def run(self, _: str, timeout: float) -> Returned:
        self.clock.now += min(119, timeout)
        return Returned(None)

    def call(self, name: str, _: object, *, timeout: float) -> Returned:
        return Returned(name == student_worker.HAS)


def test_the_cells_of_all_workers_have_one_time_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    solution = SimpleNamespace(
        sandbox=None, cells=["a", "b"], worker_time=TimeBudget(600, "the cells of all workers", lambda: clock.now)
    )
    broker = SimpleNamespace(port=9)
    monkeypatch.setattr(student_worker, "Kernel", lambda *_, **__: SlowKernel(clock))
    ended = []
    with EffectSink() as sink:
        for number in range(20):
            with StudentWorker(
                f"worker {number}", f"127.0.9.{number + 1}", solution, broker, sink,
                function="work", order=("work", []), works=False,
            ) as worker:  # fmt: skip
                worker.begin()
                assert wait_for(worker.is_over, PATIENCE)
                ended.append(worker.ended)
    assert clock.now == 600
    assert ended[0] is None
    assert ended[-1] == "The time for the cells of all workers, 600 s, is over."
