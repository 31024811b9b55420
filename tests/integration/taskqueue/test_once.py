"""`@once` on a real Redis: deliveries in threads, on an event loop, and in processes that are killed and stopped."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from labkit.errors import InProgress, LeaseLost, RedisUnreachable
from labkit.settings import environment_with
from labkit.taskqueue import run_lease
from labkit.taskqueue.once import once
from labkit.taskqueue.run_lease import RunLease, RunState, connect_redis
from labkit.taskqueue.task import Task
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE, eventually

#: Long enough to be renewed in time on a busy machine; and for a run that is to lose its lease, or to wait for another
#: no longer; in seconds.
LEASE, SHORT_LEASE = 10.0, 1.0


@pytest.fixture
def task(unique_name):
    return Task(id=unique_name, kind="pay")


@pytest.fixture
def client(lab):
    with redis.Redis.from_url(lab.redis_url) as client:
        yield client


@pytest.fixture(autouse=True)
def _connections_of_each_test(monkeypatch):
    """Made anew, since tests change what the settings say of Redis; and a Redis that is slow is not away."""
    monkeypatch.setattr(run_lease, "LEASE_ANSWER_TIMEOUT", PATIENCE)
    connect_redis.cache_clear()
    yield
    connect_redis.cache_clear()


# --- deliveries in one process


def test_two_deliveries_have_one_effect(lab, task):
    effects = []

    @once(url=lab.redis_url)
    def pay(task):
        effects.append(task.id)
        return "paid"

    assert pay(task) == "paid"
    assert pay(task) is None
    assert effects == [task.id]


def test_two_deliveries_have_one_effect_with_asyncio(lab, task):
    effects = []

    @once(url=lab.redis_url)
    async def pay(task):
        await asyncio.sleep(0)
        effects.append(task.id)
        return "paid"

    assert asyncio.run(pay(task)) == "paid"
    assert asyncio.run(pay(task)) is None
    assert effects == [task.id]


def test_deliveries_at_once_have_one_effect_and_all_wait_for_it(lab, task):
    start, effects = threading.Barrier(8), []

    @once(url=lab.redis_url)
    def pay(task):
        effects.append(task.id)

    def deliver():
        start.wait(60)
        pay(task)
        return len(effects)

    with ThreadPoolExecutor(8) as pool:
        seen = [delivery.result(60) for delivery in [pool.submit(deliver) for _ in range(8)]]
    assert seen == [1] * 8


def test_deliveries_at_once_have_one_effect_with_asyncio(lab, task):
    effects = []

    @once(url=lab.redis_url)
    async def pay(task):
        await asyncio.sleep(0)
        effects.append(task.id)

    async def deliver():
        await asyncio.gather(*(pay(task) for _ in range(8)))

    asyncio.run(deliver())
    assert effects == [task.id]


def test_a_lease_from_before_the_clock_was_set_back_ends(lab, client, task):
    """Of a run that was killed: one that lives renews it."""
    dead, next_ = (RunLease(client, f"labkit:once:{task.id}", lease=LEASE, ttl=60) for _ in range(2))
    assert dead.begin() is RunState.BEGUN
    client.pexpire(dead.key, 3_600_000)
    assert next_.begin() is RunState.IN_PROGRESS
    assert 0 < client.pttl(dead.key) <= LEASE * 1000
    client.pexpire(dead.key, 1)  # its time passes
    wait_until(lambda: next_.begin() is RunState.BEGUN, timeout=120, what="the lease was to end")


def test_a_handler_that_fails_may_be_tried_again_at_once(lab, task):
    calls = []

    @once(url=lab.redis_url, lease=20)
    def pay(task):
        calls.append(task.id)
        if len(calls) == 1:
            raise OSError("the bank is closed")

    with pytest.raises(OSError, match="bank"):
        pay(task)
    pay(task)
    pay(task)
    assert len(calls) == 2


def test_a_handler_that_is_cancelled_may_be_tried_again_at_once(lab, task):
    calls = []

    @once(url=lab.redis_url, lease=20)
    async def pay(task):
        calls.append(task.id)
        if len(calls) == 1:
            await asyncio.Event().wait()

    async def deliver():
        first = asyncio.create_task(pay(task))
        await eventually(lambda: len(calls) == 1, "the handler was to begin")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await pay(task)

    asyncio.run(deliver())
    assert len(calls) == 2


def test_a_slow_handler_keeps_its_lease_and_the_other_delivery_is_to_come_again(lab, client, task):
    begun, go, calls = threading.Event(), threading.Event(), []

    def work(task):
        calls.append(task.id)
        begun.set()
        assert go.wait(PATIENCE)

    pay, pay_again = (once(url=lab.redis_url, lease=lease)(work) for lease in (LEASE, SHORT_LEASE))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(pay, task)
        assert begun.wait(60)
        try:
            (key,) = client.scan_iter(f"*labkit:once:*:id:{task.id}")
            almost = round(0.9 * LEASE * 1000)
            for _ in range(2):
                client.pexpire(key, almost)
                wait_until(lambda: client.pttl(key) > almost, timeout=120, what="the lease was to be renewed")
                with pytest.raises(InProgress, match=task.id):
                    pay_again(task)
        finally:
            go.set()
        first.result(60)
    pay(task)
    assert len(calls) == 1


def test_the_idempotency_key_goes_before_the_id(lab, unique_name):
    calls = []

    @once(url=lab.redis_url)
    def pay(task):
        calls.append(task.id)

    pay(Task(id="1", kind="pay", idempotency_key=unique_name))
    pay(Task(id="2", kind="pay", idempotency_key=unique_name))
    pay(Task(id=unique_name, kind="pay"))
    assert calls == ["1", unique_name]


def test_each_handler_of_a_task_has_its_effect(lab, task):
    calls = []

    @once(url=lab.redis_url)
    def pay(task):
        calls.append("pay")

    @once(url=lab.redis_url)
    def send_mail(task):
        calls.append("mail")

    for handler in (pay, send_mail, pay, send_mail):
        handler(task)
    assert calls == ["pay", "mail"]


def test_a_task_is_forgotten_after_its_time(lab, task):
    calls = []

    @once(url=lab.redis_url, lease=0.3, ttl=0.3)
    def pay(task):
        calls.append(task.id)

    def deliver():
        pay(task)
        return len(calls) > 1

    wait_until(deliver, timeout=120, what="the task is done a second time")


def test_users_with_a_prefix_of_their_own_share_a_redis(lab, task, client, monkeypatch):
    calls = []

    @once(url=lab.redis_url)
    def pay(task):
        calls.append(task.id)

    for prefix in ("ann.", "bob."):
        monkeypatch.setenv("LABKIT_TOPIC_PREFIX", prefix)
        connect_redis.cache_clear()
        pay(task)
        pay(task)
        assert list(client.scan_iter(f"{prefix}labkit:once:*:id:{task.id}"))
    assert len(calls) == 2


def test_redis_is_looked_for_again_when_it_does_not_answer(lab, task, monkeypatch):
    calls = []

    @once
    def pay(task):
        calls.append(task.id)

    monkeypatch.setenv("LABKIT_REDIS_URL", "unix:///nowhere/redis.sock")
    with pytest.raises(RedisUnreachable):
        pay(task)
    monkeypatch.setenv("LABKIT_REDIS_URL", lab.redis_url)
    pay(task)
    assert calls == [task.id]


# --- the lease itself


def test_every_step_may_be_sent_again_when_its_answer_was_lost(client, unique_name):
    lease = RunLease(client, unique_name, lease=60, ttl=60)
    assert [lease.begin(), lease.begin()] == [RunState.BEGUN, RunState.BEGUN]
    lease.finish()
    lease.finish()
    assert lease.begin() is RunState.DONE


def test_a_run_that_was_overtaken_changes_nothing(client, unique_name):
    late = RunLease(client, unique_name, lease=0.05, ttl=60)
    other = RunLease(client, unique_name, lease=60, ttl=60)
    assert late.begin() is RunState.BEGUN
    wait_until(lambda: other.begin() is RunState.BEGUN, timeout=120, what="the first lease ends")
    before = client.get(unique_name)
    assert not late.renew()
    late.give_back()
    with pytest.raises(LeaseLost):
        late.finish()
    assert client.get(unique_name) == before
    assert client.pttl(unique_name) > 30_000, "nor the other's time"
    other.finish()
    with pytest.raises(LeaseLost):
        late.finish()


def test_a_late_run_that_nobody_overtook_is_done(client, unique_name):
    late = RunLease(client, unique_name, lease=0.05, ttl=60)
    assert late.begin() is RunState.BEGUN
    wait_until(lambda: not client.exists(unique_name), timeout=120, what="the lease ends")
    late.finish()
    assert RunLease(client, unique_name, lease=60, ttl=60).begin() is RunState.DONE


# --- deliveries in processes

WORKER = """
import os, sys
import redis
from labkit.errors import LabkitError
from labkit.taskqueue import run_lease
from labkit.taskqueue.once import once
from labkit.taskqueue.task import Task

