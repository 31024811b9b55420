"""`@once` under a limit of an attempt's time: a Redis that is late costs no attempt, and no second effect."""

from __future__ import annotations

from collections import Counter

import pytest
import redis

from labkit.errors import RedisUnreachable
from labkit.measure.task_record import DONE
from labkit.taskqueue import Producer, Retry, Topics, WorkerGroup, new_task
from labkit.taskqueue import once as once_module
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.handler import check_time, time_left
from labkit.taskqueue.once import once
from labkit.taskqueue.run_lease import _BEGIN, _FINISH, LEASE_ANSWER_TIMEOUT, RunState, connect_redis
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.memory import MemoryTransport

TIMEOUT = 60.0
#: The limit of an attempt, in seconds, and how much later than that Redis answers.
LIMIT, LATE = 0.3, 0.1


class LateRedis:
    """Has what it is told, and answers one script of one kind only after the time of the attempt is over."""

    def __init__(self, late_script):
        self._late_script = late_script
        self.found: dict[str, str] = {}
        self.late = 0

    def eval(self, script, _, key, token, *times):
        if script == self._late_script and not self.late:
            self.late += 1
            wait_until(lambda: time_left() < -LATE, timeout=TIMEOUT, what="the time of the attempt was to be over")
        if script == _BEGIN:
            found = self.found.setdefault(key, f"run:{token}")
            if found != f"run:{token}":
                return RunState.DONE if found.startswith("done:") else RunState.IN_PROGRESS
            return RunState.BEGUN
        if script == _FINISH:
            self.found[key] = f"done:{token}"
        elif self.found.get(key) == f"run:{token}":
            del self.found[key]
        return 1


def handlers(effects):
    def pay(task):
        check_time()
        effects[task.id] += 1

    async def pay_later(task):
        check_time()
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
    assert late.late == 1
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


def test_the_client_waits_no_longer_than_an_attempt_can():
    client, _ = connect_redis("redis://127.0.0.1:1/0")
    settings = client.get_connection_kwargs()
    assert settings["socket_timeout"] == LEASE_ANSWER_TIMEOUT <= 1.0
    assert settings["socket_connect_timeout"] <= LEASE_ANSWER_TIMEOUT
    connect_redis.cache_clear()
