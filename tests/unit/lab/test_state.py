"""What is noted about a lab, and how a process is told from another that has got its pid."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.lab.folders import LabFolders
from labkit.lab.process_id import ProcessId, process_id
from labkit.lab.state import Broker, State, read_state, running_state
from labkit.settings import Settings


def own_process() -> ProcessId:
    found = process_id(os.getpid())
    assert found is not None
    return found


def ended_process() -> ProcessId:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)
    found = process_id(child.pid)
    assert found is not None
    child.wait()
    return found


@pytest.fixture
def state() -> State:
    here = own_process()
    return State(
        supervisor=here,
        owner=None,
        brokers=(Broker(node=1, process=here, port=9092, controller_port=9),),
        redis=here,
        socket="/tmp/redis.sock",
        versions={"kafka": "Kafka 4.4.0"},
        started_at=1.5,
        ready=True,
    )


def test_a_state_comes_back_as_it_was_written(state: State, tmp_path: Path) -> None:
    state.write(tmp_path / "state.json")
    assert read_state(tmp_path / "state.json") == state
    three = state.evolve(brokers=brokers(*[own_process()] * 3))
    three.write(tmp_path / "state.json")
    assert read_state(tmp_path / "state.json") == three
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", "null", '{"format": 0}', '{"format": 2, "keeper": 3}', '{"format": 3, "supervisor": 3}'),
        """{"format": 3, "supervisor": {"pid": "7", "birth": 1}, "owner": null, "brokers": [], "redis": null,
        "socket": null, "versions": {}, "started_at": 1}""",
    ],
)
def test_a_file_that_cannot_be_understood_is_no_state(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert read_state(tmp_path / "state.json") is None


def test_a_lab_runs_when_it_is_ready_and_all_its_processes_are_there(state: State) -> None:
    gone = ended_process()
    assert state.running()
    assert state.evolve(redis=None).running()
    assert not state.evolve(ready=False).running()
    for name in ("supervisor", "redis", "owner"):
        assert not state.evolve(**{name: gone}).running()
    assert not state.evolve(brokers=brokers(gone)).running()


def brokers(*processes: ProcessId) -> tuple[Broker, ...]:
    return tuple(
        Broker(node=node, process=process, port=9091 + node, controller_port=node)
        for node, process in enumerate(processes, 1)
    )


def test_a_lab_of_three_runs_as_long_as_two_are_there(state: State) -> None:
    here, gone = own_process(), ended_process()
    three = state.evolve(brokers=brokers(here, gone, here))
    assert three.running()
    assert [broker.node for broker in three.missing()] == [2]
    assert three.can_be_mended()
    one_left = state.evolve(brokers=brokers(gone, gone, here))
    assert (one_left.running(), one_left.can_be_mended()) == (False, True)
    assert not one_left.evolve(supervisor=gone).can_be_mended()
    assert not state.evolve(brokers=brokers(gone)).can_be_mended(), "a lab of one is started anew"
    assert (three.port, three.bootstrap_servers) == (9092, "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094")
    assert list(three.servers()) == ["kafka-1", "kafka-2", "kafka-3", "redis"]
    assert list(state.servers()) == ["kafka", "redis"]


def test_a_recycled_pid_is_not_taken_for_ours(state: State, tmp_path: Path) -> None:
    recycled = replace(own_process(), birth=own_process().birth - 60)
    assert not recycled.alive()
    recycled.send_signal(9)  # hits nobody
    assert recycled.wait(0)
    folders = LabFolders(tmp_path)
    state.evolve(brokers=brokers(recycled)).write(folders.state)
    assert running_state(folders, Settings()) is None


def test_a_process_that_waits_to_be_reaped_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = process_id(child.pid)
    assert found is not None
    assert found.alive()
    assert child.stdin is not None
    child.stdin.close()
    assert found.wait(60)
    assert not found.alive()
    child.wait()


def test_a_lab_without_its_own_kafka_runs_only_while_another_is_named(state: State, tmp_path: Path) -> None:
    folders = LabFolders(tmp_path)
    state.evolve(brokers=()).write(folders.state)
    assert running_state(folders, Settings(bootstrap_servers=None)) is None
    assert running_state(folders, Settings(bootstrap_servers="kafka.example:9092")) is not None
