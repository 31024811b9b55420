"""Classes of tasks, a dispatcher with a policy, a bounded queue and servers, under a simulated clock (SimPy).

Tasks wait in their class until the policy starts them. What is started goes through one queue, first come, first
served, to whichever server is free; `capacity` bounds what is started and not finished, as it does for Celery. With a
capacity of as many tasks as there are servers, the policy alone decides the order; what is beyond is a wait in which no
policy can help.

It gives back the same DataFrame as a run on the broker, so that the same metrics and plots hold for both. What it
leaves out: the time to send, fetch, decide and hand over, and failures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import simpy

from labkit.measure.records import to_frame
from labkit.measure.task_record import DONE, TaskRecord
from labkit.parameter_checks import Count, Moment
from labkit.parameters import BadValue, check_lengths, checked
from labkit.policies import Backlog, Decision, Ledger, Policy, PriorityClass, View
from labkit.simulate.worker_group import SIMULATED


class Arrivals(NamedTuple):
    """When tasks of which class arrive, one entry each per task: ranks (int64) and seconds (float64), in order."""

    rank: npt.NDArray[np.int64]
    scheduled_at: npt.NDArray[np.float64]


class _ClassTask(NamedTuple):
    number: int
    rank: int
    offset: int
    arrival: float
    service: float


@checked
def poisson_arrivals(rates: Sequence[float], tasks: int, rng: np.random.Generator) -> Arrivals:
    """The first `tasks` arrivals after 0 s of independent Poisson processes, one per class, in tasks per second.

    Together they are one Poisson process, each of whose tasks is of a class with a chance in proportion to its rate.
    Raises `BadValue` if no rate is above 0 or one is below.
    """
    shares = np.asarray(rates, dtype=np.float64)
    total = float(shares.sum())
    if not total > 0:
        raise BadValue(f"'rates' of poisson_arrivals is {list(rates)}; give at least one above 0.")
    rank = rng.choice(len(shares), size=tasks, p=shares / total)
    return Arrivals(rank, rng.exponential(1 / total, size=tasks).cumsum())


@checked
def simulate_dispatch(
    policy: Policy,
    classes: Sequence[PriorityClass],
    *,
    rank: Sequence[int] | npt.NDArray[np.int64],
    scheduled_at: Sequence[Moment] | npt.NDArray[np.float64],
    service: Sequence[float] | npt.NDArray[np.float64],
    servers: Count,
    capacity: Count,
) -> pd.DataFrame:
    """The records of these tasks, one row per task done, ordered by finishing time; it runs until nothing waits.

    `rank` (of `classes`, which are in rank order), `scheduled_at` and `service` (seconds) have one entry per task.
    In a row the topic is the class, the priority its rank, and the offset the task's number in its class, by arrival;
    it was received when the dispatcher started it, and started when a server did. A task that was shed has no row.

    Raises `BadValue` if the three columns differ in length, if a rank has no class, or without a server or room for
    one task.
    """
    check_lengths("simulate_dispatch", rank=rank, scheduled_at=scheduled_at, service=service)
    unknown = set(map(int, rank)) - set(range(len(classes)))
    if unknown:
        raise BadValue(
            f"'rank' of simulate_dispatch has {min(unknown)}, and there are {len(classes)} classes; give ranks from 0 "
            f"to {len(classes) - 1}."
        )
    tasks = _in_order_of_arrival(rank, scheduled_at, service)
    clock = simpy.Environment(initial_time=tasks[0].arrival if tasks else 0.0)
    system = _DispatchSystem(clock, policy, classes, servers, capacity)
    clock.process(system.receive(tasks))
    clock.run()
    return to_frame(system.records)


class _DispatchSystem:
    def __init__(
        self,
        clock: simpy.Environment,
        policy: Policy,
        classes: Sequence[PriorityClass],
        servers: int,
        capacity: int,
    ) -> None:
        self.records: list[TaskRecord] = []
        self._clock = clock
        self._policy = policy
        self._ledger = Ledger(classes)
        self._waiting: dict[str, deque[_ClassTask]] = {one.name: deque() for one in classes}
        self._idle = simpy.Store(clock)
        self._idle.items = [f"worker-{number}" for number in range(1, servers + 1)]
        self._taken = 0
        self._capacity = capacity

    def receive(self, tasks: Sequence[_ClassTask]) -> Generator[simpy.Event, object, None]:
        queues = list(self._waiting.values())
        for task in tasks:
            # a sum of two floats may have gone past the arrival by a rounding
            yield self._clock.timeout(max(0.0, task.arrival - self._clock.now))
            queues[task.rank].append(task)
            self._dispatch()

    def _dispatch(self) -> None:
        while True:
            decision = self._policy.decide(self._view(), self._clock.now)
            for name in decision.shed:
                self._waiting[name].pop()
            if decision.start is not None:
                self._start(self._waiting[decision.start].popleft(), decision)
            elif not decision.shed:
                return

    def _view(self) -> View:
        backlogs = [
            _backlog(queue, known) for queue, known in zip(self._waiting.values(), self._ledger.classes, strict=True)
        ]
        return self._ledger.view(backlogs, taken=self._taken, capacity=self._capacity)

    def _start(self, task: _ClassTask, decision: Decision) -> None:
        self._ledger.note(decision)
        self._taken += 1
        self._clock.process(self._serve(task, self._clock.now))

    def _serve(self, task: _ClassTask, received: float) -> Generator[simpy.Event, str, None]:
        worker = yield self._idle.get()
        begin = self._clock.now
        yield self._clock.timeout(task.service)
        self._idle.put(worker)
        self._taken -= 1
        self.records.append(self._record(task, worker, received, begin))
        self._dispatch()

    def _record(self, task: _ClassTask, worker: str, received: float, begin: float) -> TaskRecord:
        return TaskRecord(
            task_id=f"task-{task.number}",
            kind=SIMULATED,
            topic=self._ledger.classes[task.rank].name,
            partition=0,
            offset=task.offset,
            key=None,
            priority=task.rank,
            worker=worker,
            attempt=1,
            scheduled_at=task.arrival,
            produced_at=task.arrival,
            acknowledged_at=task.arrival,
            received_at=max(received, task.arrival),
            started_at=max(begin, task.arrival),
            finished_at=self._clock.now,
            outcome=DONE,
            error=None,
        )


def _in_order_of_arrival(
    rank: Sequence[int] | npt.NDArray[np.int64],
    scheduled_at: Sequence[float] | npt.NDArray[np.float64],
    service: Sequence[float] | npt.NDArray[np.float64],
) -> list[_ClassTask]:
    given = enumerate(zip(rank, scheduled_at, service, strict=True), start=1)
    order = sorted(given, key=lambda task: float(task[1][1]))
    offsets: dict[int, int] = {}
    tasks = []
    for number, (own, arrival, seconds) in order:
        offset = offsets.get(int(own), 0)
        offsets[int(own)] = offset + 1
        tasks.append(_ClassTask(number, int(own), offset, float(arrival), float(seconds)))
    return tasks


def _backlog(waiting: deque[_ClassTask], known: PriorityClass) -> Backlog:
    if not waiting:
        return _NOTHING
    arrived = waiting[0].arrival
    due = None if known.relative_deadline is None else arrived + known.relative_deadline
    return Backlog(waiting=len(waiting), arrived_at=arrived, deadline=due)


_NOTHING = Backlog(waiting=0, arrived_at=None, deadline=None)
