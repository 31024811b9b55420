"""From where on a topic is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from labkit.errors import LabkitError
from labkit.taskqueue import Topics
from labkit.taskqueue.start_point import StartPoint
from labkit.taskqueue.transport import ProducerConfig
from labkit.taskqueue.transport.memory import MemoryTransport


@pytest.fixture
def admin():
    """Of a cluster with the topic t: nothing on partition 0, and offsets 2 to 5 on partition 1, a second apart."""
    transport = MemoryTransport()
    topic = Topics(transport).create("t", partitions=2)
    producer = transport.producer(ProducerConfig())
    for number in range(6):
        at = 1_700_000_000_000 + 1000 * number
        record = {"key": None, "value": b"x", "headers": (), "on_delivery": lambda *_: None}
        producer.send(topic.full_name, partition=1, timestamp_ms=at, **record)
    transport._cluster.topic("t").begins[1] = 2
    return transport.admin()


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("earliest", 2),
        ("latest", 6),
        ("0", 2),
        ("3", 3),
        ("6", 6),
        ("9" * 30, 6),
        ("2023-11-14T22:13:23Z", 3),
        ("2023-11-14T23:13:23.001+01:00", 4),
        (datetime.fromtimestamp(1_700_000_005, UTC).astimezone().replace(tzinfo=None).isoformat(), 5),
        ("2023-11-14", 2),
        ("1969-01-01", 2),
        ("9999-01-01", 6),
    ],
)
def test_it_is_a_place_within_each_partition(admin, text, offset):
    assert StartPoint.parse(text, option="to").offsets(admin, "t") == {0: 0, 1: offset}


@pytest.mark.parametrize("text", ["", "-1", "1.5", "begin", "٣", "2023-13-01", "0001-01-01", "tomorrow", "\x1b[2J"])
def test_anything_else_is_refused_in_a_sentence(text):
    with pytest.raises(LabkitError, match="is neither earliest, latest, an offset, as 17, nor a time") as refused:
        StartPoint.parse(text, option="from")
    assert str(refused.value).startswith(f"--from {text!r} ")
