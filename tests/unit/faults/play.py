"""Plays a run: tasks come in, workers work, the nemesis does its part, and in the end the queue may run empty."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.faults import History
from labkit.taskqueue.task import Task
from tests.unit.faults.run import MAX_POLL_INTERVAL, SESSION, Replayer, Run, Sender
from tests.unit.faults.worker import POISON, Worker

AT_ONCE, WARM_UP, IDLE_ROUNDS, MAX_WORKERS = 5, 3, 300, 3
CRASH, STALL, START, STOP = "crash", "stall", "start", "stop"


@dataclass(frozen=True)
class Plan:
    """What is to happen: how many tasks and keys there are, and what the nemesis does before each round."""

    seed: int
    faults: Sequence[str | None]
    tasks: int = 200
    keys: int = 8
    partitions: int = 2


def rough_plan(seed: int) -> Plan:
    faults = random.Random(seed).choices([None, CRASH, STALL, START, STOP], [85, 6, 3, 3, 3], k=120)
    return Plan(seed, faults)


def peaceful_plan(seed: int) -> Plan:
    return Plan(seed, [None] * 60)


def play(
    plan: Plan,
    *,
    worker: type[Worker] = Worker,
    sender: type[Sender] = Sender,
    replayer: type[Replayer] | None = None,
) -> History:
    """The history of the whole run, which two workers begin; at the end the dead letters may be replayed, once."""
    return _Play(plan, worker, sender, replayer).history()


class _Play:
    def __init__(self, plan: Plan, worker: type[Worker], sender: type[Sender], replayer: type[Replayer] | None) -> None:
        self._plan = plan
        self.run = Run(plan.seed, plan.partitions)
        self._make = worker
        self._sender = sender(self.run)
        self._replayer = None if replayer is None else replayer(self.run)
        self._workers: list[Worker] = []
        self._started = 0
        self._break = {CRASH: self._crash, STALL: self._stall, START: self._start, STOP: self._stop}

    def history(self) -> History:
        for _ in range(2):
            self._start()
        self._rounds(WARM_UP)
        tasks = [self._task(number) for number in range(self._plan.tasks)]
        for fault in self._plan.faults:
            for _ in range(min(AT_ONCE, len(tasks))):
                self._sender.send(tasks.pop())
            if fault is not None:
                self._break[fault]()
            self._rounds(1)
        self._run_empty()
        if self._replayer is not None:
            self._replayer.replay()
            self._run_empty()
        for worker in self._workers:
            worker.stop()
        return self.run.history()

    def _task(self, number: int) -> Task:
        key = f"key-{self.run.rng.randrange(self._plan.keys)}"
        kind = POISON if self.run.rng.random() < 0.2 else "work"
        return Task(id=f"task-{number}", kind=kind, key=key)

    def _rounds(self, count: int) -> None:
        for _ in range(count):
            self.run.now += 0.1
            for worker in self.run.rng.sample(self._workers, len(self._workers)):
                worker.step()

    def _run_empty(self) -> None:
        for _ in range(IDLE_ROUNDS):
            if self.run.is_empty():
                return
            self._rounds(1)

    def _start(self) -> None:
        if len(self._workers) < MAX_WORKERS:
            self._started += 1
            self._workers.append(self._make(self.run, f"worker-{self._started}"))

    def _one(self) -> Worker:
        return self._workers.pop(self.run.rng.randrange(len(self._workers)))

    def _crash(self) -> None:
        worker = self._one()
        worker.crash()
        self._note("SIGKILL", worker)
        self.run.now += SESSION
        self._start()

    def _stop(self) -> None:
        if len(self._workers) > 1:
            worker = self._one()
            self._note("SIGTERM", worker)
            worker.stop()

    def _stall(self) -> None:
        """One worker hears nothing for so long that the others take over; then it wakes up and goes on."""
        worker = self._one()
        self._note("SIGSTOP", worker)
        self.run.now += MAX_POLL_INTERVAL - 1
        self._rounds(8)
        self.run.now += 2
        self._rounds(8)
        self._note("SIGCONT", worker)
        self._workers.append(worker)

    def _note(self, what: str, worker: Worker) -> None:
        self.run.note("fault", "nemesis", whom=worker.name, note=what)
