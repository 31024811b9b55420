"""A run of workers under faults: so many tasks, so many workers, a nemesis; and the verdict on what happened."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from labkit.faults.checker import check
from labkit.faults.commit_log import COMMITS_TOPIC, group_commits
from labkit.faults.history import History
from labkit.faults.nemesis import STRIKES, FaultName, Nemesis
from labkit.faults.sources import from_records
from labkit.faults.verdict import DUPLICATE, LOST, OUT_OF_ORDER, Verdict
from labkit.lab import Lab
from labkit.measure.records import receipts_to_frame
from labkit.taskqueue import Membership, Producer, ServiceTime, Topics, WorkerGroup, connect, stock_tasks
from labkit.taskqueue.dead_letter import dead_topic
from labkit.taskqueue.engine.worker_config import Order
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic, read_topic
from labkit.taskqueue.transport.contract import Record

if TYPE_CHECKING:
    import pandas as pd


#: How long a run may take between two faults, and after the last one, in seconds.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """What is to be done, by whom. Each of `workers` processes does up to `concurrency` tasks at once."""

    tasks: int
    service: ServiceTime
    keys: int = 1000
    partitions: int = 4
    workers: int = 3
    concurrency: int = 8
    order: Order = "key"
    session_timeout: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRun:
    """What happened. Times in seconds; `recovery` is from the last fault to the empty queue, beyond the work itself."""

    load: WorkerLoad
    seed: int
    faults: tuple[str, ...]
    records: pd.DataFrame
    receipts: pd.DataFrame
    history: History
    verdict: Verdict
    seconds: float
    recovery: float

    @property
    def lost(self) -> int:
        """Tasks that were neither done nor became dead letters."""
        return self.verdict.counts[LOST]

    @property
    def duplicates(self) -> int:
        """How often a task was finished that had been finished before."""
        return self.verdict.counts[DUPLICATE]

    @property
    def in_vain(self) -> int:
        """How many faults struck when no task was left: they prove nothing. All clocks are of one machine here."""
        ended = float(self.records["finished_at"].max())
        return sum(event.what == "fault" and event.note in STRIKES and event.at > ended for event in self.history)

    @property
    def ok(self) -> bool:
        """Whether nothing happened but what delivery at least once allows."""
        return self.verdict.ok((DUPLICATE,) if self.load.order != "none" else (DUPLICATE, OUT_OF_ORDER))


def run_under_faults(lab: Lab, load: WorkerLoad, faults: Sequence[FaultName], *, seed: int) -> FaultRun:
    """Send the tasks, let the workers begin, strike at equal shares of the work, and wait until the queue is empty.

    Raises `DeadlineExceeded` if it does not get empty.
    """
    rng = random.Random(seed)
    with connect(lab) as topics, topics.fresh(f"faults-{uuid4().hex[:8]}", partitions=load.partitions) as topic:
        with Producer(topic) as producer:
            receipts = receipts_to_frame(producer.send_many(stock_tasks(load.tasks, seed=seed, keys=load.keys)))
        started = time.monotonic()
        with _group(topic, load, seed) as group:
            nemesis = Nemesis(lab, group, session_timeout=load.session_timeout, rng=rng)
            for number, fault in enumerate(faults, start=1):
                share = load.tasks * number // (len(faults) + 1)
                wait_until(
                    lambda share=share: group.attempts() >= share,  # type: ignore[misc]
                    timeout=PATIENCE,
                    what=f"{share} attempts were to be made before fault {number}, {fault!r}",
                )
                nemesis.strike(fault)
            last_fault, left = time.monotonic(), _left(group, load)
            records = group.drain(timeout=PATIENCE)
            ended = time.monotonic()
        written = list(read_topic(topic.transport, topic.full_name))
        commits = group_commits(
            read_topic(topic.transport, COMMITS_TOPIC), group=topic.full_group(group.group), topic=topic.full_name
        )
        history = from_records(records, receipts, written=written, dead=_dead_letters(topics, topic), committed=commits)
    whole = History((*history, *nemesis.events))
    return FaultRun(
        load=load,
        seed=seed,
        faults=tuple(faults),
        records=records,
        receipts=receipts,
        history=whole,
        verdict=check(whole),
        seconds=ended - started,
        recovery=ended - last_fault - left * load.service.mean / (load.workers * load.concurrency),
    )


def _group(topic: Topic, load: WorkerLoad, seed: int) -> WorkerGroup:
    return WorkerGroup(
        topic,
        workers=load.workers,
        handler=replace(load.service, seed=seed),
        order=load.order,
        concurrency=load.concurrency,
        membership=Membership(processes=True, session_timeout=load.session_timeout),
    )


def _left(group: WorkerGroup, load: WorkerLoad) -> int:
    return max(0, load.tasks - group.attempts())


def _dead_letters(topics: Topics, topic: Topic) -> list[Record]:
    if dead_topic(topic.name) not in topics.names():
        return []
    return list(read_topic(topic.transport, dead_topic(topic.full_name)))
