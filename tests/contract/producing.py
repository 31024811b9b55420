"""The contract of the producer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.errors import NotAcknowledged, TransportError, UnknownTopic
from labkit.taskqueue.partitioners import key_hash
from labkit.taskqueue.transport import RecordMetadata, TopicPartition
from labkit.taskqueue.transport.contract import MAX_RECORD_BYTES
from tests.contract.fixtures import TIMEOUT, Outbox, read


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"key", b"value", (("task-id", b"1"), ("attempt", b"2"))),
        (None, b"value", ()),
        (b"key", None, ()),
        (b"", b"", (("empty", b""),)),
        ("Schlüssel".encode(), "任务".encode(), (("größe", b"\x00\xff"), ("twice", b"1"), ("twice", b"2"))),
    ],
)
def test_a_record_comes_back_as_it_was_sent(topic, outbox, reader, key, value, headers):
    outbox.send(topic, value, partition=1, key=key, headers=headers, timestamp_ms=1_700_000_000_123)
    assert outbox.delivered() == [RecordMetadata(1, 0)]
    reader.assign([TopicPartition(topic, 1)])
    assert read(reader, 1) == [(topic, 1, 0, key, value, headers, 1_700_000_000_123)]


def test_a_record_without_a_time_gets_the_time_of_sending(topic, outbox, reader):
    before = int(time.time() * 1000)
    outbox.send(topic)
    outbox.delivered()
    after = int(time.time() * 1000)
    reader.assign([TopicPartition(topic, 0)])
    assert before <= read(reader, 1)[0].timestamp_ms <= after


def test_records_keep_their_order_within_a_partition(topic, outbox, reader):
    numbers = range(600)
    for number in numbers:
        outbox.send(topic, b"%d" % number, partition=number % 2)
    delivered = outbox.delivered()
    partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    reader.assign(partitions)
    records = read(reader, len(numbers))
    for partition in (0, 1):
        mine = [record for record in records if record.partition == partition]
        assert [record.offset for record in mine] == list(range(300))
        assert [int(record.value) for record in mine] == [n for n in numbers if n % 2 == partition]
    assert sorted(delivered) == [RecordMetadata(p, o) for p in (0, 1) for o in range(300)]  # told from any thread


def test_the_client_puts_a_key_where_java_puts_it(admin, unique_name, outbox):
    """Without a partition, keys go by murmur2: as in `labkit.taskqueue.partitioners`, for both libraries."""
    admin.create_topic(unique_name, partitions=7)
    keys = [f"key-{number}".encode() for number in range(60)]
    where: dict[bytes, int] = {}
    for key in keys:
        outbox.client.send(
            unique_name,
            partition=None,
            key=key,
            value=b"",
            headers=(),
            timestamp_ms=None,
            on_delivery=lambda delivery, _, key=key: where.__setitem__(key, delivery.partition),
        )
    outbox.client.flush(TIMEOUT)
    partition_of = key_hash()
    assert where == {key: partition_of(key, 7) for key in keys}
    assert len(set(where.values())) == 7
    admin.delete_topic(unique_name)


def test_a_record_needs_a_key_or_a_value(topic, outbox):
    with pytest.raises(ValueError, match="key or a value"):
        outbox.send(topic, None)


def test_a_record_that_is_too_large_is_refused_and_the_others_are_not(topic, outbox):
    outbox.send(topic, b"before")
    outbox.send(topic, bytes(MAX_RECORD_BYTES + 100))
    outbox.send(topic, b"after")
    outbox.client.flush(TIMEOUT)
    assert sorted(delivery.offset for delivery, _ in outbox.outcomes if delivery) == [0, 1]
    errors = [error for _, error in outbox.outcomes if error is not None]
    assert [type(error) for error in errors] == [NotAcknowledged]
    assert "large" in str(errors[0])


def test_a_large_record_that_fits_arrives(topic, outbox, reader):
    value = bytes(MAX_RECORD_BYTES - 1000)
    outbox.send(topic, value)
    outbox.delivered()
    reader.assign([TopicPartition(topic, 0)])
    assert read(reader, 1)[0].value == value


def test_a_topic_that_does_not_exist_is_named(outbox, unique_name):
    with pytest.raises(UnknownTopic, match=unique_name):
        outbox.send(unique_name)


def test_a_partition_that_does_not_exist_is_named(topic, outbox):
    with pytest.raises(UnknownTopic, match=f"{topic}.*partition 2"):
        outbox.send(topic, partition=2)


def test_a_partition_that_was_just_added_can_be_used(admin, topic, outbox):
    outbox.send(topic)
    outbox.delivered()
    admin.grow_topic(topic, partitions=3)
    outbox.send(topic, partition=2)
    assert outbox.delivered() == [RecordMetadata(0, 0), RecordMetadata(2, 0)]


def test_a_producer_serves_several_threads(topic, outbox, admin):
    with ThreadPoolExecutor(4) as threads:
        for thread in range(4):
            threads.submit(lambda p=thread % 2: [outbox.send(topic, partition=p) for _ in range(100)]).result()
    assert sorted(outbox.delivered()) == [RecordMetadata(p, o) for p in (0, 1) for o in range(200)]
    assert admin.end_offsets(topic) == {0: 200, 1: 200}


def test_a_new_topic_loses_no_record_that_was_acknowledged(admin, unique_name, outbox):
    """A partition that is not ready yet refuses the first batches; those after it must not overtake."""
    for number in range(8):
        name = f"{unique_name}-{number}"
        admin.create_topic(name, partitions=4)
        outbox.outcomes.clear()
        for record in range(40):
            outbox.send(name, b"%d" % record, partition=record % 4)
        assert sorted(outbox.delivered()) == [RecordMetadata(p, o) for p in range(4) for o in range(10)]
        assert admin.end_offsets(name) == dict.fromkeys(range(4), 10)
        admin.delete_topic(name)


def test_an_acknowledgement_comes_without_a_flush(topic, transport):
    acknowledged = threading.Event()
    with Outbox(transport) as outbox:
        outbox.client.send(
            topic,
            partition=0,
            key=None,
            value=b"value",
            headers=(),
            timestamp_ms=None,
            on_delivery=lambda delivery, error: acknowledged.set(),
        )
        assert acknowledged.wait(TIMEOUT)


@pytest.mark.parametrize("acks", ["all", "1"])
@pytest.mark.parametrize("compression", ["none", "gzip", "lz4"])
def test_acknowledged_records_arrive(transport, topic, reader, acks, compression):
    with Outbox(transport, acks=acks, compression=compression) as outbox:
        outbox.send_all(topic, [b"value" * 100] * 50)
        assert sorted(outbox.delivered()) == [RecordMetadata(0, offset) for offset in range(50)]
    reader.assign([TopicPartition(topic, 0)])
    assert [record.value for record in read(reader, 50)] == [b"value" * 100] * 50


def test_without_acks_nobody_knows_the_offset(transport, topic, reader):
    with Outbox(transport, acks="0") as outbox:
        outbox.send(topic)
        assert outbox.delivered() == [RecordMetadata(0, -1)]
    reader.assign([TopicPartition(topic, 0)])
    assert read(reader, 1)[0].offset == 0


def test_without_retries_a_record_arrives_too(transport, topic):
    with Outbox(transport, retries=0) as outbox:
        outbox.send(topic)
        assert outbox.delivered() == [RecordMetadata(0, 0)]


def test_closing_flushes(transport, topic, admin):
    with Outbox(transport, linger_ms=100) as outbox:
        outbox.send(topic)
    assert outbox.outcomes == [(RecordMetadata(0, 0), None)]
    assert admin.end_offsets(topic)[0] == 1


def test_a_producer_is_closed_twice_and_then_says_so(transport, topic):
    outbox = Outbox(transport)
    outbox.send(topic)
    outbox.client.close(TIMEOUT)
    outbox.client.close(TIMEOUT)
    with pytest.raises(TransportError, match="closed"):
        outbox.send(topic)
