"""A lab of three brokers: one can be killed at any moment, and nothing acknowledged is lost and nothing stops."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from labkit.errors import LabError, LabkitError
from labkit.lab import Lab, attach_lab, lifecycle
from labkit.lab.condition import wait_for
from labkit.lab.folders import LabFolders
from labkit.lab.lab_status import look
from labkit.lab.state import State, read_state
from labkit.settings import Settings
from labkit.taskqueue import Producer, WorkerGroup
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport import connect_transport
from tests.integration.lab.conftest import consume, pid_exists, produce, said_by_labkit

#: How long a group may take for what it does within a second, in seconds.
PATIENCE = 120.0

Run = Callable[[str], "subprocess.Popen[str]"]

#: Starts the lab with a name, says who its supervisor is, and waits.
OWNER = """
import sys
from labkit.lab import Lab
lab = Lab("default", brokers=3)
print(lab._supervisor.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def three() -> Iterator[Lab]:
    """A private lab of three brokers, of which nothing is left at the end."""
    with Lab(brokers=3) as lab:
        root = Path(lab.redis_url.removeprefix("unix://")).parents[1]
        yield lab
        pids = [pid for pid in lab.brokers.values() if pid is not None]
    assert pids
    assert not any(map(pid_exists, pids))
    assert not root.exists()


def partition(lab: Lab, topic: str) -> Any:
    """What the brokers say of the topic's first partition: `leader`, `replicas`, `isrs`."""
    admin = AdminClient({"bootstrap.servers": lab.bootstrap_servers, "log_level": 0})
    return admin.list_topics(timeout=120).topics[topic].partitions[0]


def coordinator(lab: Lab, group: str) -> int:
    """The broker that answers for the group."""
    admin = AdminClient({"bootstrap.servers": lab.bootstrap_servers, "log_level": 0})
    found: int = admin.describe_consumer_groups([group])[group].result(60).coordinator.id
    return found


@pytest.mark.parametrize("transport", ["kafka-python", "confluent-kafka"])
def test_a_new_topic_is_held_by_all_three(three: Lab, unique_name: str, transport: Any) -> None:
    with Topics(connect_transport(three.connection, transport)) as topics:
        topics.create(unique_name, partitions=2)
        assert topics.describe(unique_name).replication_factor == 3
        topics.create(f"{unique_name}-alone", partitions=1, replication_factor=1)
        assert topics.describe(f"{unique_name}-alone").replication_factor == 1


def test_what_groups_commit_is_held_by_all_three(three: Lab, unique_name: str) -> None:
    produce(three.bootstrap_servers, unique_name, "a record")
    consumer = Consumer({"bootstrap.servers": three.bootstrap_servers, "group.id": unique_name, "log_level": 0})
    consumer.subscribe([unique_name])
    assert wait_for(lambda: consumer.poll(0.1) is None and bool(consumer.assignment()), 60)
    consumer.close()
    assert len(partition(three, "__consumer_offsets").replicas) == 3


def test_sigkill_of_the_leader_loses_no_acknowledged_record(three: Lab, unique_name: str) -> None:
    before, after = [f"record {number}" for number in range(200)], ["written while two are there"]
    produce(three.bootstrap_servers, unique_name, *before)
    leader = partition(three, unique_name).leader
    three.kill_broker(leader)
    assert three.brokers[leader] is None
    assert consume(three.bootstrap_servers, unique_name, len(before)) == before
    produce(three.bootstrap_servers, unique_name, *after)
    assert partition(three, unique_name).leader != leader

    three.restart_broker(leader)
    assert three.brokers[leader] is not None
    assert wait_for(lambda: sorted(partition(three, unique_name).isrs) == [1, 2, 3], 60), "it has caught up"
    assert consume(three.bootstrap_servers, unique_name, 201) == before + after


@pytest.mark.long
@pytest.mark.parametrize("transport", ["kafka-python", "confluent-kafka"])
def test_a_group_goes_on_when_the_broker_that_answered_for_it_is_killed(
    three: Lab, unique_name: str, transport: Any
) -> None:
    with Topics(connect_transport(three.connection, transport)) as topics:
        topic = topics.create(unique_name, partitions=2)
        with Producer(topic) as producer, WorkerGroup(topic, group=unique_name, workers=2) as group:
            producer.send_many(stock_tasks(20, seed=1))
            assert len(group.drain(timeout=PATIENCE)) == 20
            killed = coordinator(three, unique_name)
            three.kill_broker(killed)
            producer.send_many(stock_tasks(20, seed=2))
            assert set(group.drain(timeout=PATIENCE)["task_id"]) == {
                task.id for seed in (1, 2) for task in stock_tasks(20, seed=seed)
            }
            group.wait_until_balanced(timeout=PATIENCE)
            topics.create(f"{unique_name}-2", partitions=1)
            three.restart_broker(killed)
            topics.delete(f"{unique_name}-2")
            assert [place.lag for place in group.lag()] == [0, 0]


@pytest.mark.long
def test_one_that_is_missing_is_noticed_and_up_starts_it_alone_and_all_die_with_the_owner(
    own_settings: Settings, folders: LabFolders, caplog: pytest.LogCaptureFixture, in_another_process: Run
) -> None:
    owner = in_another_process(OWNER)
    assert owner.stdout is not None
    supervisor = int(owner.stdout.readline())
    with attach_lab(settings=own_settings) as lab:
        before = lab.brokers
        assert lab.bootstrap_servers.startswith(f"127.0.0.1:{own_settings.port},")
        lab.kill_broker(2)
        found = look("default", own_settings)
        assert (found.running, found.problem) == (
            True,
            "Kafka 2 was ended by SIGKILL. `labkit up` starts it again with its data.",
        )
        assert [server.pid is None for server in found.servers] == [False, True, False, False, False]

        state, started = lifecycle.up("default", folders, own_settings)
        assert not started
        assert said_by_labkit(caplog) == [
            "Kafka 2 was ended by SIGKILL. It is started again with all data, and the rest goes on."
        ]
        assert look("default", own_settings).problem is None
        assert (state.supervisor.pid, state.bootstrap_servers) == (supervisor, lab.bootstrap_servers)
        assert {node for node, pid in lab.brokers.items() if pid != before[node]} == {2}
        pids = [supervisor, lab.redis_pid or 0, *(pid or 0 for pid in lab.brokers.values())]
    with pytest.raises(LabkitError, match=r"made with 3 brokers.*labkit reset"):
        lifecycle.up("default", folders, own_settings, brokers=1)

    owner.kill()
    owner.wait()
    assert wait_for(lambda: not any(map(pid_exists, pids)), 60), "nor is the one left that was started again"
    assert read_state(folders.state) is None
    with pytest.raises(LabError, match=r"made with 3 brokers.*labkit reset"):
        lifecycle.up("default", folders, own_settings, brokers=1)


@pytest.mark.long
def test_a_restart_that_was_cut_off_before_it_was_noted_is_known_by_the_next_start(
    own_settings: Settings, folders: LabFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lab("default", brokers=3, settings=own_settings) as lab:
        lab.kill_broker(3)
        with monkeypatch.context() as cut_off:
            cut_off.setattr(State, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                lab.restart_broker(3)
        state, started = lifecycle.up("default", folders, own_settings)
        assert not started
        assert not state.missing()
        assert wait_for(lambda: look("default", own_settings).problem is None, 60)


def interrupted(state: State, path: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.long
def test_the_one_broker_of_a_lab_is_killed_and_started_again(unique_name: str) -> None:
    with Lab() as lab:
        (first,) = lab.brokers.values()
        values = [f"record {number}" for number in range(100)]
        produce(lab.bootstrap_servers, unique_name, *values)
        lab.kill_broker()
        assert lab.brokers == {1: None}
        lab.restart_broker()
        assert lab.brokers[1] not in (None, first)
        assert consume(lab.bootstrap_servers, unique_name, 100) == values
        (second,) = lab.brokers.values()
        lab.restart_broker()  # one that runs is ended first
        assert not pid_exists(second or 0)
        assert consume(lab.bootstrap_servers, unique_name, 100) == values
        with pytest.raises(LabError, match="no broker 2"):
            lab.kill_broker(2)


@pytest.mark.parametrize("number", [0, 2, 4, 7])
def test_a_number_that_would_not_do(number: int) -> None:
    with pytest.raises(
        LabkitError,
        match=f"1, 3 or 5 brokers, not {number}|'brokers' of Lab is {number}; give a whole number from 1 to 5",
    ):
        Lab(brokers=number)
