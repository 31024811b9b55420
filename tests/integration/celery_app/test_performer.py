"""What a real Celery worker does with what it is sent, on a real Redis and a real Kafka."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from celery.exceptions import Reject
from celery.exceptions import Retry as ComesAgain

from labkit.celery_app import performer as performer_module
from labkit.celery_app.application import QUEUE, key_prefix, level_key, make_app
from labkit.celery_app.capacity import Capacity, connect
from labkit.celery_app.envelope import Delivered, Envelope
from labkit.celery_app.kinds import celery_name, handler_of
from labkit.celery_app.message_headers import FIRST
from labkit.celery_app.outcome_writer import OutcomeWriter
from labkit.celery_app.performer import Performer, sending_name
from labkit.celery_app.task_starts import Start, TaskStarts
from labkit.errors import BrokerUnreachable
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.partition_state import DELIVERIES
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from tests.integration.celery_app.conftest import envelope
from tests.integration.celery_app.handlers import Hostile, effects
from tests.integration.celery_app.work import Work


@pytest.fixture
def work(lab, client, at_work) -> Iterator[Work]:
    made = Work(lab, client, at_work)
    yield made
    made.sender.close()


@pytest.fixture
def topics(lab, at_work) -> Iterator[Topics]:
    """Those that the worker sees."""
    with connect_kafka(lab, prefix=at_work.topic_prefix) as topics:
        yield topics


@pytest.fixture
def file(tmp_path) -> str:
    return str(tmp_path / "effects")


def outcomes(records: list[TaskRecord]) -> list[tuple[str, int]]:
    return [(record.outcome, record.attempt) for record in records]


def test_a_task_is_done_once_and_leaves_its_record(work, file):
    task = new_task("test-write", file, key="k")
    work.send(envelope(task, rank=3, topic="jobs", offset=7))
    (record,) = work.wait_for(1)
    assert effects(file) == [task.id]
    assert (record.task_id, record.kind, record.key, record.outcome) == (task.id, "test-write", "k", "done")
    assert (record.topic, record.offset, record.priority, record.attempt) == ("jobs", 7, 3, 1)
    assert record.worker.startswith("celery-")
    assert record.received_at <= record.started_at <= record.finished_at


def test_a_repeated_delivery_is_recognised_and_has_no_effect(work, file):
    once = envelope(new_task("test-write", file))
    work.send(once, once)
    work.wait_for(2)
    work.send(once)
    records = work.wait_for(3)
    assert sorted(record.outcome for record in records) == ["done", "repeated", "repeated"]
    assert effects(file) == [once.task.id]


def test_tasks_with_one_idempotency_key_are_one(work, file):
    tasks = [new_task("test-write", file, idempotency_key=f"order-{file}") for _ in range(3)]
    work.send(*map(envelope, tasks))
    assert sorted(one.outcome for one in work.wait_for(3)) == ["done", "repeated", "repeated"]
    assert len(effects(file)) == 1


def test_a_handler_that_looks_after_itself_is_called_for_each_delivery(work, file):
    twice = envelope(new_task("test-write-always", file))
    work.send(twice, twice)
    assert [one.outcome for one in work.wait_for(2)] == ["done", "done"]
    assert effects(file) == [twice.task.id] * 2


def test_a_failure_is_tried_again(work, file):
    work.send(envelope(task := new_task("test-fail", {"file": file, "times": 1})))
    failed, done = work.wait_for(1)
    assert outcomes([failed, done]) == [("failed", 1), ("done", 2)]
    assert failed.error.startswith(f"ValueError: {task.id} cannot be done")
    assert done.started_at > failed.finished_at
    assert effects(file) == [task.id] * 2


def test_after_the_last_attempt_it_is_a_dead_letter_on_kafka(work, topics, unique_name, file):
    topics.create(unique_name, partitions=1)
    task = new_task("test-fail", {"file": file, "times": 99}, key="k")
    work.send(envelope(task, topic=unique_name, offset=5))
    records = work.wait_for(1)
    assert outcomes(records) == [("failed", 1), ("failed", 2), ("dead", 3)]
    (letter,) = DeadLetters(topics, unique_name).list()
    assert letter.error.startswith(f"ValueError: {task.id} cannot be done")
    assert (letter.attempts, letter.worker, letter.id) == (3, records[-1].worker, f"{unique_name}/0/5")
    assert letter.group == "dispatchers"
    replayed = letter.task()
    assert (replayed.id, replayed.kind, replayed.payload, replayed.key) == (task.id, "test-fail", task.payload, "k")


def test_a_task_whose_topic_is_gone_is_given_up_all_the_same(work, unique_name, file):
    work.send(envelope(new_task("test-fail", {"file": file, "times": 99}), topic=f"{unique_name}-gone"))
    assert outcomes(work.wait_for(1)) == [("failed", 1), ("failed", 2), ("dead", 3)]
    assert len(effects(file)) == 3


def test_a_handler_that_ends_the_interpreter_does_not_end_the_worker(work, topics, unique_name, file):
    topics.create(unique_name, partitions=1)
    work.send(envelope(new_task("test-leave"), topic=unique_name))
    assert outcomes(work.wait_for(1)) == [("failed", 1), ("failed", 2), ("dead", 3)]
    work.send(envelope(task := new_task("test-write", file)))
    work.wait_for(2)
    assert effects(file) == [task.id]


def test_a_task_that_is_in_progress_elsewhere_comes_again(work, file):
    slow = envelope(new_task("test-wait", file))
    work.send(slow, slow)
    wait_until(lambda: bool(effects(file)), timeout=120, what="one of them was to begin")
    wait_until(lambda: _eta(work) is not None, timeout=120, what="the other was to be postponed")
    Path(f"{file}.go").touch()
    assert [(one.outcome, one.attempt) for one in work.wait_for(2)] == [("done", 1), ("repeated", 1)]
    assert effects(file) == [slow.task.id], "to wait for another run is no attempt"


def _eta(work: Work) -> object:
    """When the message that was postponed may begin."""
    inspect = work.app.control.inspect(timeout=0.2)
    return next((task for tasks in (inspect.scheduled() or {}).values() for task in tasks), None)


# --- what is not labkit's


def test_a_foreign_message_is_dropped_and_the_worker_goes_on(work, file):
    name = sending_name("test-write")
    for arguments in [("no envelope",), ({"task": {}},), ({**envelope().to_json(), "offset": "x"},), (), (1, 2, 3)]:
        work.app.send_task(name, arguments, queue="labkit", priority=0)
    work.app.send_task("somebody.elses.task", (1,), queue="labkit", priority=0)
    work.send(envelope(task := new_task("test-write", file), rank=9))
    (record,) = work.wait_for(1)
    assert (record.task_id, record.outcome) == (task.id, "done")


class Bomb:
    """Has an effect when it is read."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (Path(self.file),)


