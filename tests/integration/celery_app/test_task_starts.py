"""How often a task was begun and not ended, by workers of whom some have died."""

from __future__ import annotations

import pytest

from labkit.celery_app import capacity, task_starts
from labkit.celery_app.application import key_prefix
from labkit.celery_app.capacity import Capacity, Presence, signs_key
from labkit.celery_app.task_starts import Start, TaskStarts
from labkit.errors import RedisUnreachable
from labkit.taskqueue.engine.partition_state import DELIVERIES, LONELY_STARTS, UNCLEAN_STARTS
from labkit.taskqueue.task import new_task
from tests.integration.celery_app.conftest import envelope

#: So long that nobody is silent because the test is slow, in seconds.
SILENCE = 600.0


@pytest.fixture(autouse=True)
def _nobody_is_silent(monkeypatch):
    for module in (capacity, task_starts):
        monkeypatch.setattr(module, "SILENCE", SILENCE)


class Workers:
    """Workers that live and die as the test says."""

    def __init__(self, client, settings) -> None:
        self._client, self._settings = client, settings
        self._signs = signs_key(key_prefix(settings))
        self._number = 0

    def new(self) -> tuple[TaskStarts, str]:
        """Another worker, which gives signs."""
        self._number += 1
        run = f"run {self._number} of it"
        self.presence(run).say(2)
        return TaskStarts(self._client, self._settings, run=run), run

    def presence(self, run: str) -> Presence:
        return Presence(self._client, self._settings, "w", run=run)

    def kill(self, run: str) -> None:
        """It has been silent for too long."""
        self._client.zincrby(self._signs, -(SILENCE * 1000 + 1), run)
        Capacity(self._client, self._settings).count()  # which forgets that it had processes

    def leave(self, run: str) -> None:
        self.presence(run).leave()


@pytest.fixture
def workers(client, settings) -> Workers:
    return Workers(client, settings)


@pytest.fixture
def task():
    return envelope(new_task("sleep", 0))


def test_with_a_worker_dies_what_it_had_begun_and_the_guilty_one_is_found(workers, task):
    """Two tasks are under way in each worker that dies; the one is always there, the others are innocent."""
    innocent = [envelope(new_task("sleep", 0), offset=number) for number in range(1, UNCLEAN_STARTS + 1)]
    for deaths, beside in enumerate(innocent):
        worker, run = workers.new()
        assert worker.begin(task) == Start(deaths)
        assert worker.begin(beside) == Start(0)
        workers.kill(run)
    for lonely in range(LONELY_STARTS):
        worker, run = workers.new()
        assert worker.begin(task) == Start(UNCLEAN_STARTS + lonely, must_be_alone=True)
        assert worker.begin(task, alone=True) == Start(UNCLEAN_STARTS + lonely)
        workers.kill(run)
    survivor, _ = workers.new()
    assert survivor.begin(task) == Start(DELIVERIES, to_blame=True)
    assert all(survivor.begin(one) == Start(1) for one in innocent)


def test_who_was_always_beside_the_guilty_one_runs_alone_and_is_not_blamed(workers, task):
    for _ in range(UNCLEAN_STARTS):
        worker, run = workers.new()
        worker.begin(task)
        workers.kill(run)
    survivor, _ = workers.new()
    assert survivor.begin(task) == Start(UNCLEAN_STARTS, must_be_alone=True)
    assert survivor.begin(task, alone=True) == Start(UNCLEAN_STARTS)


def test_who_waits_to_be_alone_has_no_part_in_the_deaths_of_the_others(workers, task):
    """The guilty one had its turn first, over and over; the innocent one never came to it."""
    for _ in range(UNCLEAN_STARTS):
        worker, run = workers.new()
        worker.begin(task)
        workers.kill(run)
    for _ in range(DELIVERIES):
        worker, run = workers.new()
        assert worker.begin(task) == Start(UNCLEAN_STARTS, must_be_alone=True)
        workers.kill(run)


def test_a_process_of_a_pool_that_died_is_to_blame_on_what_it_had_and_nothing_else(workers, task):
    worker, _ = workers.new()
    beside = envelope(new_task("sleep", 0), offset=1)
    for deaths in range(DELIVERIES):
        assert worker.begin(task) == Start(deaths)
        worker.begin(beside)
        worker.process_died(task, None)
    assert worker.begin(task) == Start(DELIVERIES, to_blame=True)
    assert worker.begin(beside) == Start(0)


def test_another_process_than_the_one_that_had_it_says_nothing_of_it(workers, task):
    worker, _ = workers.new()
    worker.begin(task)
    worker.process_died(task, 1)
    assert worker.begin(task).deaths == 0


@pytest.mark.parametrize("how", ["lives", "left", "withdrew", "is over"])
def test_who_did_not_die_is_not_counted(workers, task, how):
    worker, run = workers.new()
    worker.begin(task)
    if how == "withdrew":
        worker.withdraw(task)
    if how == "is over":
        worker.is_over(task)
    if how == "left":
        workers.leave(run)
    elif how != "lives":
        workers.kill(run)
    another, _ = workers.new()
    assert another.begin(task) == Start(0)


def test_a_worker_that_died_before_the_clock_was_set_back_counts_as_dead(workers, client, settings, task):
    worker, run = workers.new()
    worker.begin(task)
    client.zincrby(signs_key(key_prefix(settings)), 3_600_000, run)
    another, _ = workers.new()
    assert another.begin(task) == Start(1)


def test_a_record_that_was_replayed_begins_anew(workers, client, settings, task):
    worker, run = workers.new()
    worker.begin(task)
    workers.kill(run)
    another, _ = workers.new()
    assert another.begin(envelope(task.task, offset=1)).deaths == 0
    assert another.begin(task).deaths == 1


@pytest.mark.parametrize("call", [TaskStarts.begin, TaskStarts.is_over, TaskStarts.failed])
def test_nothing_is_kept_for_ever(workers, client, task, call):
    worker, _ = workers.new()
    call(worker, task)
    assert 0 < client.ttl(worker.key(task)) <= 24 * 3600


def test_redis_away_is_said(own_redis, settings, task):
    with own_redis.client() as client:
        starts = TaskStarts(client, settings, run="r")
        own_redis.kill()
        for call in (starts.begin, starts.withdraw, starts.is_over, lambda one: starts.process_died(one, None)):
            with pytest.raises(RedisUnreachable):
                call(task)
