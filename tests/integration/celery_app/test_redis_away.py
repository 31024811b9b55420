"""Celery's workers and Beat wait for a Redis that can do nothing, and go on; no task is repeated."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from labkit.celery_app.application import make_app
from labkit.celery_app.beat import Beat
from labkit.celery_app.capacity import Capacity
from labkit.celery_app.kinds import import_handlers
from labkit.celery_app.record_stream import RecordStream
from labkit.celery_app.task_starts import TaskStarts
from labkit.dispatch.celery_sender import CelerySender
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.measure.task_record import DONE, REPEATED
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import envelope, new_settings
from tests.integration.celery_app.handlers import effects
from tests.integration.own_redis import STATES, TIMEOUT

#: In every run processes that lose their connections, and threads that are refused; the others in long ones.
RUNS = [
    ("prefork", "killed"),
    ("threads", "read_only"),
    *(pytest.param("threads", state, marks=pytest.mark.long) for state in STATES if state != "read_only"),
    pytest.param("prefork", "full", marks=pytest.mark.long),
]


class Run:
    """One worker, what it is given, and what becomes of that. `folder` is for the effects."""

    def __init__(self, own_redis, client, settings, folder):
        self.sender = CelerySender(make_app(own_redis.url, settings))
        self._records, self._capacity = RecordStream(client, settings), Capacity(client, settings)
        self._folder = folder
        self.sent: list[str] = []
        self.attempts: Counter[tuple[str, str, int]] = Counter()

    def send(self, kind: str, file: str, number: int) -> None:
        """So many tasks, whose effects are lines in the file."""
        tasks = [new_task(kind, str(self._folder / file)) for _ in range(number)]
        self.sender.send([envelope(task) for task in tasks])
        self.sent += [task.id for task in tasks]

    def begun(self, file: str) -> list[str]:
        return effects(self._folder / file)

    def let_go(self, file: str) -> None:
        (self._folder / f"{file}.go").touch()

    def all_done(self) -> bool:
        """Whether every task is done, and no message left."""
        self.attempts.update((one.task_id, one.outcome, one.attempt) for one in self._records.read())
        count = self._capacity.count()
        return len(self.attempts) >= len(self.sent) and not (count.unacknowledged or sum(count.waiting))


@pytest.mark.parametrize(("pool", "state"), RUNS)
def test_a_worker_waits_for_it_goes_on_and_can_be_ended_meanwhile(lab, own_redis, tmp_path, pool, state):
    settings = new_settings(celery_broker_url=own_redis.url)
    import_handlers(settings)
    worker = CeleryWorker(lab, pool=pool, concurrency=2, settings=settings)
    with own_redis.client() as client, worker:
        run = Run(own_redis, client, settings, tmp_path)

        def says(words: str, times: int) -> None:
            wait_until(lambda: worker.output().count(words) >= times, timeout=TIMEOUT, what=f"{words!r} was to be said")

        run.send("test-wait", "first", 2)
        run.send("test-write", "second", 4)
        wait_until(lambda: len(run.begun("first")) == 2, timeout=TIMEOUT, what="the worker was to begin")
        with STATES[state](own_redis):
            run.let_go("first")  # what has ended cannot be noted
            says("waits for Redis", 1)
        says("goes on: Redis answers again", 1)
        run.send("test-write", "third", 4)
        wait_until(run.all_done, timeout=2 * TIMEOUT, what="all were to be done")
        assert run.attempts == Counter({(task, DONE, 1): 1 for task in run.sent})
        assert sorted(run.begun("first") + run.begun("second") + run.begun("third")) == sorted(run.sent)

        run.send("test-wait", "last", 1)
        wait_until(lambda: len(run.begun("last")) == 1, timeout=TIMEOUT, what="the worker was to go on")
        with STATES[state](own_redis):
            run.let_go("last")
            worker.stop()  # raises if it has to be killed
        said = worker.output()
        # the last time it may have ended before it noticed, or before Redis was back
        assert said.count("waits for Redis") - said.count("goes on: Redis answers again") in (0, 1)
        assert "Traceback" not in said
        run.sender.close()


def test_after_an_outage_beyond_the_visibility_timeout_what_runs_comes_again_and_is_recognised(
    lab, own_redis, tmp_path
):
    settings = new_settings(celery_broker_url=own_redis.url, celery_visibility_timeout=1.0)
    import_handlers(settings)
    worker = CeleryWorker(lab, pool="threads", concurrency=2, settings=settings)
    with own_redis.client() as client, worker:
        run, sent = Run(own_redis, client, settings, tmp_path), envelope(new_task("test-wait", str(tmp_path / "only")))
        starts = TaskStarts(client, settings, run="").key(sent)
        run.sender.send([sent])
        wait_until(lambda: run.begun("only"), timeout=TIMEOUT, what="the worker was to begin")
        with STATES["killed"](own_redis):
            wait_until(lambda: "waits for Redis" in worker.output(), timeout=TIMEOUT, what="it was to be said")
        wait_until(lambda: client.hlen(starts) >= 2, timeout=TIMEOUT, what="it was to come again")
        run.let_go("only")
        run.sent = [sent.task.id] * 2  # each of its deliveries leaves a record
        wait_until(run.all_done, timeout=TIMEOUT, what="both deliveries were to end")
        assert {outcome for _, outcome, _ in run.attempts} == {DONE, REPEATED}
        assert run.begun("only") == [sent.task.id]
        run.sender.close()


@pytest.mark.parametrize(
    "state",
    ["killed", *(pytest.param(name, marks=pytest.mark.long) for name in ("full", "frozen", "read_only", "busy"))],
)
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
