"""Any two programs with default names run side by side undisturbed.

The tests of the notebooks run them so: several at once, on the one lab of the run.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from labkit.dispatch import CelerySession
from labkit.errors import UnknownTopic
from labkit.lab import Lab
from labkit.policies import PriorityClass
from labkit.taskqueue import Producer, WorkerGroup, connect, new_task, stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.contract import ConsumerConfig

ROOT = Path(__file__).parents[2]

#: So long may a program take on a computer that has much else to do, in seconds.
LONGEST = 280

#: What the README shows, and how many tasks of whom it saw.
AFTER = "\nprint(records['outcome'].value_counts().to_dict(), records['worker'].nunique())"


@pytest.fixture
def environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_BOOTSTRAP_SERVERS", lab.bootstrap_servers)
    monkeypatch.setenv("LABKIT_REDIS_URL", lab.redis_url)


def snippet() -> str:
    (code,) = re.findall(r"```python\n(import labkit\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return code + AFTER


def at_once(*commands: list[str], cwd: Path) -> list[tuple[int, str, str]]:
    """Run all of these at the same time; how each ended and what it said."""
    running = [
        subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    try:
        said = [process.communicate(timeout=LONGEST) for process in running]
    finally:
        for process in running:
            process.kill()
            process.communicate()
    return [(process.returncode, *words) for process, words in zip(running, said, strict=True)]


@pytest.mark.long
@pytest.mark.usefixtures("environment")
def test_the_lines_of_the_readme_twice_at_once(tmp_path: Path, lab: Lab) -> None:
    program = [sys.executable, "-c", snippet()]
    for status, out, err in at_once(program, program, cwd=tmp_path):
        assert (status, out) == (0, "{'done': 200} 2\n"), err
    with connect(lab) as topics:
        assert "task_queue" not in topics.names()


def test_two_groups_of_default_names_on_two_topics_see_their_own_tasks(lab: Lab) -> None:
    with (
        connect(lab) as ann,
        connect(lab) as bob,
        ann.fresh("aa", partitions=2) as one,
        bob.fresh("bb", partitions=3) as other,
        WorkerGroup(one, workers=2) as anns,
        WorkerGroup(other, workers=2) as bobs,
    ):
        for topic, group, seed in ((one, anns, 1), (other, bobs, 2)):
            tasks = stock_tasks(20, seed=seed)
            with Producer(topic) as producer:
                producer.send_many(tasks)
            assert set(group.drain(timeout=120)["task_id"]) == {task.id for task in tasks}


def test_a_books_consumer_joins_the_workers_of_a_shared_topic(lab: Lab, unique_name: str) -> None:
    with connect(lab) as topics:
        topic = topics.create(unique_name, partitions=2)
        with WorkerGroup(topic) as group:
            assert group.assignment() == {"worker-1": (0, 1)}
            held: list[int] = []
            config = ConsumerConfig(group="worker_group", client_id="from-a-book")
            with closing(topic.transport.consumer(config)) as consumer:
                consumer.subscribe(
                    [unique_name],
                    on_assigned=lambda got: held.extend(tp.partition for tp in got),
                    on_revoked=lambda lost: held.clear(),
                )

                def shared() -> bool:
                    consumer.poll(0.1)
                    return len(held) == 1 and len(group.assignment()["worker-1"]) == 1

                wait_until(shared, timeout=120, what="the consumer was to get a partition")
        topics.delete(unique_name)


#: A program that ends by SIGKILL in the block of its fresh topic.
KILLED = """
import os, signal, sys
from labkit.lab.connection import Connection
from labkit.taskqueue import Producer, Topics, stock_tasks
from labkit.taskqueue.transport import connect_transport

topics = Topics(connect_transport(Connection(bootstrap_servers=sys.argv[1]), "kafka-python"))
with topics.fresh(sys.argv[2], partitions=2) as topic, Producer(topic) as producer:
    producer.send_many(stock_tasks(3, seed=1))
    topics.create(f"{sys.argv[2]}.dead", partitions=1)
    print("ready", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_behind(lab: Lab, name: str, cwd: Path) -> None:
    [(status, out, err)] = at_once([sys.executable, "-c", KILLED, lab.bootstrap_servers, name], cwd=cwd)
    assert (status, out) == (-signal.SIGKILL, "ready\n"), err


@pytest.mark.usefixtures("environment")
def test_what_a_killed_program_has_left_is_in_nobodys_way(lab: Lab, unique_name: str, tmp_path: Path) -> None:
    leave_behind(lab, unique_name, tmp_path)
    with connect(lab) as topics:
        with pytest.raises(UnknownTopic, match=unique_name):
            topics.get(unique_name)
        topics.create(unique_name, partitions=4)
        assert topics.end_offsets(unique_name) == {0: 0, 1: 0, 2: 0, 3: 0}
        with topics.fresh("mine", partitions=1):
            found = topics.transport.admin().list_topics()
        assert [name for name in found if unique_name in name] == [unique_name]
        topics.delete(unique_name)


@pytest.mark.usefixtures("environment")
def test_who_produces_while_a_notebook_has_a_fresh_topic_of_that_name_loses_nothing(lab: Lab, unique_name: str) -> None:
    """With the commands as they are, in another terminal."""
    labkit = [sys.executable, "-m", "labkit"]
    with connect(lab) as topics:
        with topics.fresh(unique_name, partitions=2), Producer(topics.get(unique_name)) as producer:
            producer.send_many(stock_tasks(3, seed=1))
            [(status, _, err)] = at_once(
                [*labkit, "produce", "--count", "20", "--rate", "1000", "--topic", unique_name], cwd=ROOT
            )
            assert status == 0, err
        assert sum(topics.end_offsets(unique_name).values()) == 20
        topics.delete(unique_name)


def sent_to(session: CelerySession, tasks: int) -> set[str]:
    with Producer(session.topic("high")) as producer:
        return {receipt.task_id for receipt in producer.send_many(new_task("sleep", 0.001) for _ in range(tasks))}


def test_two_celery_sessions_read_each_their_own_records_and_leave_nothing(lab: Lab) -> None:
    known = [PriorityClass(name="high")]
    with (
        CelerySession(lab, classes=known, concurrency=1, pool="threads") as one,
        CelerySession(lab, classes=known, concurrency=1, pool="threads") as other,
    ):
        sent = {session: sent_to(session, tasks) for session, tasks in ((one, 10), (other, 15))}
        for session, ids in sent.items():
            assert set(session.drain(timeout=120)["task_id"]) == ids
        own = {session.topic("high").full_name for session in (one, other)}
    with connect(lab) as topics:
        assert len(own) == 2
        assert not own & set(topics.transport.admin().list_topics())
