"""Who ends by itself is judged by how long it has waited, and started again where it had nothing to wait for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.grading.behaviour import job_scenario, mistakes
from labkit.grading.behaviour.acknowledged_record import NewRecord
from labkit.grading.behaviour.job_events import DONE, job_event
from labkit.grading.behaviour.job_scenario import JOBS, SHARE, STARTS, TIMEOUT_DURATION, play_jobs
from labkit.grading.behaviour.topic_records import TopicRecord
from labkit.grading.effect_sink import Effect
from labkit.grading.sandbox.kernel import Returned

ALL, NEVER = 1000, math.inf


class PlayedJobs:
    """Keeps what `play_jobs` needs of a run. Each start does so many of the jobs that are left, one a second, and ends
    so many seconds later.
    """

    def __init__(self, *starts: tuple[int, float]) -> None:
        self.starts = list(starts)
        self.rng, self.partitions, self.clock = Random(1), 2, 0.0
        self.tasks: dict[str, tuple[int, int]] = {}
        self.told: list[str] = []
        self.timeouts: list[float] = []
        self.workers: list[Any] = []
        self.effects: list[Effect] = []
        self.further: Callable[[int], list[NewRecord]] = lambda _: []
        self.group = SimpleNamespace(group="workers", has=lambda _: False, committed=dict)
        self.sink = SimpleNamespace(
            effects=lambda: self.effects, held=list, hold=lambda _: None, let_go=lambda: None, mark=lambda _: None
        )

    def write(self, records: Sequence[NewRecord]) -> dict[str, tuple[int, int]]:
        return {record.task: (record.partition, 0) for record in records}

    def produce(self, count: int) -> None:
        self.tasks.update(self.write(self.further(count)))

    def add_worker(self, _: str, timeout: float, *, logs: bool) -> SimpleNamespace:
        assert logs
        self.timeouts.append(timeout)
        worker = SimpleNamespace(name=f"worker {len(self.workers) + 1}", address="127.1.1.1", killed=False)
        worker.kill = lambda: setattr(worker, "killed", True)
        self.workers.append(worker)
        return worker

    def begin(self, worker: SimpleNamespace) -> None:
        count, waits = self.starts.pop(0)
        lines = []
        for job in self.undone()[:count]:
            self.clock += 1.0
            lines.append(json.dumps({"job_id": job}))
            for what in ("began", "done"):
                number = len(self.effects)
                self.effects.append(Effect(number=number, what=what, task=job, worker=worker.name, at=self.clock))  # type: ignore[arg-type]
        worker.over_at, worker.is_over = self.clock + waits, lambda: waits < NEVER
        worker.answer = Returned("\n".join(lines)) if waits < NEVER else None

    def next_task(self, *_: object) -> None:
        pass

    def wait(self, condition: Callable[[], bool], _: float) -> bool:
        return condition()

    def finish(self, is_over: Callable[[float], bool]) -> bool:
        return not self.undone() or not is_over(0.0)

    def done(self) -> set[str]:
        return {effect.task for effect in self.effects}

    def undone(self) -> list[str]:
        return [task for task in self.tasks if task not in self.done()]

    def uncommitted(self, *_: Iterable[object]) -> list[str]:
        return []

    def records(self) -> list[TopicRecord]:
        events = [job_event(job, DONE, partitions=2) for job in self.done()]
        return [TopicRecord(event.value.decode(), event.partition, 0, event.task) for event in events]

    def tell(self, mistake: str, *_: object, **__: object) -> None:
        self.told.append(mistake)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_scenario, "wait_for_first_work", lambda *_: None)

    def play(*starts: tuple[int, float]) -> PlayedJobs:
        run = PlayedJobs(*starts)
        play_jobs(run)  # type: ignore[arg-type]
        return run

    return play


def test_who_does_all_and_waits_is_right(played) -> None:
    run = played((ALL, TIMEOUT_DURATION))
    assert (run.told, len(run.done())) == ([], JOBS)


def test_who_has_waited_in_vain_on_a_busy_computer_is_started_again_with_more_time(played) -> None:
    run = played((0, TIMEOUT_DURATION), (3, 2 * TIMEOUT_DURATION), (ALL, 4 * TIMEOUT_DURATION))
    assert run.told == []
    assert run.timeouts == [TIMEOUT_DURATION, 2 * TIMEOUT_DURATION, 4 * TIMEOUT_DURATION]


def test_who_ends_soon_after_a_job_has_not_waited(played) -> None:
    run = played((3, SHARE * TIMEOUT_DURATION - 0.1), (ALL, 2 * TIMEOUT_DURATION))
    assert run.told == [mistakes.ENDED_IN_WORK]


def test_who_never_has_a_job_has_left_them(played) -> None:
    run = played(*[(0, TIMEOUT_DURATION * 2**number) for number in range(STARTS)])
    assert run.told == [mistakes.LEFT]


def test_who_does_not_end_is_killed(played) -> None:
    run = played((ALL, NEVER))
    assert mistakes.NOT_ENDED in run.told
    assert run.workers[0].killed
