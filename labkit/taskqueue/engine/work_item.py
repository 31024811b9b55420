"""One record on its way through a worker."""

from __future__ import annotations

from itertools import count

from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import Record

_tickets = count()


class WorkItem:
    """A record that was received and is not finished. `attempt` counts the times it was begun, by this worker.

    `epoch` is the number of the assignment under which it came (see `PartitionState`), and `topic_id` the id of its
    topic, which may be another by now; in a share group only records have one that others than labkit have written.
    `ticket` says which came first, whatever the clock does; `begun_at` belongs to `started_at`, in seconds on a clock
    that is never set.
    `waits_since` is for those who decide by how long it has waited: in seconds on a clock that is never set.
    """

    __slots__ = (
        "attempt",
        "begun_at",
        "epoch",
        "error",
        "received_at",
        "record",
        "shard",
        "started_at",
        "task",
        "ticket",
        "topic_id",
        "waits_since",
    )

    def __init__(self, record: Record, received_at: float, epoch: int = 0, topic_id: str = "") -> None:
        self.record = record
        self.received_at = received_at
        self.epoch = epoch
        self.topic_id = topic_id
        self.ticket = next(_tickets)
        self.shard: object = None
        self.attempt = 0
        self.started_at = received_at
        self.begun_at: float | None = None
        self.waits_since = 0.0
        self.task: Task | None = None
        #: why the last attempt failed
        self.error: BaseException | None = None
