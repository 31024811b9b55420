"""Dead letters in memory."""

from __future__ import annotations

import pytest

from labkit.taskqueue.dead_letter import MAX_ERROR, dead_topic, encode_dead_letter, ensure_dead_topic
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport import Record
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.values import MAX_OUTGOING_BYTES, MAX_RECORD_BYTES
from tests.contract.dead_letters import *  # noqa: F403


@pytest.fixture(params=["", "ada."])
def topics(request):
    with Topics(MemoryTransport(), prefix=request.param) as topics:
        yield topics


def test_names_are_without_the_prefix_and_places_with_it():
    with Topics(MemoryTransport(), prefix="ada.") as topics:
        topic = topics.create("tasks", partitions=1)
        record = Record("ada.tasks", 0, 3, b"k", b"v", (), 5)
        letter = encode_dead_letter(topic, record, error="e", attempts=1, worker="w", at=1.5)
        assert (letter.topic, letter.partition, letter.key) == ("ada.tasks.dead", 0, b"tasks/0/3")
        assert dict(letter.headers) == {
            "dead-topic": b"tasks",
            "dead-partition": b"0",
            "dead-offset": b"3",
            "dead-error": b"e",
            "dead-attempts": b"1",
            "dead-worker": b"w",
            "dead-at": b"1.5",
            "dead-key": b"k",
        }
        ensure_dead_topic(topic)
        assert topics.names() == ["tasks", dead_topic("tasks")]


def test_the_largest_record_with_the_longest_error_can_be_written():
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("tasks", partitions=1)
        ensure_dead_topic(topic)
        record = Record("tasks", 0, 3, None, b"x" * MAX_RECORD_BYTES, (), 5)
        letter = encode_dead_letter(
            topic, record, error="\N{SNOWMAN}" * 2 * MAX_ERROR, attempts=1, worker="w" * 100, at=1.5
        )
        assert MAX_RECORD_BYTES < len(letter.value or b"") + sum(len(c) for _, c in letter.headers) < MAX_OUTGOING_BYTES
        topics.transport.transactions("t").write([letter])
        assert [len(found.error) for found in DeadLetters(topics, "tasks").list()] == [MAX_ERROR]
