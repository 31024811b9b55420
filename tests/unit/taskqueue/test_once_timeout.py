"""`@once` under a limit of an attempt's time: a Redis that is late costs no attempt, and no second effect.

No handler here fails when its time is over, so that a machine that stands still for a while changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from labkit.errors import RedisUnreachable, TryAgainLater
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import DONE
from labkit.outage import Outage
from labkit.taskqueue import Producer, Retry, Topics, WorkerGroup, new_task
from labkit.taskqueue import once as once_module
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.handler import task_deadline, time_left
from labkit.taskqueue.once import once
from labkit.taskqueue.run_lease import _BEGIN, _FINISH, _GIVE_BACK, LEASE_ANSWER_TIMEOUT, RunState, connect_redis
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.conditions import eventually

TIMEOUT = 60.0
#: The limit of an attempt, in seconds, and how much later than that Redis answers.
LIMIT, LATE = 0.3, 0.1


class LateRedis:
    """Has what it is told, and answers one script of one kind only after the time of the attempt is over."""

    def __init__(self, late_script):
        self._late_script = late_script
        self.found: dict[str, str] = {}
        #: the tokens of the runs that were answered too late, and of those that gave their leases back
        self.late: list[str] = []
        self.given_back: list[str] = []

    def eval(self, script, _, key, token, *times):
        if script == self._late_script and not self.late:
            self.late.append(token)
            wait_until(lambda: time_left() < -LATE, timeout=TIMEOUT, what="the time of the attempt was to be over")
        if script == _BEGIN:
            found = self.found.setdefault(key, f"run:{token}")
            if found != f"run:{token}":
                return RunState.DONE if found.startswith("done:") else RunState.IN_PROGRESS
            return RunState.BEGUN
        if script == _FINISH:
            self.found[key] = f"done:{token}"
        elif script == _GIVE_BACK and self.found.get(key) == f"run:{token}":
            del self.found[key]
            self.given_back.append(token)
        return 1


def handlers(effects):
    def pay(task):
        effects[task.id] += 1

    async def pay_later(task):
        effects[task.id] += 1

    return {"threads": pay, "asyncio": pay_later}


@pytest.mark.parametrize("executor", ["threads", "asyncio"])
@pytest.mark.parametrize("late_script", [_BEGIN, _FINISH], ids=["before it begins", "after its end"])
def test_a_redis_that_is_late_costs_no_attempt_and_has_no_second_effect(monkeypatch, executor, late_script):
    late, effects = LateRedis(late_script), Counter()
    monkeypatch.setattr(once_module, "connect_redis", lambda _: (late, ""))
    handler = once(handlers(effects)[executor])
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("payments", partitions=1)
        options = {"executor": executor, "timeout": LIMIT, "retry": Retry(attempts=1)}
        with WorkerGroup(topic, workers=1, handler=handler, **options) as group:
            with Producer(topic) as producer:
                producer.send_many([new_task("pay", number) for number in range(3)])
            records = group.drain(timeout=TIMEOUT)
        assert DeadLetters(topics, "payments").list() == []
    assert list(records["outcome"]) == [DONE] * 3
    assert set(records["attempt"]) == {1}
    assert list(effects.values()) == [1] * 3
    assert len(late.late) == 1
    assert set(late.late) <= set(late.given_back) or late_script == _FINISH, "the handler was called after its time"
    is_marked = lambda: all(found.startswith("done:") for found in late.found.values())  # noqa: E731
    wait_until(is_marked, timeout=TIMEOUT, what="all were to be marked")


def test_a_beginning_that_redis_comes_to_after_its_time_keeps_nobody_waiting(monkeypatch):
    effects, late = [], LateRedis(None)
    answer = late.eval

    def frozen(*words):
        answer(*words)  # as it does when it goes on, after nobody has waited for the answer
        raise redis.TimeoutError("Timeout reading from socket")

    monkeypatch.setattr(once_module, "connect_redis", lambda _: (late, ""))
    pay = once(lease=TIMEOUT)(lambda task: effects.append(task.id))
    task = new_task("pay")
    late.eval = frozen
    for _ in range(2):
        with pytest.raises(RedisUnreachable):
            pay(task)
    late.eval = answer
    pay(task)
    pay(task)
    assert effects == [task.id]


class HeldRedis(LateRedis):
    """Answers at once; another run holds every lease until the time of the attempt is over."""

    def __init__(self):
        super().__init__(None)

    def eval(self, script, _, key, token, *times):
        if script == _BEGIN and time_left() > 0:
            return RunState.IN_PROGRESS
        return super().eval(script, _, key, token, *times)


async def deliver(handler, task):
    async with asyncio.timeout(LIMIT):
        await handler(task)


@pytest.mark.parametrize("executor", ["threads", "asyncio"])
def test_redis_is_not_blamed_where_another_run_has_taken_the_time(monkeypatch, caplog, executor):
    caplog.set_level(logging.INFO)
    held, effects = HeldRedis(), Counter()
    outage = Outage(safe_logger("labkit.worker"), "a test", "Redis")
    monkeypatch.setattr(once_module, "connect_redis", lambda _: (held, ""))
    pay = once(lease=TIMEOUT, outage=outage)(handlers(effects)[executor])
    task = new_task("pay")
    with task_deadline(LIMIT), pytest.raises(TryAgainLater, match="time of this attempt was over") as raised:
        pay(task) if executor == "threads" else asyncio.run(deliver(pay, task))
    assert type(raised.value) is TryAgainLater
    assert "Redis" not in str(raised.value)
    assert not outage.on
    assert "Redis" not in caplog.text
    assert not effects
    wait_until(lambda: not held.found, timeout=TIMEOUT, what="a lease that came too late was to be given back")


class GatedRedis(LateRedis):
    """Answers no beginning until it is let go on."""

    def __init__(self):
        super().__init__(None)
        self.asked, self.go_on = threading.Event(), threading.Event()

    def eval(self, script, _, key, token, *times):
        if script == _BEGIN:
            self.asked.set()
            assert self.go_on.wait(TIMEOUT)
        return super().eval(script, _, key, token, *times)


@pytest.mark.parametrize("passes", [None, *range(6)])
def test_a_delivery_that_is_cancelled_anywhere_keeps_no_later_one_waiting(monkeypatch, passes):
    """Before Redis answers (None), or after so many passes of the loop, of which the first brings the answer to it: the
    lease is there, and the coroutine does not know it yet. From some pass on the handler has been called.
    """
    gated, effects, task = GatedRedis(), [], new_task("pay")
    monkeypatch.setattr(once_module, "connect_redis", lambda _: (gated, ""))

    @once(lease=TIMEOUT)
    async def pay(task):
        effects.append(task.id)

    async def cancel_and_deliver_again():
        thread = ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(thread)
        running = asyncio.ensure_future(pay(task))
        await eventually(gated.asked.is_set, "Redis was to be asked")
        if passes is not None:
            gated.go_on.set()
            thread.submit(lambda: None).result(TIMEOUT)  # behind the answer; meanwhile the loop stands still
            for _ in range(passes):
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        gated.go_on.set()
        await pay(task)

    asyncio.run(cancel_and_deliver_again())
    assert effects == [task.id]
    assert [found.partition(":")[0] for found in gated.found.values()] == ["done"]


def test_a_delivery_that_is_cancelled_before_it_asks_forgets_no_beginning_that_was_not_answered(monkeypatch):
    late, effects, task = LateRedis(None), [], new_task("pay")
    answer, connected, go_on = late.eval, threading.Event(), threading.Event()
    go_on.set()

    def frozen(*words):
        answer(*words)
        raise redis.TimeoutError("Timeout reading from socket")

    def connect(_):
        connected.set()
        assert go_on.wait(TIMEOUT)
        return late, ""

    monkeypatch.setattr(once_module, "connect_redis", connect)

    @once(lease=TIMEOUT)
    async def pay(task):
        effects.append(task.id)

    async def cancel():
        connected.clear()
        go_on.clear()
        running = asyncio.ensure_future(pay(task))
        await eventually(connected.is_set, "it was to connect")
        running.cancel()
        await asyncio.wait([running])
        go_on.set()  # and the end of the loop waits for the thread

    late.eval = frozen
    with pytest.raises(RedisUnreachable):
        asyncio.run(pay(task))
    asyncio.run(cancel())
    late.eval = answer
    asyncio.run(pay(task))
    assert effects == [task.id]


def test_the_client_waits_no_longer_than_an_attempt_can():
    client, _ = connect_redis("redis://127.0.0.1:1/0")
    settings = client.get_connection_kwargs()
    assert settings["socket_timeout"] == LEASE_ANSWER_TIMEOUT <= 1.0
    assert settings["socket_connect_timeout"] <= LEASE_ANSWER_TIMEOUT
    connect_redis.cache_clear()
