"""Effects in SQLite: had once however often the task comes, and counted as they are."""

from __future__ import annotations

import pytest

from labkit.celery_app.kinds import handler_of
from labkit.faults import effects
from labkit.faults.checker import check
from labkit.faults.effects import EFFECT_KIND, Refused, have_effect
from labkit.faults.event import Event
from labkit.faults.history import History
from labkit.faults.verdict import DUPLICATE, EFFECT_TWICE, LOST
from labkit.taskqueue.task import new_task


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "effects.sqlite"
    effects.create_effects(path)
    return path


def task_for(database, **more):
    return new_task(EFFECT_KIND, effects.payload(database, seconds=0.0, **more))


def written(*tasks):
    return [
        Event(what="written", by="log", seq=place, at=0.0, task=task.id, partition=0, offset=place)
        for place, task in enumerate(tasks)
    ]


def test_it_handles_its_kind_and_looks_after_redeliveries_itself():
    assert handler_of(EFFECT_KIND) == (have_effect, False)


def test_a_task_that_comes_three_times_has_one_effect(database):
    first, second = task_for(database), task_for(database)
    for task in (first, second, first, first):
        have_effect(task)
    assert effects.count_effects(database) == 2
    assert check(History([*written(first, second), *effects.read_effects(database)])).ok(allow=())


def test_a_worker_and_the_effect_may_both_tell_of_one_end(database):
    task = task_for(database)
    have_effect(task)
    done = {"at": 0.0, "by": "worker-1", "task": task.id, "partition": 0, "offset": 0, "group": "g"}
    by_worker = [Event(what=what, seq=seq, **done) for seq, what in enumerate(("received", "started", "finished"))]
    history = [*written(task), *by_worker, *effects.read_effects(database)]
    assert check(history).ok(allow=())
    again = [Event(what="finished", seq=9, **done)]
    assert check(history + again).counts[DUPLICATE] == 1


def test_one_that_fails_has_none(database):
    with pytest.raises(Refused):
        have_effect(task_for(database, fails=True))
    assert effects.count_effects(database) == 0


def test_a_task_without_an_effect_is_lost_and_one_with_two_is_told(database):
    lost, doubled = task_for(database), task_for(database)
    with effects.connection_to(database) as connection, connection:
        effects.add_effect(connection, doubled)
        effects.add_effect(connection, doubled)
    verdict = check(History([*written(lost, doubled), *effects.read_effects(database)]))
    assert (verdict.counts[LOST], verdict.counts[EFFECT_TWICE]) == (1, 1)
    assert not verdict.ok()


def test_an_effect_whose_transaction_was_not_committed_is_none(database):
    task = task_for(database)
    with effects.connection_to(database) as connection:
        effects.add_effect(connection, task)  # and then its process dies
    assert effects.count_effects(database) == 0
    have_effect(task)
    assert effects.count_effects(database) == 1
