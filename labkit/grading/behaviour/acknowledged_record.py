"""Records that the grader writes itself, and the places at which the broker has acknowledged them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from labkit.errors import NotAcknowledged
from labkit.resource import LazyResource, Resource
from labkit.taskqueue.transport.contract import ProducerClient, Transport
from labkit.taskqueue.transport.values import ProducerConfig, RecordMetadata

#: How long the broker may take to acknowledge what was written at once, in seconds.
ACKNOWLEDGEMENT = 60.0


class NewRecord(NamedTuple):
    """What is to be written, and the task that it stands for."""

    task: str
    partition: int
    value: bytes
    key: bytes | None = None


class RecordWriter(Resource):
    """Writes records to one topic. Raises `TransportError`."""

    def __init__(self, transport: Transport, topic: str) -> None:
        self._topic = topic
        self._producer = LazyResource(lambda: _Producer(transport.producer(ProducerConfig())))

    def write(self, records: Sequence[NewRecord]) -> dict[str, tuple[int, int]]:
        """Write them, in order; by task, the partition and the offset. Raises `NotAcknowledged`."""
        places: dict[str, tuple[int, int]] = {}

        def noting(task: str) -> Callable[[RecordMetadata | None, Exception | None], None]:
            def note(place: RecordMetadata | None, error: Exception | None) -> None:
                if place is not None:
                    places[task] = (place.partition, place.offset)

            return note

        client = self._producer.get().client
        for one in records:
            client.send(
                self._topic,
                partition=one.partition,
                key=one.key,
                value=one.value,
                headers=(),
                timestamp_ms=None,
                on_delivery=noting(one.task),
            )
        client.flush(ACKNOWLEDGEMENT)
        for one in records:
            if one.task not in places:
                raise NotAcknowledged(f"The broker did not take {one.task!r} from the grader.")
        return {one.task: places[one.task] for one in records}

    def renew(self) -> None:
        """Write by another client from now on: the topic has grown, and this one need not know."""
        self.close()

    def close(self) -> None:
        """Let go of the broker."""
        self._producer.close()


class _Producer(NamedTuple):
    client: ProducerClient

    def close(self) -> None:
        self.client.close(ACKNOWLEDGEMENT)
