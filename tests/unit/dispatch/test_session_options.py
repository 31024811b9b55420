"""What a session, a dispatcher and Celery's workers take together, and that all of them have the same defaults."""

from __future__ import annotations

import inspect

import pytest

from labkit.celery_app.celery_worker import run_worker, worker_app
from labkit.cli import celery_commands, demo_commands, dispatch_commands, job_commands, produce_command, work_command
from labkit.dispatch import demo
from labkit.dispatch.factory import make_bridge, make_dispatcher
from labkit.dispatch.process_fleet import CeleryWorker, DispatcherProcess
from labkit.dispatch.session import CelerySession
from labkit.dispatch.session_options import (
    DEFAULT_CONCURRENCY,
    DEFAULT_POLICY,
    DEFAULT_POOL,
    concurrency_of,
    limit_of,
    must_have_one_source,
    prefetch_of,
)
from labkit.errors import SettingsError
from labkit.jobs import JobConsumer, jobs_topic
from labkit.lab import Lab
from labkit.policies import PriorityClass
from labkit.settings import Settings
from labkit.taskqueue.admission import ProducerAdmission
from labkit.taskqueue.engine.worker_config import Retry, WorkerConfig
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.worker_group.group import WorkerGroup
from labkit.taskqueue.worker_group.membership import Membership

SETTINGS = Settings(_env_file=None)
CLASSES = [PriorityClass(name="high")]

#: The default of a command's option is that of a parameter in Python.
SAME = [
    ("work", work_command.work, WorkerGroup, {}),
    ("the members of work", work_command.work, Membership, {}),
    ("jobs consume", job_commands.consume, JobConsumer, {}),
    ("dispatch", dispatch_commands.dispatch, make_dispatcher, {}),
    ("bridge", celery_commands.bridge, make_bridge, {}),
    ("celery worker", celery_commands.worker, CeleryWorker, {}),
    ("celery worker of a session", celery_commands.worker, CelerySession, {}),
    ("a dispatcher of a session", make_dispatcher, CelerySession, {}),
    ("a dispatcher of a process", make_dispatcher, DispatcherProcess, {}),
    ("a session's worker", CeleryWorker, CelerySession, {}),
    ("a worker of a process", run_worker, CeleryWorker, {}),
    ("demo priority", demo_commands.priority, dispatch_commands.dispatch, {}),
    ("produce", produce_command.produce, Topics.create, {}),
    ("jobs produce", job_commands.produce, jobs_topic, {}),
]
#: What is None by default stands for, where it does not mean that there is none.
STANDS_FOR = {
    "attempts": Retry().attempts,
    "retry": Retry().attempts,
    "lock": WorkerConfig().lock,
    "policy": DEFAULT_POLICY,
    "pool": DEFAULT_POOL,
    "concurrency": DEFAULT_CONCURRENCY,
    "limit": SETTINGS.celery_limit,
    "seed": 0,
}
#: Where the same word means something else: a command makes a name or a list of it.
OTHERWISE = {"classes", "name", "options", "topic", "admission", "records", "log", "executor", "order"}


def defaults(made) -> dict[str, object]:
    parameters = inspect.signature(made).parameters.values()
    return {one.name: STANDS_FOR.get(one.name) if one.default is None else one.default for one in parameters}


@pytest.mark.parametrize(("command", "python", "names"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_defaults_are_the_same_wherever_a_name_is(command, python, names):
    here, there = defaults(command), defaults(python)
    shared = {name for name in here if names.get(name, name) in there} - OTHERWISE
    empty = inspect.Parameter.empty
    shared = {name for name in shared if empty not in (here[name], there[names.get(name, name)])}
    assert {name: here[name] for name in shared} == {name: there[names.get(name, name)] for name in shared}
    if "attempts" in here and "retry" in there:
        assert here["attempts"] == Retry().attempts


def test_the_tables_of_defaults_find_something():
    found = [defaults(command).keys() & defaults(python).keys() for _, command, python, _ in SAME]
    assert all(found)
    assert inspect.signature(worker_app).parameters["retry"].default is None, "as a worker group, of which it has three"
    assert produce_command.DEFAULT_GROUP == defaults(ProducerAdmission)["group"] == defaults(WorkerGroup)["group"]
    assert dispatch_commands.DEFAULT_POLICY == DEFAULT_POLICY
    assert callable(demo.priority_demo)


@pytest.mark.parametrize(
    ("option", "value"), [("policy", "strict"), ("options", {}), ("limit", 1), ("admission", object())]
)
def test_what_a_bridge_does_nothing_with_is_refused(option, value):
    with pytest.raises(SettingsError, match=f"does nothing with {option}:"):
        must_have_one_source((), "task_queue", **{option: value})
    must_have_one_source(CLASSES, None, **{option: value})


def test_a_session_has_one_source():
    with pytest.raises(SettingsError, match=r"`classes`.* or a `topic`"):
        must_have_one_source((), None)
    with pytest.raises(SettingsError, match="does nothing with classes, limit"):
        must_have_one_source(CLASSES, "task_queue", limit=2)


@pytest.mark.parametrize("number", [0, -1])
def test_zero_is_refused(number):
    for check in (prefetch_of, lambda n: limit_of(n, SETTINGS), lambda n: concurrency_of("threads", n)):
        with pytest.raises(SettingsError, match="cannot be"):
            check(number)
    for keyword in ("prefetch", "concurrency"):
        with pytest.raises(SettingsError, match=f"'{keyword}' of CeleryWorker|cannot be"):
            CeleryWorker(object.__new__(Lab), **{keyword: number}, settings=SETTINGS)


def test_the_word_of_others_for_how_many_at_once_is_told_what_it_is_here():
    for word in ("workers", "processes", "threads", "parallel"):
        for made in (CelerySession, CeleryWorker):
            with pytest.raises(SettingsError, match=rf"no parameter '{word}'\. Did you mean 'concurrency'\?$"):
                made(object.__new__(Lab), **{word: 2})


def test_what_is_not_given_is_as_it_was_set():
    assert limit_of(None, SETTINGS) == SETTINGS.celery_limit
    assert [concurrency_of(pool, None) for pool in ("prefork", "threads", "solo")] == [2, 2, 1]
    with pytest.raises(SettingsError, match="one task at a time"):
        concurrency_of("solo", 2)
