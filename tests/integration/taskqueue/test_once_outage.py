"""A worker whose handler is `@once` waits while Redis is away, whatever the reason: no attempt, no second effect."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter

import pytest

from labkit.errors import RedisUnreachable
from labkit.measure.task_record import DONE
from labkit.taskqueue import Producer, Topics, WorkerGroup, new_task
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.once import once
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.integration.own_redis import EACH_STATE, STATES, TIMEOUT

#: Tasks in all; one of them has its effect while Redis is away.
TASKS = 40


class Bank:
    """A handler that counts effects, and the deliveries that were refused since Redis was away."""

    def __init__(self, url):
        self.effects: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._pay = once(url=url)(self._effect)

    def __call__(self, task):
        try:
            self._pay(task)
        except RedisUnreachable:
            self.refused[task.id] += 1
            raise

    def _effect(self, task):
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(TIMEOUT)
        self.effects[task.id] += 1


@pytest.mark.parametrize("state", EACH_STATE)
def test_redis_away_is_no_attempt_and_no_second_effect(own_redis, state, caplog, monkeypatch):
    monkeypatch.setattr("labkit.redis_state.ANSWER_TIMEOUT", 1.0)
    caplog.set_level(logging.WARNING, "labkit.worker")
    bank = Bank(own_redis.url)
    with Topics(MemoryTransport()) as topics, own_redis.client() as client:
        topic = topics.create("payments", partitions=1)
        with WorkerGroup(topic, workers=1, handler=bank, concurrency=4, retry=Retry(attempts=1)) as group:
            with Producer(topic) as producer:
                producer.send_many([new_task("pay", number) for number in range(TASKS)])
            assert bank.begun.wait(TIMEOUT)
            with STATES[state](own_redis):
                bank.go_on.set()
                wait_until(
                    lambda: max(bank.refused.values(), default=0) > 1 and TASKS > len(bank.effects) > 0,
                    timeout=2 * TIMEOUT,
                    what="tasks were to be refused more often than they may be tried",
                )
            records = group.drain(timeout=2 * TIMEOUT)
        assert list(records["outcome"]) == [DONE] * TASKS
        assert set(records["attempt"]) == {1}
        assert set(bank.effects.values()) == {1}
        assert len(bank.effects) == TASKS

        def all_are_marked():
            marks = [client.get(key) for key in client.scan_iter("labkit:once:*")]
            return len(marks) == TASKS and all(mark.startswith(b"done:") for mark in marks)

        wait_until(all_are_marked, timeout=TIMEOUT, what="also the effect during the outage was to be marked")
    said = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    begun, ended = (sum(words in text for text in said) for words in ("waits for Redis", "goes on"))
    # once each for the outage, and once for each time that a busy machine kept Redis from answering
    assert begun == ended >= 1, said


def test_a_run_that_ended_while_redis_was_away_is_not_run_again_by_the_same_process(own_redis):
    effects = []

    @once(url=own_redis.url)
    def pay(task):
        own_redis.kill()
        effects.append(task.id)
        return "paid"

    task = new_task("pay")
    assert pay(task) == "paid", "it is done, and the mark is made later"
    with pytest.raises(RedisUnreachable):
        pay(task)
    own_redis.start()
    assert pay(task) is None
    assert len(effects) == 1


def test_the_same_with_asyncio(own_redis):
    effects = []

    @once(url=own_redis.url)
    async def pay(task):
        own_redis.kill()
        effects.append(task.id)
        return "paid"

    task = new_task("pay")
    assert asyncio.run(pay(task)) == "paid"
    own_redis.start()
    with own_redis.client() as client:
        marks = lambda: [client.get(key) for key in client.scan_iter("labkit:once:*")]  # noqa: E731
        wait_until(
            lambda: any(mark.startswith(b"done:") for mark in marks()), timeout=TIMEOUT, what="the mark was to be made"
        )
    assert asyncio.run(pay(task)) is None
    assert len(effects) == 1


def test_the_handlers_own_error_is_told_though_redis_is_away(own_redis):
    @once(url=own_redis.url)
    def pay(task):
        own_redis.kill()
        raise OSError("the bank is closed")

    with pytest.raises(OSError, match="bank"):
        pay(new_task("pay"))


def test_a_lease_that_ran_out_while_redis_was_away_is_taken_again(own_redis):
    """Else another delivery would begin beside the run that goes on."""
    go_on, begun = threading.Event(), threading.Event()

    @once(url=own_redis.url, lease=0.3)
    def pay(task):
        begun.set()
        assert go_on.wait(TIMEOUT)

    task = new_task("pay")
    runs = threading.Thread(target=pay, args=(task,))
    runs.start()
    assert begun.wait(TIMEOUT)
    with own_redis.client() as client:
        keys = []
        # it is away for a moment where its time ran out by itself
        wait_until(lambda: keys.extend(client.scan_iter("labkit:once:*")) or keys, timeout=TIMEOUT, what="a lease")
        (key,) = keys
        client.delete(key)  # as its time does
        wait_until(lambda: bool(client.exists(key)), timeout=TIMEOUT, what="the lease was to be taken again")
    go_on.set()
    runs.join(TIMEOUT)
