"""Servers behind a queue, and a strategy at its admission, under a simulated clock (SimPy).

Tasks come from outside and wait in line for admission. The strategy judges the first of them, and whoever is let in is
served first come, first served by whichever server is free. With retries, a client whose task is not done in time sends
it again, and the copies that are in the queue already cost their service all the same: that is how an overload can
outlast its cause.

It gives back the same DataFrame as a run on the broker, so that the same metrics and plots hold for both, and a second
one of what was turned away. What it leaves out: the time to send, fetch and judge, and failures.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import simpy

from labkit.backpressure import Action, AdmissionDecision, AdmissionState, Strategy
from labkit.measure.records import TurnedAway, to_frame, turned_away_frame
from labkit.measure.task_record import DONE, TaskRecord
from labkit.parameter_checks import Count, Moment, Positive
from labkit.parameters import check_fields, check_lengths, check_names, checked
from labkit.simulate.worker_group import SIMULATED


@check_names
@dataclass(frozen=True, slots=True)
class Retries:
    """How long a client waits for each copy of its task, in seconds, and how many copies it sends at most."""

    patience: Positive
    copies: Count

    def __post_init__(self) -> None:
        check_fields(self)


class PressureRun(NamedTuple):
    """What a run gives: the records, and what was turned away (see `labkit.measure.records`)."""

    records: pd.DataFrame
    turned_away: pd.DataFrame


@dataclass(frozen=True, slots=True)
class _ClientTask:
    number: int
    rank: int
    arrival: float
    service: float


@dataclass(slots=True, eq=False)
class _Copy:
    """One sending of a task."""

    task: _ClientTask
    attempt: int
    sent_at: float
    offset: int = -1
    admitted_at: float = 0.0
    started_at: float = 0.0


@checked
def simulate_pressure(
    strategy: Strategy[Any],
    *,
    scheduled_at: Sequence[Moment] | npt.NDArray[np.float64],
    service: Sequence[float] | npt.NDArray[np.float64],
    servers: Count,
    rank: Sequence[int] | npt.NDArray[np.int64] | None = None,
    retries: Retries | None = None,
) -> PressureRun:
    """The records of these tasks, one row per copy done, and what was turned away; it runs until nothing waits.

    `scheduled_at` and `service` (seconds) have one entry per task; with exponential gaps and service times this is
    M/M/c. `rank` is the class of each, 0 the most urgent and the default; it matters to who is shed, not to who is
    served first. In a row the priority is the rank, and the offset counts what was let in; the copy was produced when
    it was sent, received when it was let in, and waits since the task was scheduled.

    With `retries` a client that hears nothing sends the task again, under the same id with the next attempt. It hears
    when any copy is done or refused, but not when one is shed or spilled. A copy takes as long as the first one.

    Raises `BadValue` if the columns differ in length, or without a server.
    """
    ranks = [0] * len(scheduled_at) if rank is None else rank
    check_lengths("simulate_pressure", rank=ranks, scheduled_at=scheduled_at, service=service)
    tasks = _in_order_of_arrival(ranks, scheduled_at, service)
    clock = simpy.Environment(initial_time=tasks[0].arrival if tasks else 0.0)
    system = _PressureSystem(clock, strategy, servers, retries)
    clock.process(system.receive(tasks))
    clock.run()
    return PressureRun(to_frame(system.records), turned_away_frame(system.turned_away))


class _PressureSystem:
    def __init__(
        self, clock: simpy.Environment, strategy: Strategy[Any], servers: int, retries: Retries | None
    ) -> None:
        self.records: list[TaskRecord] = []
        self.turned_away: list[TurnedAway] = []
        self._clock = clock
        self._gate = AdmissionState(strategy)
        self._retries = retries
        self._at_admission: deque[_Copy] = deque()
        self._asks_again = False
        self._queue: deque[_Copy] = deque()
        self._ranks: Counter[int] = Counter()
        self._idle = deque(f"worker-{number}" for number in range(1, servers + 1))
        self._busy = 0
        self._admitted = 0
        self._heard: set[int] = set()

    def receive(self, tasks: Sequence[_ClientTask]) -> Generator[simpy.Event, object, None]:
        for task in tasks:
            # one step may be short of the arrival by a rounding, a second one is exact
            while self._clock.now < task.arrival:
                yield self._clock.timeout(task.arrival - self._clock.now)
            self._clock.process(self._client(task))

    def _client(self, task: _ClientTask) -> Generator[simpy.Event, object, None]:
        patience, copies = (0.0, 1) if self._retries is None else (self._retries.patience, self._retries.copies)
        for attempt in range(1, copies + 1):
            self._send(_Copy(task, attempt, self._clock.now))
            if attempt < copies:
                yield self._clock.timeout(patience)
            if task.number in self._heard:
                return

    def _send(self, copy: _Copy) -> None:
        self._at_admission.append(copy)
        if not self._asks_again:
            self._let_in()

    def _let_in(self) -> None:
        while self._at_admission:
            verdict = self._judge(self._at_admission[0].task.rank)
            if verdict.action is Action.WAIT:
                self._asks_again = True
                self._clock.process(self._ask_again(verdict.seconds))
                return
            self._carry_out(verdict.action, self._at_admission.popleft())

    def _ask_again(self, seconds: float) -> Generator[simpy.Event, object, None]:
        yield self._clock.timeout(seconds)
        self._asks_again = False
        self._let_in()

    def _judge(self, rank: int) -> AdmissionDecision:
        lowest = max((one for one, waiting in self._ranks.items() if waiting), default=None)
        return self._gate.judge(self._clock.now, lag=len(self._queue) + self._busy, rank=rank, lowest=lowest)

    def _carry_out(self, action: Action, copy: _Copy) -> None:
        if action is Action.ADMIT:
            self._admit(copy)
        elif action is Action.SHED_LOWEST:
            self._turn_away(action, self._newest_of_the_lowest())
            self._admit(copy)
        else:
            self._turn_away(action, copy)

    def _newest_of_the_lowest(self) -> _Copy:
        lowest = max(copy.task.rank for copy in self._queue)
        newest = next(copy for copy in reversed(self._queue) if copy.task.rank == lowest)
        self._queue.remove(newest)
        self._ranks[lowest] -= 1
        return newest

    def _turn_away(self, action: Action, copy: _Copy) -> None:
        if action is Action.REFUSE:
            self._heard.add(copy.task.number)
        away = TurnedAway(at=self._clock.now, action=action.value, priority=copy.task.rank)
        self.turned_away.append(away)

    def _admit(self, copy: _Copy) -> None:
        copy.offset, copy.admitted_at = self._admitted, self._clock.now
        self._admitted += 1
        self._queue.append(copy)
        self._ranks[copy.task.rank] += 1
        self._start_what_can_be()

    def _start_what_can_be(self) -> None:
        while self._queue and self._idle:
            copy = self._queue.popleft()
            self._ranks[copy.task.rank] -= 1
            self._busy += 1
            self._clock.process(self._serve(copy, self._idle.popleft()))

    def _serve(self, copy: _Copy, worker: str) -> Generator[simpy.Event, object, None]:
        copy.started_at = self._clock.now
        yield self._clock.timeout(copy.task.service)
        self._busy -= 1
        self._idle.append(worker)
        self._heard.add(copy.task.number)
        self._gate.answered(self._clock.now - copy.admitted_at)
        self.records.append(_record(copy, worker, self._clock.now))
        self._start_what_can_be()


def _record(copy: _Copy, worker: str, finished_at: float) -> TaskRecord:
    return TaskRecord(
        task_id=f"task-{copy.task.number}",
        kind=SIMULATED,
        topic=SIMULATED,
        partition=0,
        offset=copy.offset,
        key=None,
        priority=copy.task.rank,
        worker=worker,
        attempt=copy.attempt,
        scheduled_at=copy.task.arrival,
        produced_at=copy.sent_at,
        acknowledged_at=copy.admitted_at,
        received_at=copy.admitted_at,
        started_at=copy.started_at,
        finished_at=finished_at,
        outcome=DONE,
        error=None,
    )


def _in_order_of_arrival(
    rank: Sequence[int] | npt.NDArray[np.int64],
    scheduled_at: Sequence[float] | npt.NDArray[np.float64],
    service: Sequence[float] | npt.NDArray[np.float64],
) -> list[_ClientTask]:
    given = enumerate(zip(rank, scheduled_at, service, strict=True), start=1)
    tasks = (_ClientTask(number, int(own), float(arrival), float(seconds)) for number, (own, arrival, seconds) in given)
    return sorted(tasks, key=lambda task: task.arrival)
