"""What lies on a topic that student code may write to, read without trust: so much and no more, and nothing unpacked.

A compressed batch may be a thousand times as large as it looks. Where the topic has `compression.type=uncompressed` the
broker stores none; one that is there after all is not read. The format is Kafka's of records, version 2 (KIP-98).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import kafka.errors as kafka_errors
from kafka.protocol.consumer import FetchRequest
from kafka.record.memory_records import MemoryRecords

from labkit.errors import HistoryUnreadable
from labkit.grading.behaviour.bounded_client import BoundedClient

#: The setting that keeps compressed batches off a topic.
UNCOMPRESSED = {"compression.type": "uncompressed"}
#: How much is read of a topic, in bytes and in records, and how much at once, in bytes.
MOST_BYTES, MOST_RECORDS = 2 * 1024 * 1024, 2_000
AT_ONCE = 256 * 1024
#: Only what a transaction has committed is there (KIP-98); what an open one holds is not waited for.
_READ_COMMITTED = 1
#: The format of batches that there is since Kafka 0.11.
_VERSION = 2
#: What the broker says of an offset that is not there any more.
_DELETED = kafka_errors.OffsetOutOfRangeError.errno

_FetchTopic = FetchRequest.FetchTopic
_FetchPartition = _FetchTopic.FetchPartition


class TopicRecord(NamedTuple):
    """A record's text, its place, and its key as text."""

    text: str
    partition: int
    offset: int
    key: str | None = None


def topic_shape(client: BoundedClient, topic: str) -> tuple[str, int] | None:
    """The id of the topic (KIP-516) and how many partitions it has; nothing if it is not there."""
    (found,) = client.ask(lambda admin: admin.describe_topics([topic]))
    return None if found["error_code"] else (str(found["topic_id"]), len(found["partitions"]))


def read_records(client: BoundedClient, topic: str, *, partitions: int) -> list[TopicRecord]:
    """All records on these partitions of the topic, in order.

    Raises `HistoryUnreadable` if there is more than may be read, or something else than records; `UnknownTopic`; and
    what the client raises.
    """
    found: list[TopicRecord] = []
    left = MOST_BYTES
    for partition in range(partitions):
        position, end = -1, 0
        while position < end:
            position = end
            part = _fetch(client, topic, partition, position)
            left -= len(part.records or b"")
            for batch, is_read in _batches(part):
                end = batch.last_offset + 1
                found += _records(batch, partition) if is_read else []
            if left < 0 or len(found) > MOST_RECORDS:
                raise HistoryUnreadable(
                    f"There are more than {MOST_RECORDS} records or {MOST_BYTES} bytes on the topic."
                )
    return found


def _fetch(client: BoundedClient, topic: str, partition: int, offset: int) -> Any:
    wanted = _FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=AT_ONCE)
    request = FetchRequest(
        max_wait_ms=0,
        min_bytes=0,
        max_bytes=AT_ONCE,
        isolation_level=_READ_COMMITTED,
        session_epoch=-1,
        topics=[_FetchTopic(topic=topic, partitions=[wanted])],
        min_version=4,
        max_version=12,  # from 13 on topics go by their ids
    )
    part = client.tell(request, lambda answer: answer.responses[0].partitions[0], allowed=[_DELETED])
    if part.error_code == _DELETED:
        raise HistoryUnreadable("Records of the topic were deleted.")
    return part


def _batches(part: Any) -> Iterator[tuple[Any, bool]]:
    """The whole batches, and whether there is anything in each for a reader: neither in what a transaction has taken
    back, nor in the mark of its end.
    """
    taken_back = sorted(part.aborted_transactions or (), key=lambda one: one.first_offset, reverse=True)
    producers: set[int] = set()
    try:
        for batch in MemoryRecords(bytes(part.records or b"")):
            if batch.magic != _VERSION or batch.compression_type:
                raise HistoryUnreadable("There are records on the topic that are compressed, or of an old format.")
            while taken_back and taken_back[-1].first_offset <= batch.last_offset:
                producers.add(taken_back.pop().producer_id)
            yield batch, not batch.is_control_batch and batch.producer_id not in producers
            if batch.is_control_batch:
                producers.discard(batch.producer_id)
    except kafka_errors.CorruptRecordError as error:
        raise HistoryUnreadable(f"There is something on the topic that is no record: {error}") from error


def _records(batch: Any, partition: int) -> list[TopicRecord]:
    return [
        TopicRecord(
            (one.value or b"").decode(errors="replace"),
            partition,
            one.offset,
            None if one.key is None else one.key.decode(errors="replace"),
        )
        for one in batch
    ]
