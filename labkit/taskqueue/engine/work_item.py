"""One record on its way through a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import Record

if TYPE_CHECKING:
    from labkit.taskqueue.engine.partition_state import PartitionState


class WorkItem:
    """A record that was received and is not finished. `attempt` counts the times it was begun, by this worker."""

    __slots__ = ("attempt", "error", "owner", "received_at", "record", "shard", "started_at", "task")

    def __init__(self, record: Record, received_at: float, owner: PartitionState) -> None:
        self.record = record
        self.received_at = received_at
        #: its partition as it was held when it came; after a rebalance that is another object
        self.owner = owner
        self.shard: object = None
        self.attempt = 0
        self.started_at = received_at
        self.task: Task | None = None
        #: why the last attempt failed
        self.error: BaseException | None = None