def test_a_pickle_is_refused_unread(work, tmp_path, file):
    bomb = str(tmp_path / "bomb")
    pickle.loads(pickle.dumps(Bomb(bomb)))
    Path(bomb).unlink()
    work.app.send_task(sending_name("test-write"), (Bomb(bomb),), queue="labkit", serializer="pickle", priority=0)
    work.send(envelope(task := new_task("test-write", file), rank=9))
    (record,) = work.wait_for(1)
    assert record.task_id == task.id
    assert not Path(bomb).exists()


# --- the performer itself, in this process


class Request:
    """What a Celery worker tells a task."""

    def __init__(self, task, **how: object) -> None:
        self._task = task
        self._how = {"id": "1", "hostname": "w@host", "called_directly": False, "delivery_info": {}} | how

    def __enter__(self):
        self._task.push_request(**self._how)

    def __exit__(self, *_: object) -> None:
        self._task.pop_request()


def performing(url: str, settings, **how):
    app = make_app(url, settings)
    records: list[TaskRecord] = []
    starts = TaskStarts(connect(url), settings, run="r")
    given = {"retry": Retry(), "starts": starts, "write": lambda _, record: records.append(record)} | how
    Performer(app, url, **given).register()
    return app, records


def test_a_foreign_message_leaves_a_log_line(lab, settings, caplog):
    app, records = performing(lab.redis_url, settings)
    perform = app.tasks[sending_name("test-write")]
    with Request(perform), caplog.at_level(logging.ERROR, "labkit.celery"):
        assert perform({"task": "nonsense"}) is None
    assert "a message was dropped" in caplog.text
    assert "not one of labkit" in caplog.text
    assert records == []


