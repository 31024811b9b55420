"""Where a key of Celery's worker holds what another program has put there, its tasks are done all the same."""

from __future__ import annotations

import pytest

from labkit.celery_app.application import key_prefix, make_app
from labkit.celery_app.capacity import Capacity, signs_key, workers_key
from labkit.celery_app.kinds import import_handlers
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.celery_sender import CelerySender
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.errors import RedisRefused
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import envelope, new_settings
from tests.integration.celery_app.handlers import effects


def test_a_worker_does_its_tasks_says_what_is_missing_and_goes_on(lab, client, tmp_path):
    settings, file = new_settings(), tmp_path / "effects"
    import_handlers(settings)
    prefix = key_prefix(settings)
    foreign = [f"{prefix}records", signs_key(prefix), workers_key(prefix)]
    sender, records, room = (
        CelerySender(make_app(lab.redis_url, settings)),
        RecordStream(client, settings),
        Capacity(client, settings),
    )

    def send(number: int) -> list[str]:
        tasks = [new_task("test-write", str(file)) for _ in range(number)]
        sender.send([envelope(task) for task in tasks])
        return [task.id for task in tasks]

    with CeleryWorker(lab, pool="threads", concurrency=2, settings=settings) as worker:
        client.mset(dict.fromkeys(foreign, "another program's"))
        before = send(4)
        wait_until(lambda: len(effects(file)) == 4, timeout=120, what="they were to be done")
        missing = ("records of tasks are missing", "dispatchers do not count this worker")
        wait_until(lambda: all(what in worker.output() for what in missing), timeout=120, what="it was to be said")
        for ask in (records.read, room.count):
            with pytest.raises(RedisRefused, match=f"{prefix}.*WRONGTYPE.*LABKIT_TOPIC_PREFIX"):
                ask()
        client.delete(*foreign)
        after = send(4)
        seen: set[str] = set()

        def recorded() -> bool:
            seen.update(record.task_id for record in records.read())
            return seen >= set(after)

        wait_until(recorded, timeout=120, what="their records were to come")
        wait_until(lambda: room.count().taken == 0, timeout=120, what="all were to be acknowledged")
        wait_until(lambda: room.count().concurrency == 2, timeout=120, what="the worker was to be counted again")
    sender.close()
    assert sorted(effects(file)) == sorted(before + after)
    said = worker.output()
    assert "waits for Redis" not in said
    assert "Traceback" not in said
    assert [said.count(what) for what in missing] == [1, 1]
