"""What the task log says of a record, from when it comes until it is through."""

import logging
import random

import pytest

from labkit.taskqueue.engine.attempts import Attempts
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.task import new_task
from labkit.taskqueue.transport.contract import Record


@pytest.fixture
def said(caplog):
    """Works on one record with a handler that raises the errors one by one; what the task log says of it."""
    caplog.set_level(logging.INFO, "labkit.task")

    def work_on(value, headers, *errors):
        shards = Shards("none", clock=lambda: 0.0)
        attempts = Attempts(
            shards,
            topic="t",
            worker="worker-1",
            retry=Retry(first=0),
            rng=random.Random(1),
            on_record=lambda record: None,
            clock=lambda: 7.0,
        )
        item = WorkItem(Record("t", 0, 3, None, value, headers, 5), 6.0)
        attempts.task_log.received(item)
        shards.put([item])
        for error in errors:
            assert shards.take(wait=False) is item
            if attempts.begin(item) is not None:
                attempts.end(item, error)
            shards.release_due()
        return [line.message for line in caplog.records if line.name == "labkit.task"]

    return work_on


def test_a_record_that_is_no_task_is_never_started(said):
    assert said(b"\x00", (), None) == ["received", "bad"]


def test_every_attempt_at_a_task_is_started(said):
    _, value, headers = new_task("send_email", {}).encode()
    states = said(value, headers, ValueError("not yet"), None)
    assert states == ["received", "started", "failed", "started", "done"]
