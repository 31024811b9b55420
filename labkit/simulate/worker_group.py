"""Workers under a simulated clock: a round-robin group that changes, and one worker that does several tasks at once.

The workers of a group join, leave and die at given moments. It gives back the same DataFrame as a group on a broker, so
that the same metrics and plots hold for both. What it leaves out: the time to send, fetch and commit. A task is
committed as soon as it is done, so only a task that dies with its worker is done again.

Times are in seconds, on whatever clock the arrivals are.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pandas as pd

from labkit.measure.records import to_frame
from labkit.measure.task_record import DONE, TaskRecord
from labkit.parameter_checks import Count, Moment
from labkit.parameters import check_fields, check_lengths, check_names, checked
from labkit.theory.assignment import round_robin

#: The topic and the kind of task in simulated records.
SIMULATED = "simulated"


@check_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A worker joins, leaves (it finishes the task in hand first), or dies (the task in hand is lost).

    A worker that joins has a name of its own, also when it takes the place of one that died.
    """

    at: Moment
    worker: str
    what: Literal["joins", "leaves", "dies"]

    def __post_init__(self) -> None:
        check_fields(self)


class _PartitionTask(NamedTuple):
    number: int
    partition: int
    offset: int
    arrival: float
    service: float


_Queues = dict[int, deque[_PartitionTask]]


@checked
def simulate_worker_group(
    *,
    partition: Sequence[int],
    scheduled_at: Sequence[Moment],
    service: Sequence[float],
    workers: Iterable[str],
    partitions: int | None = None,
    changes: Iterable[Change] = (),
    start: Moment | None = None,
    handover: float = 0.0,
    session_timeout: float = 0.0,
) -> pd.DataFrame:
    """The records of a group that works on these tasks, one row per task done, ordered by finishing time.

    `partition`, `scheduled_at` and `service` (seconds) have one entry per task, in the order sent. `workers`
    share the partitions round robin from `start` on (default: the first arrival). At every change all
    workers finish the task in hand and the partitions are dealt out again, which takes `handover` seconds; the
    group notices a death only after `session_timeout`. A partition is read in order, and a worker with several
    takes the task that arrived first. Tasks that nobody is left to do have no row. `partitions` is the
    topic's number, when the last ones may be empty.

    Raises `BadValue` if the three columns differ in length.
    """
    check_lengths("simulate_worker_group", partition=partition, scheduled_at=scheduled_at, service=service)
    tasks = _tasks(partition, scheduled_at, service)
    queues = _queues(tasks, partitions or 0)
    now = start if start is not None else min((task.arrival for task in tasks), default=0.0)
    members = set(workers)
    changes = sorted(changes, key=lambda change: _noticed_at(change, session_timeout))
    died = {change.worker: change.at for change in changes if change.what == "dies"}
    records: list[TaskRecord] = []
    for change in changes:
        until = max(now, _noticed_at(change, session_timeout))
        served = list(_generation(queues, members, now, until, died))
        records += served
        members = members | {change.worker} if change.what == "joins" else members - {change.worker}
        now = max([until, *(record.finished_at for record in served)]) + handover
    records += _generation(queues, members, now, math.inf, died)
    return to_frame(records)


def _tasks(partition: Sequence[int], scheduled_at: Sequence[float], service: Sequence[float]) -> list[_PartitionTask]:
    offsets: defaultdict[int, int] = defaultdict(int)
    tasks = []
    for number, (own, arrival, seconds) in enumerate(zip(partition, scheduled_at, service, strict=True), start=1):
        tasks.append(_PartitionTask(number, int(own), offsets[own], float(arrival), float(seconds)))
        offsets[own] += 1
    return tasks


def _queues(tasks: list[_PartitionTask], partitions: int) -> _Queues:
    queues: _Queues = {number: deque() for number in range(partitions)}
    for task in tasks:
        queues.setdefault(task.partition, deque()).append(task)
    return queues


def _noticed_at(change: Change, session_timeout: float) -> float:
    return change.at + (session_timeout if change.what == "dies" else 0.0)


def _generation(
    queues: _Queues, members: set[str], start: float, until: float, died: dict[str, float]
) -> Iterator[TaskRecord]:
    """What is done under one assignment; no task is begun from `until` on, or by a worker that has died."""
    for worker, own in round_robin(queues, members).items():
        death = died.get(worker, math.inf)
        yield from _serve(worker, [queues[number] for number in own], start, until, death)


def _serve(
    worker: str, own: list[deque[_PartitionTask]], start: float, until: float, death: float
) -> Iterator[TaskRecord]:
    now = start
    while waiting := [queue for queue in own if queue]:
        first = min(waiting, key=lambda queue: (queue[0].arrival, queue[0].number))
        task = first[0]
        begin = max(now, task.arrival)
        now = begin + task.service
        if begin >= min(until, death) or now > death:
            return
        first.popleft()
        yield _record(task, worker, begin, now)


def _record(task: _PartitionTask, worker: str, begin: float, end: float) -> TaskRecord:
    return TaskRecord(
        task_id=f"task-{task.number}",
        kind=SIMULATED,
        topic=SIMULATED,
        partition=task.partition,
        offset=task.offset,
        key=None,
        priority=0,
        worker=worker,
        attempt=1,
        scheduled_at=task.arrival,
        produced_at=task.arrival,
        acknowledged_at=task.arrival,
        received_at=begin,
        started_at=begin,
        finished_at=end,
        outcome=DONE,
        error=None,
    )


#: The columns of what is returned.
LANE_COLUMNS = ("task", "lane", "server", "started_at", "finished_at")


@checked
def simulate_lanes(lanes: Sequence[Hashable], service: Sequence[float], servers: Count) -> pd.DataFrame:
    """When each task is done, one row per task in the order of finishing, columns `LANE_COLUMNS`; times in seconds.

    `lanes` and `service` (seconds) have one entry per task, in the order of the partition. Raises `BadValue` if they
    differ in length, or if there is no server.
    """
    check_lengths("simulate_lanes", lanes=lanes, service=service)
    waiting: dict[Hashable, deque[int]] = {}
    for task, (lane, _) in enumerate(zip(lanes, service, strict=True)):
        waiting.setdefault(lane, deque()).append(task)
    ready = deque(waiting)
    idle = list(range(servers))
    running: list[tuple[float, int, int, float]] = []  # finishes, task, server, started
    rows, now = [], 0.0
    while ready or running:
        while ready and idle:
            task = waiting[ready.popleft()].popleft()
            heapq.heappush(running, (now + service[task], task, heapq.heappop(idle), now))
        now, task, server, started = heapq.heappop(running)
        heapq.heappush(idle, server)
        rows.append((task, lanes[task], server, started, now))
        if waiting[lanes[task]]:
            ready.append(lanes[task])
    return pd.DataFrame(rows, columns=list(LANE_COLUMNS))
