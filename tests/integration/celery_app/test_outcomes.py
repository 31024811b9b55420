"""Whatever comes out of a handler in Celery leaves its record and, in the end, its dead letter; the worker goes on."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from labkit.celery_app.application import key_prefix, level_key
from labkit.celery_app.envelope import DEEPEST
from labkit.celery_app.performer import sending_name
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.settings import Settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.task import new_task
from labkit.taskqueue.topics import Topics
from tests.integration.celery_app.conftest import envelope, new_settings
from tests.integration.celery_app.handlers import ODDITIES, effects
from tests.integration.celery_app.work import Work

#: More threads than a computer has cores, so that they meet.
THREADS = 8


@pytest.fixture(scope="module", params=[pytest.param("threads", marks=pytest.mark.long), "prefork"])
def pool(lab, request) -> Iterator[Settings]:
    """The settings of a Celery with a worker of this pool."""
    made = new_settings()
    with CeleryWorker(lab, pool=request.param, concurrency=THREADS if request.param == "threads" else 2, settings=made):
        yield made


@pytest.fixture
def work(lab, client, pool) -> Iterator[Work]:
    made = Work(lab, client, pool)
    yield made
    made.sender.close()


@pytest.fixture
def topics(lab, pool) -> Iterator[Topics]:
    with connect_kafka(lab, prefix=pool.topic_prefix) as topics:
        yield topics


def test_whatever_comes_out_of_a_handler_is_a_failed_attempt(work, topics, unique_name, tmp_path):
    topics.create(unique_name, partitions=1)
    file = str(tmp_path / "effects")
    tasks = {how: new_task("test-odd", {"how": how, "file": file}) for how in ODDITIES}
    sent = [envelope(task, topic=unique_name, offset=place) for place, task in enumerate(tasks.values())]
    work.send(*sent)
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    errors = {}
    for record in work.wait_for(len(sent)):
        found[record.task_id].append((record.outcome, record.attempt))
        errors[record.task_id] = record.error
    assert found == {task.id: [("failed", 1), ("failed", 2), ("dead", 3)] for task in tasks.values()}
    assert Counter(effects(file)) == {task.id: 3 for task in tasks.values()}
    letters = {letter.task().id: letter for letter in DeadLetters(topics, unique_name).list()}
    assert letters.keys() == found.keys()
    assert all(letters[task_id].error == errors[task_id] for task_id in letters)
    assert max(len(error) for error in errors.values()) < 10_000
    told = {how: errors[task.id] for how, task in tasks.items()}
    assert told["CancelledError"].startswith("CancelledError")
    assert told["KeyboardInterrupt"].startswith("KeyboardInterrupt")
    assert "coroutine" in told["coroutine"]
    assert "generator" in told["async generator"]


def test_a_handler_that_forks_and_comes_back_twice_has_one_outcome(work, tmp_path):
    file = str(tmp_path / "effects")
    tasks = [new_task("test-fork", {"file": file, "how": how}) for how in ("returns", "raises", "exits") * 2]
    work.send(*(envelope(task, offset=place) for place, task in enumerate(tasks)))
    found = Counter((record.task_id, record.outcome, record.attempt) for record in work.wait_for(len(tasks)))
    assert found == {(task.id, "done", 1): 1 for task in tasks}
    assert Counter(effects(file)) == {task.id: 1 for task in tasks}
    work.send(envelope(after := new_task("test-write", file), offset=99))
    assert [record.outcome for record in work.wait_for(len(tasks) + 1) if record.task_id == after.id] == ["done"]


def test_many_that_fail_at_once_leave_a_letter_each_and_are_tried_no_oftener(work, topics, unique_name, tmp_path):
    topics.create(unique_name, partitions=1)
    tasks = [new_task("test-fail", {"file": str(tmp_path / str(number)), "times": 99}) for number in range(16)]
    work.send(*(envelope(task, topic=unique_name, offset=place) for place, task in enumerate(tasks)))
    outcomes = Counter(record.outcome for record in work.wait_for(16))
    assert outcomes == {"failed": 32, "dead": 16}
    assert [len(effects(tmp_path / str(number))) for number in range(16)] == [3] * 16
    letters = DeadLetters(topics, unique_name).list()
    assert {letter.task().id for letter in letters} == {task.id for task in tasks}
    assert {letter.attempts for letter in letters} == {3}


def test_a_task_that_is_nested_as_deep_as_can_be_has_all_its_attempts_and_its_letter(
    work, topics, unique_name, tmp_path
):
    topics.create(unique_name, partitions=1)
    nested: object = None
    for _ in range(DEEPEST - 1):
        nested = [nested]
    task = new_task("test-fail", {"file": str(tmp_path / "effects"), "times": 99, "ballast": nested})
    work.send(envelope(task, topic=unique_name))
    assert [record.outcome for record in work.wait_for(1)] == ["failed", "failed", "dead"]
    (letter,) = DeadLetters(topics, unique_name).list()
    assert letter.task().payload == task.payload


@pytest.mark.parametrize("kind", ["circle", "uuid", "decimal", "bytes", "datetime"])
def test_a_payload_that_looks_like_one_of_celerys_own_values_is_handed_over_as_it_is(
    work, topics, unique_name, tmp_path, kind
):
    topics.create(unique_name, partitions=1)
    value = {"__type__": kind, "__value__": "2026"}
    work.send(
        envelope(
            new_task("test-fail", {"file": str(tmp_path / "effects"), "times": 99, "value": value}), topic=unique_name
        )
    )
    assert [record.outcome for record in work.wait_for(1)] == ["failed", "failed", "dead"]
    (letter,) = DeadLetters(topics, unique_name).list()
    assert letter.task().payload["value"] == value


def test_a_letter_that_is_refused_is_written_without_its_record(work, topics, unique_name, tmp_path):
    topics.create(unique_name, partitions=1)
    with closing(topics.transport.admin()) as admin:
        name = f"{topics.prefix}{unique_name}.dead"
        config = {"cleanup.policy": "compact", "max.message.bytes": "4000"}
        admin.create_topic(name, partitions=1, config=config)
    file = str(tmp_path / "effects")
    task = new_task("test-fail", {"file": file, "times": 99, "ballast": "x" * 20_000})
    work.send(envelope(task, topic=unique_name, offset=3))
    assert [record.outcome for record in work.wait_for(1)] == ["failed", "failed", "dead"]
    (letter,) = DeadLetters(topics, unique_name).list()
    assert (letter.omitted, letter.id, letter.attempts) == (True, f"{unique_name}/0/3", 3)
    assert len(effects(file)) == 3


HUGE = 10**30

#: Messages that no dispatcher sends; each is the arguments of one.
FOREIGN: dict[str, list[Any]] = {
    "a number beyond 64 bits": [envelope().to_json() | {"offset": HUGE}],
    "an attempt beyond 64 bits": [envelope().to_json(), HUGE],
    "no attempt": [envelope().to_json(), None],
    "a time that is none": [envelope().to_json() | {"sent_at": float("nan")}],
    "a time beyond all": [envelope().to_json() | {"produced_at": 10**400}],
    "half a character": [{**envelope().to_json(), "topic": "\ud83d"}],
    "no task": [envelope().to_json() | {"task": None}],
    "a task of nothing": [envelope().to_json() | {"task": {"id": None, "kind": None}}],
    "an outcome that is none": [envelope().to_json(), 1, {"outcome": HUGE}],
    "far too deep": [json.loads("[" * 500 + "]" * 500)],
}


#: Headers that Celery itself never writes.
FOREIGN_HEADERS: list[dict[str, Any]] = [
    {"id": None},
    {"id": {}},
    {"task": None},
    {"task": 5},
    {"root_id": None, "argsrepr": None, "retries": None, "lang": None},
    {"parent_id": {}},
    {"eta": "soon"},
    {"expires": 5},
    {"timelimit": "long"},
    {"timelimit": [None, "long"]},
    {"stamped_headers": 5},
    {"delivery_info": None},
]

#: What somebody may push into the list in Redis.
RUBBISH = ["rubbish", "", "{}", "[]", "null", '{"properties": null}', '{"properties": {"delivery_tag": "x"}}', b"\xff"]
#: And what Redis takes for a message, and Python cannot read.
UNREADABLE = (
    '{"properties": {"delivery_tag": %s, "delivery_info": {"exchange": "labkit", "routing_key": "labkit"}}, "x": %s}'
)
RUBBISH += [
    UNREADABLE % ('"unknown"', '{"__type__": "?", "__value__": 0}'),
    UNREADABLE % ('"long"', "1" * 5000),
    UNREADABLE % ('"\\ud83d"', "0"),
    UNREADABLE % ("5", "0"),
    UNREADABLE % ("5.5", '{"__type__": "?", "__value__": 0}'),
]


def test_what_is_not_labkits_is_dropped_and_the_worker_goes_on(work, client, pool, tmp_path):
    name = sending_name("test-write")
    for arguments in FOREIGN.values():
        work.app.send_task(name, arguments, queue="labkit", priority=0)
    for headers in FOREIGN_HEADERS:
        work.app.send_task(name, (1,), queue="labkit", priority=0, headers=headers)
    key = level_key(key_prefix(pool), 0)
    whole = json.loads(client.lindex(key, 0) or "{}")
    client.lpush(key, *RUBBISH, *(json.dumps(whole | {"body": body}) for body in (None, 5, "%", "e30=")))
    files = [str(tmp_path / str(number)) for number in range(2 * THREADS)]
    work.send(*(envelope(new_task("test-write", file), rank=9, offset=place) for place, file in enumerate(files)))
    assert {record.outcome for record in work.wait_for(len(files))} == {"done"}
    assert [len(effects(file)) for file in files] == [1] * len(files)


def test_a_worker_with_such_messages_behind_it_ends_when_asked(lab, client):
    settings = new_settings()
    with CeleryWorker(lab, pool="threads", concurrency=1, settings=settings):
        work = Work(lab, client, settings)
        for headers in FOREIGN_HEADERS:
            work.app.send_task(sending_name("test-write"), (1,), queue="labkit", headers=headers)
        work.wait_for_empty()
        work.sender.close()
