"""Reading a topic from its beginning up to now, as one who only looks: no group, nothing committed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing

from labkit.errors import BrokerUnreachable
from labkit.taskqueue.transport.contract import ConsumerClient, ConsumerConfig, Record, TopicPartition, Transport

#: How long reading may get nothing at all, in seconds: a transaction of a killed worker may be open for 12 s.
PATIENCE = 15.0


def read_topic(transport: Transport, name: str, *, floor: Mapping[int, int] | None = None) -> Iterator[Record]:
    """All records there now, in the order of their offsets per partition; `name` as on the broker.

    With a `floor`, an offset per partition, only those at or beyond it; all of a partition that it does not name.
    Records of open transactions are waited for: one that was committed a moment ago may count as open yet.
    Raises `UnknownTopic`, and `BrokerUnreachable` if nothing comes for `PATIENCE` seconds.
    """
    with closing(transport.admin()) as admin:
        ends = admin.end_offsets(name)
        starts = admin.start_offsets(name)
    for number, offset in (floor or {}).items():
        starts[number] = max(starts.get(number, 0), offset)
    left = {TopicPartition(name, number): end for number, end in ends.items() if end > starts[number]}
    if not left:
        return
    with closing(transport.consumer(ConsumerConfig())) as consumer:
        consumer.assign(sorted(left))
        for place in sorted(left):
            consumer.seek(place, starts[place.partition])
        yield from _read_up_to(left, consumer)


def _read_up_to(ends: dict[TopicPartition, int], consumer: ConsumerClient) -> Iterator[Record]:
    quiet_since = time.monotonic()
    while any((consumer.position(place) or 0) < end for place, end in ends.items()):
        records = consumer.poll(0.1)
        yield from (
            record for record in records if record.offset < ends[TopicPartition(record.topic, record.partition)]
        )
        if records:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > PATIENCE:
            topic = next(iter(ends)).topic
            raise BrokerUnreachable(f"Nothing came for {PATIENCE:g} s while {topic} was read. Does Kafka run?")