run_lease.LEASE_ANSWER_TIMEOUT = 120.0
bank = redis.Redis.from_url(os.environ["LABKIT_REDIS_URL"])

@once(lease=float(sys.argv[2]))
def pay(task):
    print("begun", flush=True)
    sys.stdin.readline()
    bank.incr("paid:" + task.id)

while sys.stdin.readline():
    try:
        pay(Task(id=sys.argv[1], kind="pay"))
    except LabkitError as error:
        print(type(error).__name__, flush=True)
    else:
        print("returned", flush=True)
"""


class WorkerProcess:
    """Has the task delivered when it is told; then stops in the middle of the handler until it is told to go on."""

    def __init__(self, lab, task, lease):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, task.id, str(lease)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment_with(redis_url=lab.redis_url),
        )

    def deliver(self):
        return self._tell()

    def go_on(self):
        return self._tell()

    def _tell(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def workers(lab, task):
    """One whose lease is to end, and another who keeps its own."""
    workers = [WorkerProcess(lab, task, lease) for lease in (SHORT_LEASE, LEASE)]
    yield workers
    for worker in workers:
        worker.process.kill()
        worker.process.communicate()


def test_after_the_lease_of_a_killed_worker_another_runs_the_task(workers, client, task):
    killed, other = workers
    assert killed.deliver() == "begun"
    killed.process.kill()
    assert killed.process.wait(60) == -signal.SIGKILL

    assert other.deliver() == "begun"
    assert other.go_on() == "returned"
    assert other.deliver() == "returned", "without beginning again"
    assert client.get(f"paid:{task.id}") == b"1"


def test_a_worker_that_was_stopped_and_comes_back_does_not_mark_over_the_other(workers, client, task):
    zombie, other = workers
    assert zombie.deliver() == "begun"
    zombie.process.send_signal(signal.SIGSTOP)

    assert other.deliver() == "begun"
    zombie.process.send_signal(signal.SIGCONT)
    assert zombie.go_on() == "LeaseLost"
    assert zombie.deliver() == "InProgress", "the other's lease stands"

    assert other.go_on() == "returned"
    assert zombie.deliver() == "returned", "without beginning again"
    # what @once cannot prevent: the zombie had its effect too before it learned that it was overtaken
    assert client.get(f"paid:{task.id}") == b"2"
