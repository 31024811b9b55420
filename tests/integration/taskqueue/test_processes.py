"""Workers in processes on the real broker: what handlers do to them, and what becomes of them without their parent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from labkit.errors import DeadlineExceeded, WorkerFailed
from labkit.measure.records import read_records
from labkit.settings import Settings, environment_with
from labkit.taskqueue import connect
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.worker_group import worker_process
from labkit.taskqueue.worker_group.group import WorkerGroup
from labkit.taskqueue.worker_group.membership import Membership
from tests import handlers

SETTINGS = Settings(_env_file=None, session_timeout=30.0)
LONG = 60

#: A notebook's kernel: one worker in a process, on the topic of its first argument, with records at its second.
KERNEL = """
import sys, threading
from pathlib import Path
from labkit.lab import attach_lab
from labkit.taskqueue import Membership, Output, WorkerGroup, connect
from tests import handlers
with attach_lab() as lab, connect(lab) as topics:
    topic = topics.get(sys.argv[1])
    options = {"membership": Membership(processes=True), "output": Output(records=Path(sys.argv[2]))}
    group = WorkerGroup(topic, group=sys.argv[1], handler=handlers.run_python, **options)
    group.start()
    print(group._members["worker-1"].pid, flush=True)
    threading.Event().wait()
"""


#: A handler's own process, which is asked to end when it is there.
FORKS = """
import multiprocessing, time
fork = multiprocessing.get_context('fork')
is_there = fork.Event()
def work():
    is_there.set()
    time.sleep(1000)
one = fork.Process(target=work)
one.start()
assert is_there.wait(60)
one.terminate()
one.join(60)
assert one.exitcode == -15, one.exitcode
"""
ONE = Retry(attempts=1)


@pytest.fixture
def topics(lab):
    with connect(lab) as topics:
        yield topics


def send(topic, *codes):
    tasks = [new_task("python", code) for code in codes]
    with Producer(topic, settings=SETTINGS) as producer:
        producer.send_many(tasks)
    return tasks


@pytest.mark.parametrize("executor", ["threads", pytest.param("processes", marks=pytest.mark.long)])
def test_what_a_handler_prints_and_starts_neither_blinds_the_group_nor_decides(topics, unique_name, executor):
    codes = ["print('{}')", "import os; os.system(\"echo '{}'\")", "import os; os.write(1, b'\\xff{}\\n')"]
    failing = [f"{code}; raise ValueError('and yet')" for code in codes]
    with (
        topics.fresh(unique_name, partitions=1) as topic,
        WorkerGroup(
            topic,
            group=unique_name,
            handler=handlers.run_python,
            executor=executor,
            retry=Retry(attempts=1),
            membership=Membership(processes=True),
            settings=SETTINGS,
        ) as group,
    ):
        send(topic, *codes, *failing, "pass")
        records = group.drain(timeout=LONG)
        printed = group.output("worker-1")
    assert list(records["outcome"]) == ["done"] * 3 + ["dead"] * 3 + ["done"]
    if executor == "threads":
        assert sum(line.endswith("{}") for line in printed.splitlines()) == 6
        assert "\N{REPLACEMENT CHARACTER}{}" in printed


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[None]:
    """At the end, also when the test fails, which would wait for it."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.parametrize("processes", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_handler_may_fork_processes_and_end_them(topics, unique_name, processes):
    """The copy has the worker's handlers of signals, and is the one that is meant."""
    topic = topics.create(unique_name, partitions=1)
    group = WorkerGroup(
        topic,
        group=unique_name,
        handler=handlers.run_python,
        membership=Membership(processes=processes),
        settings=SETTINGS,
        retry=ONE,
    )
    with group:
        send(topic, FORKS, "pass")
        records = group.drain(timeout=2 * LONG)
    assert list(records["outcome"]) == ["done", "done"], list(records["error"])


@pytest.mark.long
def test_a_worker_ends_with_a_killed_kernel_whatever_its_handler_does_and_others_go_on(
    lab, topics, unique_name, tmp_path
):
    environment = environment_with(bootstrap_servers=lab.bootstrap_servers, redis_url=lab.redis_url, session_timeout=6)
    # everybody's, as its groups are: a topic of this program's own has other groups here than in the kernel
    topic = topics.create(unique_name, partitions=1)
    send(topic, "pass", "pass")
    command = [sys.executable, "-c", KERNEL, unique_name, tmp_path / "records.parquet"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as kernel, killed(kernel):
        worker = psutil.Process(int(kernel.stdout.readline()))
        parts = tmp_path / "records.parts"
        has_two = lambda: any(parts.glob("*")) and len(read_records(parts)) == 2  # noqa: E731
        wait_until(has_two, timeout=LONG, what="records were to come")
        # a record is there before the commit
        wait_until(
            lambda: topics.lag(unique_name, group=unique_name)[0].lag == 0,
            timeout=LONG,
            what="both were to be committed",
        )
        [task] = send(topic, "import os; os.system('sleep 1000')")
        wait_until(lambda: bool(worker.children()), timeout=LONG, what="the sleep was to begin")
        everybody = [worker, *worker.children(recursive=True)]
    _, alive = psutil.wait_procs(everybody, timeout=LONG)
    assert not alive
    assert list(read_records(parts)["outcome"]) == ["done", "done"], "what was recorded survives"
    with WorkerGroup(topic, group=unique_name, settings=SETTINGS) as next_one:
        records = next_one.drain(timeout=LONG)
    assert set(records["task_id"]) == {task.id}, "the partition and the task went to the next group"


@pytest.mark.long
def test_stop_and_drain_end_in_time_with_a_handler_that_never_returns(topics, unique_name):
    with topics.fresh(unique_name, partitions=1) as topic:
        group = WorkerGroup(
            topic,
            group=unique_name,
            handler=handlers.run_python,
            membership=Membership(processes=True),
            settings=SETTINGS,
        ).start()
        try:
            send(topic, "import os; os.system('sleep 1000')")
            member = group._members["worker-1"]
            assert isinstance(member, worker_process.ProcessMember)
            wait_until(lambda: bool(member.running(1)), timeout=LONG, what="the task was to begin")
            process = psutil.Process(member.pid)
            everybody = [process, *process.children(recursive=True)]
            with pytest.raises(DeadlineExceeded, match=r"1 are left\. In worker-1, task .* has been running for"):
                group.drain(timeout=2)
        finally:
            with pytest.raises(WorkerFailed, match="did not stop within 1 s and was killed"):
                group.stop(timeout=1)
        _, alive = psutil.wait_procs(everybody, timeout=LONG)
        assert not alive
