"""Celery's workers and Beat wait for a Redis that can do nothing, and go on; no task is repeated."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from labkit.celery_app.application import make_app
from labkit.celery_app.beat import Beat
from labkit.celery_app.kinds import import_handlers
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.celery_sender import CelerySender
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.errors import RedisUnreachable
from labkit.measure.records import DONE
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import envelope, new_settings
from tests.integration.own_redis import STATES, TIMEOUT

TASKS = 30


@pytest.mark.parametrize("state", ["full"])
def test_a_worker_goes_on_after_it(lab, own_redis, state):
    settings = new_settings(celery_broker_url=own_redis.url, celery_visibility_timeout=2.0)
    import_handlers(settings)
    sender = CelerySender(make_app(own_redis.url, settings))
    with own_redis.client() as client, CeleryWorker(lab, pool="threads", concurrency=2, settings=settings) as worker:
        records = RecordStream(client, settings)
        found: Counter[str] = Counter()

        def done(number: int) -> bool:
            found.update(record.task_id for record in records.read() if record.outcome == DONE)
            worker.check()
            return len(found) >= number

        sender.send([envelope(new_task("sleep", 1)) for _ in range(TASKS)])
        wait_until(lambda: done(1), timeout=TIMEOUT, what="the worker was to begin")
        with STATES[state](own_redis):
            with pytest.raises(RedisUnreachable):
                sender.send([envelope()])
            wait_until(lambda: "waits for Redis" in worker.output(), timeout=TIMEOUT, what="it was to be said")
        sender.send([envelope(new_task("sleep", 1)) for _ in range(TASKS)])
        wait_until(lambda: done(2 * TASKS), timeout=2 * TIMEOUT, what="all were to be done")
        assert set(found.values()) == {1}
    sender.close()


@pytest.mark.parametrize("state", ["full", "read_only", "busy"])
def test_beat_goes_on_after_it(own_redis, state, caplog):
    caplog.set_level(logging.WARNING, "labkit.beat")
    settings = new_settings(celery_broker_url=own_redis.url, beat_heartbeat="1", beat_lag="off")
    with Beat(settings=settings) as beat:
        wait_until(lambda: beat.sent > 0, timeout=TIMEOUT, what="Beat was to begin")
        with STATES[state](own_redis):
            wait_until(lambda: "waits for Redis" in caplog.text, timeout=TIMEOUT, what="it was to be said")
        sent = beat.sent
        wait_until(lambda: beat.sent > sent, timeout=TIMEOUT, what="Beat was to go on")
        beat.check()
    assert caplog.text.count("waits for Redis") == 1
