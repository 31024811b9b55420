"""What goes to Celery and comes back as a record."""

from __future__ import annotations

import json

import pytest

from labkit.celery_app.envelope import Envelope
from labkit.celery_app.outcome_writer import _letter
from labkit.errors import BadRecord
from labkit.taskqueue.dead_letter import DeadLetter
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.task import Task
from labkit.taskqueue.topic import Topic
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory import MemoryTransport

TASK = Task(id="7", kind="sleep", payload={"a": [1, None, "ä"]}, key="k", scheduled_at=9.5, idempotency_key="order-7")
ITEM = WorkItem(Record("prefix.t", 1, 42, *TASK.encode(), 10_000), 11.0, topic_id="id-1")
ENVELOPE = Envelope.of(ITEM, TASK, topic="t", topic_prefix="me.own.", rank=2, at=12.0, group="dispatchers.t")
ENDED = {"worker": "w-1", "attempt": 1, "started_at": 13.0, "finished_at": 14.0, "error": None}
BROKEN = ENVELOPE.to_json() | {"topic_prefix": "\ud800"}


def test_it_survives_json():
    assert Envelope.from_json(json.loads(json.dumps(ENVELOPE.to_json()))) == ENVELOPE


def test_one_of_before_may_tell_no_group_and_not_which_topic_it_is():
    values = ENVELOPE.to_json()
    del values["group"], values["topic_prefix"], values["topic_id"]
    found = Envelope.from_json(values)
    assert (found.group, found.topic_prefix, found.topic_id) == (None, None, "")


def test_it_knows_where_the_task_was():
    assert (ENVELOPE.topic, ENVELOPE.topic_id, ENVELOPE.partition, ENVELOPE.offset) == ("t", "id-1", 1, 42)
    assert (ENVELOPE.produced_at, ENVELOPE.sent_at, ENVELOPE.rank) == (10.0, 12.0, 2)


@pytest.mark.parametrize(
    "values", [None, 7, "text", {}, ENVELOPE.to_json() | {"task": {}}, {"offset": "no number"}, BROKEN]
)
def test_what_is_none_is_refused(values):
    with pytest.raises(BadRecord, match="not one of labkit"):
        Envelope.from_json(values)


def test_the_record_of_an_attempt_has_the_rank_as_priority_and_counts_from_the_schedule():
    record = ENVELOPE.record("done", worker="w-1", attempt=2, started_at=13.0, finished_at=14.0, error=None)
    assert (record.task_id, record.priority, record.attempt, record.worker) == ("7", 2, 2, "w-1")
    times = record.scheduled_at, record.produced_at, record.received_at, record.started_at, record.finished_at
    assert times == (9.5, 10.0, 12.0, 13.0, 14.0)


def test_what_others_have_written_is_handed_on_once_and_can_be_made_again():
    """Spaces, and a key that is named twice, cannot be seen in the payload."""
    record = Record("t", 1, 42, b"\xc8", b'{ "kind": "x", "kind": "y", "n": 1.0 }', (("trace", b"\xff"),), 10_000)
    task = Task.decode(record, topic_id="id-1", foreign="json")
    item = WorkItem(record, 11.0, topic_id="id-1")
    values = json.dumps(Envelope.of(item, task, topic="t", rank=0, at=12.0).to_json())
    found = Envelope.from_json(json.loads(values))
    assert found.task == task
    assert (task.id, task.payload, task.headers) == ("id-1/1/42", {"kind": "y", "n": 1.0}, record.headers)
    assert '"n"' not in values  # it is there once, as bytes
    sent = _letter(Topic(name="t", partitions=2, transport=MemoryTransport()), found, found.record("dead", **ENDED))
    letter = DeadLetter.decode(Record(sent.topic, 0, 0, sent.key, sent.value, sent.headers, 0))
    assert (letter.key, letter.value, letter.headers) == (record.key, record.value, record.headers)
    assert letter.task().id == task.id
    broken = json.loads(values)
    broken["foreign"]["value"] = "/w=="
    with pytest.raises(BadRecord, match="not one of labkit"):
        Envelope.from_json(broken)
