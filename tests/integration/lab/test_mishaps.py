"""What is killed, cut off, damaged or stale is noticed, and mended or explained; no acknowledged record is lost."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.lab import Lab, lifecycle, open_lab, startup
from labkit.lab.aot_cache import prepare_kafka
from labkit.lab.condition import wait_for
from labkit.lab.folders import LabFolders
from labkit.lab.lab_status import look
from labkit.lab.process_id import process_id
from labkit.lab.redis_server import find_redis
from labkit.lab.startup import Plan
from labkit.lab.state import Broker, State, read_state
from labkit.settings import Settings
from tests.integration.lab.conftest import consume, pid_exists, produce, said_by_labkit

Run = Callable[[str], "subprocess.Popen[str]"]

#: Opens the lab, says the pids of its supervisor and its servers, and waits.
OWNER = """
import json, sys
from labkit.lab import open_lab
lab = open_lab()
print(json.dumps([lab._supervisor.process.pid, lab.kafka_pid, lab.redis_pid]), flush=True)
sys.stdin.read()
"""

#: Forks a child that closes the lab and ends, as multiprocessing's children do.
FORK = """
import os
from labkit.lab import open_lab
from labkit.lab.lab_status import look
from labkit.settings import load_settings
with open_lab() as lab:
    child = os.fork()
    if child == 0:
        lab.close()
        os._exit(0)
    print("the child is done:", os.waitpid(child, 0)[1])
    print("running:", look("default", load_settings()).running)
"""

UP = "from labkit.cli import main; import sys; sys.argv = ['labkit', 'up']; main()"

#: The same, but that it waits for Kafka for ever: so a signal comes in the middle, however late.
UP_FOR_EVER = f"""
import sys
from labkit.lab import probe
probe.wait_for_kafka = lambda brokers, **how: sys.stdin.read()
{UP}
"""


def test_sigkill_of_the_broker_loses_no_acknowledged_record(
    own_settings: Settings, folders: LabFolders, caplog: pytest.LogCaptureFixture
) -> None:
    state, _ = lifecycle.up("default", folders, own_settings)
    address = f"127.0.0.1:{state.port}"
    values = [f"record {number}" for number in range(100)]
    produce(address, "tasks", *values)
    kafka = state.servers()["kafka"]
    kafka.send_signal(signal.SIGKILL)
    assert kafka.wait(60)
    assert wait_for(lambda: "SIGKILL" in (look("default", own_settings).problem or ""), 60)

    again, started = lifecycle.up("default", folders, own_settings)
    assert started
    assert again.port == state.port, "clients are still looking there"
    assert consume(address, "tasks", 100) == values
    said = said_by_labkit(caplog)
    assert said == ["Kafka was ended by SIGKILL. The lab 'default' is started again with its data."]
    assert not state.supervisor.alive()


@pytest.mark.long
def test_when_all_was_killed_the_next_start_mends_it(own_settings: Settings, folders: LabFolders) -> None:
    state, _ = lifecycle.up("default", folders, own_settings)
    for process in (state.supervisor, *state.servers().values()):
        process.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not any(server.alive() for server in state.servers().values()), 60)
    found = look("default", own_settings)
    assert (found.running, found.problem) == (
        False,
        "It was not stopped properly. `labkit up` starts it again with its data.",
    )
    assert lifecycle.up("default", folders, own_settings)[1]
    assert state.socket is not None
    assert not Path(state.socket).exists(), "nor is the folder of its socket left"


@pytest.mark.long
def test_when_its_owner_is_killed_no_server_is_left(
    own_settings: Settings, folders: LabFolders, in_another_process: Run
) -> None:
    owner = in_another_process(OWNER)
    assert owner.stdout is not None
    pids = json.loads(owner.stdout.readline())
    with open_lab(settings=own_settings) as attached:
        assert [attached.kafka_pid, attached.redis_pid] == pids[1:]
        assert look("default", own_settings).owner == owner.pid
    owner.kill()
    owner.wait()
    assert wait_for(lambda: not any(pid_exists(pid) for pid in pids), 60)
    assert read_state(folders.state) is None


def test_a_start_that_is_killed_leaves_nothing_and_the_next_one_works(
    own_settings: Settings, folders: LabFolders, in_another_process: Run
) -> None:
    cut_off = in_another_process(UP_FOR_EVER)
    states: list[State | None] = []
    assert wait_for(lambda: states.append(read_state(folders.state)) or states[-1] is not None, 180)
    cut_off.kill()
    cut_off.wait()
    (state,) = states[-1:]
    assert state is not None
    assert not state.ready, "it was killed in the middle"
    assert lifecycle.up("default", folders, own_settings)[1]
    assert not any(process.alive() for process in (state.supervisor, *state.servers().values()))


def test_ctrl_c_while_starting_leaves_nothing(folders: LabFolders, in_another_process: Run) -> None:
    startup = in_another_process(UP_FOR_EVER)
    states: list[State | None] = []
    assert wait_for(lambda: states.append(read_state(folders.state)) or states[-1] is not None, 180)
    startup.send_signal(signal.SIGINT)
    assert startup.wait(180) == 130
    (state,) = states[-1:]
    assert state is not None
    assert not any(process.alive() for process in (state.supervisor, *state.servers().values()))
    assert not folders.state.exists()


def test_a_pid_that_is_no_longer_ours_is_left_alone(
    own_settings: Settings, folders: LabFolders, caplog: pytest.LogCaptureFixture
) -> None:
    folders.make()
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = process_id(bystander.pid)
    assert found is not None
    recycled = replace(found, birth=found.birth - 100)
    stale = State(
        supervisor=recycled,
        owner=None,
        brokers=(Broker(node=1, process=recycled, port=own_settings.port, controller_port=1),),
        redis=recycled,
        socket="/nowhere/redis.sock",
        versions={},
        started_at=0.0,
        ready=True,
    )
    stale.write(folders.state)
    with Lab("default", settings=own_settings) as lab:
        assert lab.kafka_pid != bystander.pid
    assert bystander.poll() is None
    bystander.communicate(b"\n")


@pytest.mark.long
def test_a_forked_child_does_not_end_its_parents_lab(in_another_process: Run) -> None:
    parent = in_another_process(FORK)
    said, complaint = parent.communicate(timeout=120)
    assert said.splitlines() == ["the child is done: 0", "running: True"], complaint


@pytest.mark.parametrize("damage", ["cut off", pytest.param("overwritten", marks=pytest.mark.long)])
def test_a_damaged_aot_cache_is_said_and_kafka_starts_without(
    damage: str, own_settings: Settings, folders: LabFolders, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kafka = prepare_kafka(own_settings)
    assert kafka.aot is not None
    copy = tmp_path / "made" / "aot"
    copy.parent.mkdir()
    shutil.copyfile(kafka.aot, copy)
    with copy.open("r+b") as file:
        if damage == "cut off":
            file.truncate(1_000_000)
        else:
            file.seek(copy.stat().st_size // 3)
            file.write(bytes(5_000_000))
    folders.make()
    plan = Plan(
        folders=folders,
        kafka=replace(kafka, aot=copy),
        redis=find_redis(),
        brokers=1,
        ports=(),
        insist=False,
        throw_away=False,
        properties={},
        timeout=120,
    )
    state, supervisor = startup._start(plan, own_settings)
    try:
        produce(f"127.0.0.1:{state.port}", "works", "a record")
    finally:
        supervisor.stop()
    said = said_by_labkit(caplog)
    assert len(said) == 1
    assert "could not use its AOT cache" in said[0]
    assert not copy.exists(), "the next start makes a new one"