def test_a_worker_that_is_to_end_while_redis_is_away_leaves_its_task_to_the_broker(settings, tmp_path, monkeypatch):
    """Celery's own way is to drop the message, and the task would be lost."""
    monkeypatch.setattr(performer_module, "PATIENCE", 0.0)
    nowhere = f"unix://{tmp_path}/no-redis.sock"
    app, records = performing(nowhere, settings, is_ending=lambda: True)
    task = new_task("test-write", str(tmp_path / "effects"))
    perform = app.tasks[sending_name("test-write")]
    with Request(perform), pytest.raises(Reject) as rejected:
        perform(envelope(task).to_json())
    assert rejected.value.requeue is True
    assert records == [], "without Redis nobody can tell whether it was done"


def test_an_outcome_that_could_not_be_written_is_written_later_without_the_handler(lab, client, settings, file, caplog):
    heard: list[TaskRecord] = []

    def write(_: Envelope, record: TaskRecord) -> None:
        heard.append(record)
        if len(heard) < 3:
            raise BrokerUnreachable("for a moment")

    app, _ = performing(lab.redis_url, settings, write=write)
    perform = app.tasks[sending_name("test-fail")]
    app.send_task("anything", queue=QUEUE, task_id="waiting")
    task = new_task("test-fail", {"file": file, "times": 9})
    arguments = (envelope(task).to_json(), 3)
    for _ in range(2):
        with Request(perform), pytest.raises(ComesAgain) as again:
            perform(*arguments)
        arguments = json.loads(json.dumps(again.value.sig.args))
    with Request(perform):
        perform(*arguments)
    assert [(record.outcome, record.attempt) for record in heard] == [("dead", 3)] * 3
    assert len(set(heard)) == 1, "what has to be written does not change"
    assert effects(file) == [task.id]
    assert "has to be written later" in caplog.text
    assert Capacity(client, settings).count().taken == 3
    waiting = [json.loads(one)["headers"] for one in client.lrange(level_key(key_prefix(settings), 0), 0, -1)]
    assert [headers["id"] == "waiting" for headers in waiting] == [True, False, False], "an outcome goes first"


def test_a_further_attempt_waits_its_turn_also_after_an_outcome_that_went_first(lab, client, settings, file):
    errors: list[Exception] = [BrokerUnreachable("for a moment")]

    def write(*_: object) -> None:
        if errors:
            raise errors.pop()

    app, _ = performing(lab.redis_url, settings, write=write)
    perform = app.tasks[sending_name("test-fail")]
    arguments = (envelope(new_task("test-fail", {"file": file, "times": 9})).to_json(),)
    headers: dict[str, bool] = {}
    for first in (True, False):
        with Request(perform, headers=headers), pytest.raises(ComesAgain) as again:
            perform(*arguments)
        arguments, headers = json.loads(json.dumps(again.value.sig.args)), again.value.sig.options["headers"]
        assert headers == {FIRST: first}


@pytest.mark.parametrize(("age", "longest", "pause"), [(0.0, 10.0, 1.0), (4.0, 10.0, 4.0), (99.0, 10.0, 10.0)])
def test_the_longer_an_outcome_could_not_be_written_the_longer_it_waits(lab, settings, age, longest, pause):
    def write(*_: object) -> None:
        raise BrokerUnreachable("for long")

    clock = {"clock": lambda: 1000.0 + age, "retry": Retry(longest=longest)}
    app, _ = performing(lab.redis_url, settings, write=write, **clock)
    perform = app.tasks[sending_name("test-fail")]
    to_do = envelope()
    times = {"started_at": 999.0, "finished_at": 1000.0}
    outcome = to_do.record("dead", worker="w", attempt=3, error="no", **times)
    with Request(perform), pytest.raises(ComesAgain) as again:
        perform(*Delivered(to_do, 3, outcome).to_json())
    assert again.value.when == pause


