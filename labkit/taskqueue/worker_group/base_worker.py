"""What all kinds of workers have in common: how they are made, what they tell, and how they fail."""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct

from labkit.errors import WorkerFailed
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue.engine.attempts import Attempts
from labkit.taskqueue.engine.executors import Executor, make_executor
from labkit.taskqueue.engine.failure import FailureCounter, shielded
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.topic_identity import Identity, TopicIdentity
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.topics import Topic

#: How long a worker that leaves, or loses its partitions to another, may finish what it has begun, in seconds.
#: In a rebalance the whole group waits for it.
HANDOVER_TIMEOUT = 20.0
#: When the topic was looked for so often in vain, one after the other, it is gone, and not about to be made anew.
GONE_AFTER = 2
#: How long threads without a task may take to end, and handlers that were given up, in seconds.
GIVE_UP_TIMEOUT = 1.0

log = safe_logger("labkit.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """What a worker is doing now. `partitions` are those assigned to it; `failed` counts attempts."""

    name: str
    partitions: tuple[int, ...]
    done: int
    failed: int
    running: bool


class RunningTask(Struct, frozen=True, kw_only=True):
    """A task that is worked on now, for so many `seconds`."""

    task_id: str
    kind: str
    partition: int
    offset: int
    seconds: float

    def __str__(self) -> str:
        name = self.task_id or "without an id"
        return (
            f"task {name} ({self.kind!r}, offset {self.offset} of partition {self.partition}) "
            f"has been running for {self.seconds:.1f} s"
        )


class BaseWorker(ABC):
    """Works on one topic until it is told to stop. `run` blocks; everything else may be called from elsewhere.

    `member` is its name in the group, by default its name: workers of two programs may have one name.
    What `on_record` raises is logged. Failures count in `told`, which workers may share, by their kind.
    `clock` gives seconds since the epoch, `measure` only measures; `rng` spreads the times of further attempts.
    """

    _shards: Shards
    #: whether the worker goes on when a record cannot be handed over
    _is_shielded = True

    def __init__(
        self,
        topic: Topic,
        *,
        name: str,
        group: str,
        member: str | None = None,
        work: Work,
        config: WorkerConfig,
        on_record: Callable[[TaskRecord], object],
        on_assignment: Callable[[tuple[int, ...]], object] = lambda partitions: None,
        told: FailureCounter | None = None,
        clock: Callable[[], float] = time.time,
        measure: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.topic = topic
        self.name = name
        #: its name in the group, among those of other programs
        self.member = member or name
        self._group = group
        self._config = config
        self._on_assignment = on_assignment
        self._clock = clock
        self._measure = measure
        self._shards = self._new_shards()
        self._attempts = Attempts(
            self._shards,
            topic=topic.name,
            worker=name,
            retry=config.retry,
            foreign=config.foreign,
            rng=rng or random.Random(name),
            on_record=shielded(on_record, "on_record") if self._is_shielded else on_record,
            clock=clock,
            measure=measure,
            told=told,
        )
        self._executor = self._new_executor(work)
        self._crash: BaseException | None = None
        self._stop = threading.Event()
        self._left_behind: list[RunningTask] = []
        self._partitions: tuple[int, ...] = ()
        self._done = 0
        self._identity = TopicIdentity(topic, clock=measure)
        # how often the topic was looked for in vain, one after the other
        self._missed = 0
        self._is_on = False
        self._set_up()

    @abstractmethod
    def run(self) -> None:
        """Join the group and work until `stop`; then leave. Raises `WorkerFailed`."""

    @abstractmethod
    def stop(self) -> None:
        """Ask the worker to finish the tasks in hand and leave the group."""

    def status(self) -> WorkerStatus:
        """What the worker is doing now."""
        return WorkerStatus(
            name=self.name,
            partitions=self._partitions,
            done=max(0, self._done - self._attempts.put_away),  # which is counted a moment earlier
            failed=self._attempts.failures,
            running=self._is_on,
        )

    def running(self) -> list[RunningTask]:
        """What is worked on now, what has run longest first."""
        now = self._measure()
        items = [(now if item.begun_at is None else item.begun_at, item) for item in self._attempts.running.copy()]
        return [
            RunningTask(
                task_id="" if item.task is None else item.task.id,
                kind="" if item.task is None else item.task.kind,
                partition=item.record.partition,
                offset=item.record.offset,
                seconds=now - begun_at,
            )
            for begun_at, item in sorted(items, key=lambda one: one[0])
        ]

    @abstractmethod
    def _new_shards(self) -> Shards:
        """The shards of this kind of worker."""

    def _new_executor(self, work: Work) -> Executor:
        """What takes the tasks from the shards and works on them."""
        return make_executor(
            self._config, work, self._shards, self._attempts, name=self.name, on_crash=self._executor_crashed
        )

    @abstractmethod
    def _set_up(self) -> None:
        """Make what only this kind of worker has; everything else is there already."""

    def _settled(self) -> int:
        """How many attempts have ended, well or not."""
        return self._done + self._attempts.failures

    def _look_for_topic(self) -> Identity | None:
        """What the broker says of the topic, if it was asked again; whether it is missing is counted."""
        found = self._identity.look()
        if found is not None and found.topic_id is not None:
            self._missed = 0
        elif found is not None:
            self._miss()
        return found

    def _miss(self) -> None:
        """The broker knows no topic of that name; once is no sign that it is gone, since a broker may lag behind."""
        self._missed += 1
        if self._missed == GONE_AFTER:
            text = "%s: the topic %r is gone, somebody has deleted it. If it is made anew, its tasks are worked on."
            log.warning(text, self.name, self.topic.name)

    def _executor_crashed(self, error: BaseException) -> None:
        self._crash = error
        self.stop()

    def _end_executor(self) -> None:
        """The tasks were handed over, or given up: end the handlers that still run, as far as that can be done."""
        if self._executor.join(GIVE_UP_TIMEOUT):
            return
        self._left_behind = self.running()
        self._executor.give_up()
        self._executor.join(GIVE_UP_TIMEOUT)

    def _raise_failure(self) -> None:
        """Raise `WorkerFailed` if the executor could not go on, or if the worker had to leave tasks that ran."""
        if self._crash is not None:
            raise WorkerFailed(f"{self.name} could not go on: {self._crash}") from self._crash
        if self._left_behind:
            tasks = "; ".join(map(str, self._left_behind[:3]))
            raise WorkerFailed(f"{self.name} has left tasks that would not end, and they will run again: {tasks}.")
