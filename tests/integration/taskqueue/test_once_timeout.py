"""A Redis that is frozen under a limit of an attempt's time makes no dead letter, wherever the handler runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from labkit.measure.task_record import DONE
from labkit.taskqueue import DeadLetters, Producer, Retry, Topics, WorkerGroup, new_task
from labkit.taskqueue.once import once
from labkit.taskqueue.run_lease import LEASE_ANSWER_TIMEOUT, connect_redis
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.integration.own_redis import TIMEOUT

#: How long an attempt may take, in seconds: less than Redis is waited for; and where a process is killed when the time
#: is over, whatever it waits for, so much more that only a failure takes it.
SHORT, LONG = LEASE_ANSWER_TIMEOUT / 2, TIMEOUT


def _effect(task):
    with Path(task.payload).open("a") as file:
        file.write(f"{task.id}\n")


@once
def pay(task):
    _effect(task)


@once
async def pay_later(task):
    _effect(task)


@pytest.mark.parametrize(
    ("executor", "handler", "limit"), [("threads", pay, SHORT), ("processes", pay, LONG), ("asyncio", pay_later, SHORT)]
)
def test_frozen_for_longer_than_it_is_waited_for(own_redis, tmp_path, monkeypatch, executor, handler, limit):
    monkeypatch.setenv("LABKIT_REDIS_URL", own_redis.url)
    connect_redis.cache_clear()
    effects = tmp_path / "effects"
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("payments", partitions=1)
        options = {"executor": executor, "timeout": limit, "retry": Retry(attempts=1)}
        with WorkerGroup(topic, workers=1, handler=handler, **options) as group, Producer(topic) as producer:
            producer.send_many([new_task("pay", str(effects))])
            wait_until(effects.exists, timeout=TIMEOUT, what="the handlers were to be ready")
            with own_redis.frozen():
                producer.send_many([new_task("pay", str(effects)) for _ in range(3)])
                is_over = time.monotonic() + 2 * LEASE_ANSWER_TIMEOUT
                wait_until(lambda: time.monotonic() > is_over, timeout=TIMEOUT, what="the wait was to be over")
            records = group.drain(timeout=TIMEOUT)
        assert DeadLetters(topics, "payments").list() == []
    connect_redis.cache_clear()
    assert list(records["outcome"]) == [DONE] * 4
    assert set(records["attempt"]) == {1}
    assert len(effects.read_text().splitlines()) == len(set(effects.read_text().splitlines())) == 4