def test_an_attempt_has_not_ended_before_it_was_begun_where_the_clock_is_set_back_meanwhile(lab, settings, file):
    hours = count()
    app, records = performing(lab.redis_url, settings, clock=lambda: 1e9 - 3600 * next(hours))
    perform = app.tasks[sending_name("test-write")]
    with Request(perform):
        perform(envelope(new_task("test-write", file)).to_json())
    (record,) = records
    assert record.started_at <= record.finished_at


def test_what_fails_in_the_worker_itself_is_delivered_again_and_not_without_end(
    lab, settings, file, monkeypatch, caplog
):
    """Celery would drop the message, and the task would be lost."""
    monkeypatch.setattr(performer_module, "RETRY_INTERVAL", 0.0)

    def no_attempt(error: BaseException) -> bool:
        raise Hostile

    monkeypatch.setattr(performer_module, "is_no_attempt", no_attempt)
    app, records = performing(lab.redis_url, settings)
    perform = app.tasks[sending_name("test-fail")]
    arguments = envelope(new_task("test-fail", {"file": file, "times": 99})).to_json()
    for _ in range(DELIVERIES):
        with Request(perform), pytest.raises(Reject) as rejected:
            perform(arguments)
        assert rejected.value.requeue is True
        assert records == []
    with Request(perform):
        perform(arguments)
    assert [(record.outcome, record.attempt) for record in records] == [("dead", DELIVERIES)]
    assert records[0].error.startswith("KillsItsWorker")
    assert len(effects(file)) == DELIVERIES
    assert "has to come again" in caplog.text


def test_a_failure_whose_next_attempt_cannot_be_sent_is_not_made_again_without_end(
    lab, client, settings, file, monkeypatch
):
    monkeypatch.setattr(performer_module, "RETRY_INTERVAL", 0.0)
    starts = TaskStarts(client, settings, run="r")
    writer = OutcomeWriter(lab.redis_url, settings, starts, lambda outcome: None)
    app, _ = performing(lab.redis_url, settings, starts=starts, write=writer.write)
    perform = app.tasks[sending_name("test-fail")]

    def refuse(**_: object) -> None:
        raise Reject(ValueError("it cannot be sent"), requeue=False)

    monkeypatch.setattr(perform, "retry", refuse)
    failing = envelope(new_task("test-fail", {"file": file, "times": 99}))
    for _ in range(DELIVERIES):
        with Request(perform), pytest.raises(Reject) as rejected:
            perform(failing.to_json())
        assert rejected.value.requeue is True
    assert len(effects(file)) == DELIVERIES
    assert starts.begin(failing) == Start(DELIVERIES, to_blame=True)


def test_a_suspect_is_begun_when_it_has_its_worker_for_itself(lab, settings, file):
    asked: list[bool] = []

    class Suspected(TaskStarts):
        def begin(self, envelope: Envelope, *, alone: bool = False) -> Start:
            asked.append(alone)
            assert effects(file) == [], "its start is noted before the handler is called"
            return Start(3, must_be_alone=not alone)

    starts = Suspected(connect(lab.redis_url), settings, run="r")
    app, records = performing(lab.redis_url, settings, starts=starts)
    perform = app.tasks[sending_name("test-write")]
    with Request(perform):
        perform(envelope(task := new_task("test-write", file)).to_json())
    assert asked == [False, True]
    assert (effects(file), [record.outcome for record in records]) == ([task.id], ["done"])


def test_leases_are_renewed_by_one_thread_however_many_tasks_there_are(lab, settings, file):
    def renewing() -> int:
        return sum(thread.name == "labkit-leases" for thread in threading.enumerate())

    app, records = performing(lab.redis_url, settings)
    perform, before = app.tasks[sending_name("test-write")], renewing()
    with Request(perform):
        for _ in range(40):
            perform(envelope(new_task("test-write", file)).to_json())
    assert len(records) == 40
    assert renewing() <= before + 1


def test_each_handler_is_one_celery_task(settings):
    app, _ = performing("redis://r", settings)
    assert app.tasks[celery_name(handler_of("message").handler)] is app.tasks[sending_name("process_file")]


def test_to_ask_a_worker_by_celerys_remote_control_takes_no_room(work):
    assert work.app.control.inspect(timeout=120.0, limit=1).ping()
    work.wait_for_empty()
