"""A task that kills the process that runs it is given up in the end, and what ran beside it is not."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

from labkit.dispatch.process_fleet import CeleryWorker
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.partition_state import DELIVERIES
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import envelope, new_settings
from tests.integration.celery_app.handlers import effects
from tests.integration.celery_app.work import Work

#: How the process of a pool dies: by itself, or killed, as by the kernel when memory is short.
WAYS = ["os._exit", signal.SIGKILL.value]


def test_who_kills_the_process_of_a_pool_is_given_up_and_nobody_else(lab, client, unique_name, tmp_path):
    settings, file = new_settings(), str(tmp_path / "effects")
    waits = new_task("test-wait", str(tmp_path / "waits"))
    killers = [new_task("test-kill", {"file": file, "how": how}) for how in WAYS]
    with (
        connect_kafka(lab, prefix=settings.topic_prefix) as topics,
        CeleryWorker(lab, pool="prefork", concurrency=2, settings=settings),
    ):
        work = Work(lab, client, settings)
        topics.create(unique_name, partitions=1)
        work.send(envelope(waits, topic=unique_name, offset=99))
        wait_until(lambda: bool(effects(tmp_path / "waits")), timeout=120, what="the one that waits was to begin")
        work.send(*(envelope(task, topic=unique_name, offset=place) for place, task in enumerate(killers)))
        work.wait_for(len(killers), empty=False)
        Path(f"{tmp_path / 'waits'}.go").touch()
        records = work.wait_for(len(killers) + 1)
        work.sender.close()
        letters = {letter.task().id: letter for letter in DeadLetters(topics, unique_name).list()}
    assert Counter(effects(file)) == {task.id: DELIVERIES for task in killers}
    assert effects(tmp_path / "waits") == [waits.id], "it ran beside them, and was not begun again"
    outcomes = sorted((record.task_id, record.outcome, record.attempt) for record in records)
    assert outcomes == sorted([(waits.id, "done", 1), *((task.id, "dead", DELIVERIES) for task in killers)])
    assert letters.keys() == {task.id for task in killers}
    assert all(one.error.startswith("KillsItsWorker") and one.attempts == DELIVERIES for one in letters.values())
