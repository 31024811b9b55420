"""What goes to Celery and comes back as a record."""

from __future__ import annotations

import json

import pytest

from labkit.celery_app.envelope import Envelope
from labkit.errors import BadRecord
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import Record

TASK = Task(id="7", kind="sleep", payload={"a": [1, None, "ä"]}, key="k", scheduled_at=9.5, idempotency_key="order-7")
ITEM = WorkItem(Record("prefix.t", 1, 42, None, b"", (), 10_000), 11.0, topic_id="id-1")
ENVELOPE = Envelope.of(ITEM, TASK, topic="t", topic_prefix="me.own.", rank=2, at=12.0, group="dispatchers.t")
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
