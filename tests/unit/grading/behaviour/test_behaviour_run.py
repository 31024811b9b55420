"""A run ends all that it has begun, whatever fails, and blames nobody for what the grader could not do."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import ClassVar

import pytest

from labkit.errors import KernelEnded, NotAcknowledged, SandboxUnavailable
from labkit.grading.behaviour import behaviour_run, bounded_client, mistakes
from labkit.grading.behaviour.behaviour_run import BehaviourRun, RunCut
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.effect_sink import Effect
from labkit.grading.plain_backend import PlainBackend
from labkit.grading.sandbox.kernel import Kernel
from labkit.grading.time_budget import TimeBudget
from labkit.lab.condition import wait_for
from labkit.resource import Resource
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.values import Timeouts
from tests.conditions import PATIENCE


class Closed(Resource):
    """Stands for what a run begins; the names of what has ended are noted."""

    ended: ClassVar[list[str]] = []

    def __init__(self, *arguments: object, **_: object) -> None:
        self.name = str(arguments[0]) if arguments and isinstance(arguments[0], str) else "client"
        self.works = True

    def ask(self, _: object) -> list[dict[str, object]]:
        return [{"error_code": 0, "topic_id": "a", "partitions": [0, 1]}]

    def close(self) -> None:
        self.ended.append(self.name)
        raise RuntimeError(f"{self.name} does not end")


def connected(*_: object, timeouts: Timeouts) -> MemoryTransport:
    """For a broker that a busy computer makes wait, so that it is not taken for one which the submission has broken."""
    assert min(timeouts.connect, timeouts.request) >= 60
    return MemoryTransport()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> BehaviourRun:
    Closed.ended = []
    monkeypatch.setattr(behaviour_run, "BoundedClient", Closed)
    monkeypatch.setattr(behaviour_run, "connect_transport", connected)
    broker = SimpleNamespace(connection=None, port=9, used_up=lambda: None, clear=lambda *_: None)
    return BehaviourRun(
        SimpleNamespace(  # type: ignore[arg-type]
            sandbox=PlainBackend(Path()),
            cells=[],
            clock=time.monotonic,
            worker_time=TimeBudget(60, "all workers", time.monotonic),
        ),
        broker,  # type: ignore[arg-type]
        Random(1),
        function="work",
        partitions=2,
        grows_to=None,
        timeout=PATIENCE,
    )


def test_the_grader_s_own_client_waits_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Timeouts] = []
    monkeypatch.setattr(bounded_client, "connect", lambda _, __, timeouts, **___: asked.append(timeouts))
    bounded_client.BoundedClient(None)  # type: ignore[arg-type]
    (timeouts,) = asked
    assert min(timeouts.connect, timeouts.request) >= 60


def test_what_cannot_be_ended_keeps_nothing_else_from_it(run: BehaviourRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behaviour_run, "StudentWorker", Closed)
    run.start()
    run.add_worker("a group")
    run.add_worker("a group")
    with pytest.raises(RuntimeError):
        run.close()
    assert Closed.ended == ["worker 2", "worker 1", "client"]
    assert not run.sink._thread.is_alive()


def test_tasks_are_what_was_acknowledged_to_the_grader(run: BehaviourRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run.start()
    run.produce(4)
    assert sorted(run.tasks.values()) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    producer = SimpleNamespace(send=lambda *_, **__: None, flush=lambda _: None, close=lambda _: None)
    run._writer.renew()
    monkeypatch.setattr(run._transport, "producer", lambda _: producer)
    with pytest.raises(NotAcknowledged, match="did not take 'Task 5"):
        run.produce(1)
    with pytest.raises(RuntimeError):
        run.close()


def test_who_waits_no_longer_with_a_task_is_not_waited_for(run: BehaviourRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behaviour_run, "END_TIMEOUT", 0.0)
    effect = Effect(number=0, what="began", task="a", worker="worker 1", at=0.0)
    worker = SimpleNamespace(name="worker 1", is_over=lambda: False)
    with run.sink:
        monkeypatch.setattr(run.sink, "held", lambda: [effect])
        assert run.held(worker) == effect  # type: ignore[arg-type]
        monkeypatch.setattr(run.sink, "held", list)
        with pytest.raises(RunCut):
            run.held(worker)  # type: ignore[arg-type]
    assert [feedback.mistake for feedback in run.found] == [mistakes.ABUSE]


def test_a_sandbox_that_does_not_come_up_is_no_fault_of_the_cells(
    run: BehaviourRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Kernel) -> None:
        raise KernelEnded("It was not ready.")

    monkeypatch.setattr(Kernel, "start", fail)
    with run.sink:
        order = ("work", [])
        broker = run.broker
        with StudentWorker(
            "worker 1", "127.0.0.11", run._solution, broker, run.sink, function="work", order=order, works=True
        ) as worker:

            def is_told() -> bool:
                try:
                    return worker.is_over() and False
                except SandboxUnavailable as error:
                    return "It was not ready." in str(error)

            assert wait_for(is_told, PATIENCE)
