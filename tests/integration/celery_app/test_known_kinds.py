"""Celery's workers say in Redis what they handle, for as long as they run."""

from __future__ import annotations

from labkit.celery_app.application import key_prefix
from labkit.celery_app.known_kinds import kinds_key, kinds_of_workers
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.handlers import MODULE

LONG = 60


def test_a_running_worker_says_what_it_handles(lab, client, settings):
    assert kinds_of_workers(client, settings) is None
    with CeleryWorker(lab, pool="threads", concurrency=1, settings=settings):
        wait_until(lambda: kinds_of_workers(client, settings), timeout=LONG, what="the worker was to say its kinds")
        found = kinds_of_workers(client, settings)
        assert found is not None
        assert (found["test-write"], found["sleep"]) == (MODULE, "labkit.celery_app.kinds")
    assert kinds_of_workers(client, settings) is None
    assert not client.exists(kinds_key(key_prefix(settings))), "what workers that have ended have said is gone"
