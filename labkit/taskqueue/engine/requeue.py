"""Tasks of a share group that are put behind the others on their topic, as new records.

Kafka gives a record up after so many deliveries, and it counts each, also one in which the task was not begun: its
worker had others to do first, or something was away that it needs. No verdict takes such a delivery back (KIP-932). The
deliveries of a new record count anew. It is written before the old one is accepted, so there may be both (at least
once). The task keeps its id, also one that others than labkit have written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from labkit.errors import TransportError
from labkit.logs.safe_logger import safe_logger
from labkit.outage import Outage
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.record_format import copied
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import OnDelivery, ProducerClient, ProducerConfig, Record, RecordMetadata

#: How long the broker may take to acknowledge a new record, in seconds: the lock on the old one runs meanwhile.
ACKNOWLEDGED_WITHIN = 5.0

log = safe_logger("labkit.worker")


def send_copy(client: ProducerClient, record: Record, *, to: str, partition: int, on_delivery: OnDelivery) -> None:
    """Hand over a record like this one, with the same time, for the topic of this full name; raises as `send` does."""
    client.send(
        to,
        partition=partition,
        key=record.key,
        value=record.value,
        headers=record.headers,
        timestamp_ms=record.timestamp_ms,
        on_delivery=on_delivery,
    )


class Requeue:
    """Writes such records for one worker, over a producer of its own that is there from the first one on.

    `on_taken` is called, on any thread, when there is one more in `taken`; the rest is for one thread.
    """

    def __init__(self, topic: Topic, worker: str, on_taken: Callable[[], object]) -> None:
        self._topic = topic
        self._on_taken = on_taken
        self._client: ProducerClient | None = None
        meanwhile = "tasks that it has not begun cannot be sent again"
        self._outage = Outage(log, worker, f"the topic {topic.name!r}", meanwhile=meanwhile)
        #: those of which the broker has a new record
        self.taken: deque[WorkItem] = deque()
        #: those of which it has none, as far as is known
        self.refused: deque[WorkItem] = deque()

    def put(self, items: Sequence[WorkItem]) -> None:
        """Hand over records like theirs, with the same time; each item is among `taken` or `refused` before long."""
        for number, item in enumerate(items):
            try:
                self._send(item)
            except ValueError as error:  # it has neither key nor value
                self._refuse([item], error)
            except TransportError as error:  # to find the same for each would take too long
                self._refuse(items[number:], error)
                return

    def close(self) -> None:
        """Let go of the connection; what is not acknowledged by now is refused."""
        if self._client is not None:
            self._client.close(0.0)

    def _send(self, item: WorkItem) -> None:
        if self._client is None:
            # by themselves: what comes as a batch is handed out as one
            config = ProducerConfig(linger_ms=0, delivery_timeout=ACKNOWLEDGED_WITHIN)
            self._client = self._topic.transport.producer(config)
        record, hear = copied(item.record, item.topic_id), partial(self._hear, item)
        send_copy(self._client, record, to=self._topic.full_name, partition=record.partition, on_delivery=hear)

    def _hear(self, item: WorkItem, _delivery: RecordMetadata | None, error: Exception | None) -> None:
        if error is not None:
            self._refuse([item], error)
            return
        self._outage.ends()
        self.taken.append(item)
        self._on_taken()

    def _refuse(self, items: Iterable[WorkItem], error: Exception) -> None:
        self._outage.begins(error)
        self.refused.extend(items)
