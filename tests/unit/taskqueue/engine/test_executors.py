"""Whatever comes out of a handler is an outcome, in threads, on an asyncio loop and in processes."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from contextlib import closing

import pytest

from labkit.errors import SettingsError, TransportError
from labkit.settings import Settings
from labkit.taskqueue.engine.handler import Work, topic_id_of_task
from labkit.taskqueue.engine.worker_config import Retry, WorkerConfig
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import Task, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.worker_group.group import WorkerGroup
from labkit.taskqueue.worker_group.group_output import Output
from labkit.taskqueue.worker_group.worker import Worker
from tests import handlers
from tests.refused_threads import refuse_threads
from tests.unit.taskqueue.breakdown import break_down

SETTINGS = Settings(_env_file=None)
ODD = [*handlers.RAISES, *handlers.RETURNS]
OF = {"threads": handlers.misbehave, "asyncio": handlers.misbehave_later, "processes": handlers.misbehave}


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        topics.create("t", partitions=1)
        yield topics


def run(topics: Topics, handler, payloads, **how):
    """The records of these tasks, after a worker of its own was through with all of them."""
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        producer.send_many([new_task("odd", payload) for payload in payloads])
    records = []
    config = WorkerConfig(**({"retry": Retry(attempts=1), "order": "none", "concurrency": 3} | how))
    worker = Worker(topics.get("t"), name="w", group="g", work=Work(handler), config=config, on_record=records.append)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: not sum(p.lag for p in topics.lag("t", group="g")), timeout=60, what="all was to be done")
    worker.stop()
    thread.join(60)
    assert not thread.is_alive()
    return sorted(records, key=lambda record: record.offset)


@pytest.mark.parametrize("executor", OF)
def test_whatever_comes_out_of_a_handler_is_an_outcome(topics, executor):
    payloads = [payload for odd in ODD for payload in (odd, "well")]
    records = run(topics, OF[executor], payloads, executor=executor, concurrency=1)
    assert [record.outcome for record in records] == ["dead", "done"] * len(ODD)
    assert topics.end_offsets("t.dead") == {0: len(ODD)}
    told = {payload: record.error for payload, record in zip(payloads, records, strict=True) if record.error}
    for error in told.values():
        error.encode()
        assert len(error) < 20_000
    assert told["error"].startswith("ValueError: no\n")
    assert told["exit"].startswith("SystemExit: 0\n")
    for odd in handlers.RAISES.keys() - {"half a character", "large"}:  # those are no first ones of their kind
        assert "handlers.py" in told[odd], "the handler's own line is shown"
    for odd in handlers.RETURNS:
        assert "HandlerNotRun: The handler returned a" in told[odd]


FORKS = [
    ("threads", handlers.come_back_twice, ["returns", "raises", "exits"]),
    ("processes", handlers.come_back_twice, ["returns", "raises", "exits"]),
    ("asyncio", handlers.come_back_twice_later, ["returns", "raises", "exits", "awaits", "in a task", "in a thread"]),
]


@pytest.mark.parametrize(("executor", "handler", "ways"), FORKS, ids=[executor for executor, *_ in FORKS])
def test_a_handler_that_forks_and_comes_back_twice_has_one_outcome(topics, executor, handler, ways):
    payloads = [payload for way in ways for payload in (way, "well")]
    records = run(topics, handler, payloads, executor=executor, concurrency=1)
    assert [(record.outcome, record.error) for record in records] == [("done", None)] * len(payloads)


def cancels_itself(task: Task):
    asyncio.current_task().cancel()


def cancels_all(task: Task):
    for running in asyncio.all_tasks():
        running.cancel()


def stops_the_loop(task: Task):
    asyncio.get_running_loop().stop()


def ends_in_a_task_of_its_own(task: Task):
    async def end() -> None:
        raise SystemExit(7)

    return asyncio.ensure_future(end())


@pytest.mark.parametrize(
    ("act", "outcome"),
    [(cancels_itself, "dead"), (cancels_all, "dead"), (stops_the_loop, "done"), (ends_in_a_task_of_its_own, "dead")],
)
def test_a_handler_on_the_loop_cannot_end_the_loop_nor_lose_a_task(topics, act, outcome):
    async def handler(task):
        if task.payload == "act":
            of_its_own = act(task)
            await asyncio.sleep(0)
            if of_its_own is not None:
                await of_its_own

    records = run(topics, handler, ["act", "well", "act", "well"], executor="asyncio", concurrency=1)
    assert [record.outcome for record in records] == [outcome, "done"] * 2


def test_one_that_cancels_the_others_loses_none_of_them(topics):
    async def handler(task):
        if task.payload == "act":
            cancels_all(task)
        await asyncio.sleep(0.001)

    records = run(topics, handler, ["well", "act", "well"] * 10, executor="asyncio", concurrency=7)
    assert len(records) == 30
    assert {record.outcome for record in records} <= {"done", "dead"}
    assert {record.error.split("\n")[0] for record in records if record.error} == {"CancelledError"}


def test_only_the_time_limit_of_the_executor_is_a_time_out(topics):
    async def handler(task):
        if task.payload == "slow":
            await asyncio.sleep(60)
        raise TimeoutError("of its own")

    records = run(topics, handler, ["slow", "quick"], executor="asyncio", timeout=0.05)
    assert records[0].error.startswith("TaskTimedOut: It took longer than 0.05 s")
    assert records[1].error.startswith("TimeoutError: of its own")


def test_the_same_error_object_again_and_again_does_not_grow(topics):
    error = ValueError("the same")

    def handler(task):
        raise error

    records = run(topics, handler, [None] * 50)
    assert {record.outcome for record in records} == {"dead"}
    assert error.__traceback__ is None


class FailingHandler(logging.Handler):
    def handle(self, record):
        raise OSError("the disk is full")


def test_a_log_that_cannot_be_written_stops_nobody(topics, capsys, caplog):
    caplog.set_level("INFO", logger="labkit.task")
    failing = FailingHandler()
    loggers = [logging.getLogger("labkit.task"), logging.getLogger("labkit.worker")]
    for logger in loggers:
        logger.addHandler(failing)
    try:
        records = run(topics, handlers.misbehave, ["error", "well"])
    finally:
        for logger in loggers:
            logger.removeHandler(failing)
    assert [record.outcome for record in records] == ["dead", "done"]
    assert "could not write to its log: OSError: the disk is full" in capsys.readouterr().err


def generator(task):
    yield task


async def coroutine(task): ...


@pytest.mark.parametrize("handler", [generator, functools.partial(generator), "no function"])
def test_a_handler_that_would_never_run_is_refused_at_the_start(topics, handler):
    with pytest.raises(SettingsError, match=r"would never run|give something that can be called"):
        WorkerGroup(topics.get("t"), handler=handler, settings=SETTINGS)


def test_a_partial_of_a_coroutine_runs_on_the_loop(topics):
    ran = []

    async def work(ran, task):
        ran.append(task.payload)

    with (
        WorkerGroup(topics.get("t"), handler=functools.partial(work, ran), settings=SETTINGS) as group,
        Producer(topics.get("t"), settings=SETTINGS) as producer,
    ):
        producer.send_many([new_task("k", number) for number in range(3)])
        records = group.drain(timeout=60)
    assert ran == [0, 1, 2]
    assert set(records["outcome"]) == {"done"}


def test_a_groups_on_record_may_fail_and_its_first_failure_is_told_once(topics, caplog):
    def on_record(record):
        raise RuntimeError("no room")

    how = {"retry": Retry(attempts=1), "workers": 1, "settings": SETTINGS}
    with (
        WorkerGroup(topics.get("t"), handler=handlers.misbehave, output=Output(on_record=on_record), **how) as group,
        Producer(topics.get("t"), settings=SETTINGS) as producer,
    ):
        producer.send_many([new_task("k", "error") for _ in range(5)])
        records = group.drain(timeout=60)
    assert list(records["outcome"]) == ["dead"] * 5
    assert list(records["error"].str.contains("handlers.py")) == [True] + [False] * 4


@pytest.mark.parametrize("executor", ["threads", "asyncio"])
def test_an_attempt_knows_of_which_topic_its_task_was_read(topics, executor):
    seen = []

    def in_thread(task):
        seen.append(topic_id_of_task())

    async def on_loop(task):
        seen.append(topic_id_of_task())

    run(topics, on_loop if executor == "asyncio" else in_thread, [1], executor=executor)
    with closing(topics.transport.admin()) as admin:
        assert seen == [admin.topic_ids(["t"])["t"]]


def test_a_worker_whose_executor_fails_ends_the_handlers_that_run(topics):
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        producer.send_many([new_task("k"), new_task("k")])
    how = {"config": WorkerConfig(order="none", concurrency=2), "on_record": lambda record: None}
    worker = Worker(topics.get("t"), name="w", group="g", work=Work(handlers.misbehave), **how)
    assert break_down(worker).closed.is_set()


@pytest.mark.parametrize("executor", ["threads", "asyncio"])
def test_a_worker_whose_executor_cannot_begin_ends_and_leaves_no_thread(topics, monkeypatch, executor):
    """The first thread of two is there already."""
    refuse_threads(monkeypatch, "w", "w-2")
    config = WorkerConfig(executor=executor, order="none", concurrency=2)
    work = Work(OF[executor])
    worker = Worker(topics.get("t"), name="w", group="g", work=work, config=config, on_record=lambda record: None)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        worker.run()
    assert not worker.status().running
    assert worker._executor.join(60)
    with pytest.raises(TransportError, match="closed"):
        worker._client.poll(0)
