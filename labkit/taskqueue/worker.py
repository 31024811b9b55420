"""One worker: a member of a consumer group that works on tasks one after the other and commits what is done."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labkit.errors import BadRecord, CommitRefused, TransportError
from labkit.measure.records import BAD, DONE, FAILED, TaskRecord
from labkit.taskqueue.task import Task
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import ConsumerClient, ConsumerConfig, Position, Record, TopicPartition

#: Finished work is committed at least this often, in seconds: what a crash may repeat.
COMMIT_INTERVAL = 0.2
#: A worker takes as many records at once as it can work on in this time, so that it looks after its group
#: often enough and keeps little that another worker could have. In seconds.
POLL_INTERVAL = 0.1
#: How long a poll waits for the first record, in seconds.
POLL_TIMEOUT = 0.1
MAX_POLL_RECORDS = 500

Handler = Callable[[Task], object]

#: Stands in the record of what was no task.
_NO_TASK = Task(id="", kind="")

log = logging.getLogger("labkit.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """What a worker is doing now. `partitions` are those assigned to it."""

    name: str
    partitions: tuple[int, ...]
    done: int
    failed: int
    running: bool


class Worker:
    """Works on one topic until it is told to stop. `run` blocks; everything else may be called from elsewhere.

    A handler that raises leaves a record with outcome `failed`, and the worker goes on. A record that is not a
    task leaves one with outcome `bad`. Offsets are committed after the work, so that a crash repeats tasks
    and never loses one (at least once).
    """

    def __init__(
        self,
        topic: Topic,
        *,
        name: str,
        group: str,
        handler: Handler,
        session_timeout: float,
        on_record: Callable[[TaskRecord], object],
        on_assignment: Callable[[tuple[int, ...]], object] = lambda partitions: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.topic = topic
        self.name = name
        self._group = group
        self._handler = handler
        self._session_timeout = session_timeout
        self._on_record = on_record
        self._on_assignment = on_assignment
        self._clock = clock
        self._stop = threading.Event()
        self._client: ConsumerClient | None = None
        # per partition, the offset after the last task that is done
        self._finished: dict[int, int] = {}
        # a transport may run the callbacks of a rebalance on a thread of its own
        self._committing = threading.RLock()
        self._committed_at = 0.0
        self._batch_size = 1
        self._partitions: tuple[int, ...] = ()
        self._done = self._failed = 0
        self._running = False

    def stop(self) -> None:
        """Ask the worker to finish the task in hand, commit, and leave the group."""
        self._stop.set()
        if self._client is not None:
            self._client.wake_up()

    def status(self) -> WorkerStatus:
        """What the worker is doing now."""
        return WorkerStatus(
            name=self.name, partitions=self._partitions, done=self._done, failed=self._failed, running=self._running
        )

    def run(self) -> None:
        """Join the group and work until `stop`; then commit and leave."""
        client = self.topic.transport.consumer(
            ConsumerConfig(
                group=self.topic.full_group(self._group),
                client_id=self.name,
                session_timeout=self._session_timeout,
                max_poll_records=MAX_POLL_RECORDS,
            )
        )
        self._client = client
        self._running = True
        log.info("%s joins %s", self.name, self._group)
        try:
            client.subscribe([self.topic.full_name], on_assigned=self._assigned, on_revoked=self._revoked)
            while not self._stop.is_set():
                records = client.poll(POLL_TIMEOUT, self._batch_size)
                self._work_on(records)
                if not records or self._clock() - self._committed_at >= COMMIT_INTERVAL:
                    self._commit()
            self._commit()
        finally:
            self._running = False
            client.close()
            self._partitions = ()
            log.info("%s left %s after %d tasks", self.name, self._group, self._done + self._failed)

    def _work_on(self, records: list[Record]) -> None:
        if not records:
            return
        received_at = self._clock()
        for record in records:
            self._on_record(self._attempt(record, received_at))
            self._finished[record.partition] = record.offset + 1
            if self._stop.is_set():
                return
        per_task = (self._clock() - received_at) / len(records)
        fitting = int(POLL_INTERVAL / per_task) if per_task > 0 else MAX_POLL_RECORDS
        # grows by doubling, so that one quick task among slow ones does not fill the worker's hands
        self._batch_size = max(1, min(fitting, 2 * self._batch_size, MAX_POLL_RECORDS))

    def _attempt(self, record: Record, received_at: float) -> TaskRecord:
        started_at = self._clock()
        try:
            task = Task.decode(record)
        except BadRecord as error:
            log.warning("%s", error)
            self._failed += 1
            return self._record(record, _NO_TASK, received_at, started_at, BAD, str(error))
        try:
            self._handler(task)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything; it must not stop the worker
            reason = f"{type(error).__name__}: {error}"
            log.warning("task %s failed: %s", task.id, reason)
            self._failed += 1
            return self._record(record, task, received_at, started_at, FAILED, reason)
        self._done += 1
        return self._record(record, task, received_at, started_at, DONE, None)

    def _record(
        self, record: Record, task: Task, received_at: float, started_at: float, outcome: str, error: str | None
    ) -> TaskRecord:
        produced_at = record.timestamp_ms / 1000
        return TaskRecord(
            task_id=task.id,
            kind=task.kind,
            topic=self.topic.name,
            partition=record.partition,
            offset=record.offset,
            key=task.key,
            priority=task.priority,
            worker=self.name,
            attempt=task.attempt,
            scheduled_at=produced_at if task.scheduled_at is None else task.scheduled_at,
            produced_at=produced_at,
            acknowledged_at=None,
            received_at=received_at,
            started_at=started_at,
            finished_at=self._clock(),
            outcome=outcome,
            error=error,
        )

    def _commit(self) -> None:
        self._committed_at = self._clock()
        with self._committing:
            if self._finished and self._client is not None:
                self._commit_finished(self._client)

    def _commit_finished(self, client: ConsumerClient) -> None:
        try:
            topic = self.topic.full_name
            client.commit({TopicPartition(topic, number): Position(at) for number, at in self._finished.items()})
            self._finished.clear()
        except CommitRefused as error:
            # another worker owns them now and will repeat this work: at least once
            log.warning("%s: %s", self.name, error)
            self._finished.clear()
        except TransportError as error:
            # the offsets are kept and go with the next commit
            log.warning("%s could not commit: %s", self.name, error)

    def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._partitions = tuple(sorted({*self._partitions, *(tp.partition for tp in partitions)}))
        log.info("%s now has partitions %s", self.name, list(self._partitions))
        self._on_assignment(self._partitions)

    def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        with self._committing:
            self._commit()
            for tp in partitions:
                self._finished.pop(tp.partition, None)
        self._partitions = tuple(sorted({*self._partitions} - {tp.partition for tp in partitions}))
        self._on_assignment(self._partitions)
