"""Why a server failed, read from its own words; the words are those of Kafka 4.4.0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.errors import DiskFull, LabError, PortInUse, ServerFailed
from labkit.lab.diagnosis import TAIL, explain, explain_end, how_it_ended, tail
from labkit.lab.folders import LabFolders
from labkit.lab.process_id import ProcessId
from labkit.lab.restart import with_restarts
from labkit.lab.state import Broker, State

GONE = ProcessId(1, -1.0)


@pytest.fixture
def folders(tmp_path: Path) -> LabFolders:
    folders = LabFolders(tmp_path)
    folders.make()
    return folders


@pytest.fixture
def state() -> State:
    kafka, redis = Broker(node=1, process=ProcessId(100, 0.0), port=1, controller_port=2), ProcessId(101, 0.0)
    return State(
        supervisor=GONE, owner=None, brokers=(kafka,), redis=redis, socket="", versions={}, started_at=0, ready=True
    )


@pytest.mark.parametrize(
    ("log", "words", "kind"),
    [
        ("server.log", "ERROR Error while writing … java.io.IOException: No space left on device (x.Y)", DiskFull),
        ("kafka.out", "Caused by: java.net.BindException: Address already in use", PortInUse),
        ("kafka.out", "Error occurred during initialization of VM", ServerFailed),
    ],
)
def test_the_reason_of_a_failed_start(folders: LabFolders, log: str, words: str, kind: type[LabError]) -> None:
    (folders.logs / log).write_text(words + "\n")
    assert type(explain(ServerFailed("Kafka ended while it was starting."), folders)) is kind


def test_the_last_error_is_told(folders: LabFolders) -> None:
    (folders.logs / "server.log").write_text(
        "12:00 ERROR first (a.B)\n12:01 INFO x\n12:02 ERROR last (c.D)\n12:03 INFO y\n"
    )
    said = str(explain(ServerFailed("Kafka ended while it was starting."), folders))
    assert said.startswith("Kafka ended while it was starting. Its last error: 12:02 ERROR last (c.D).")
    assert "labkit logs" in said


def test_how_servers_ended(folders: LabFolders, state: State) -> None:
    ends = [
        {"server": "kafka", "pid": 99, "status": -9, "asked": False},
        {"server": "kafka", "pid": 100, "status": -9, "asked": False},
        {"server": "redis", "pid": 101, "status": 1, "asked": False},
    ]
    folders.exits.write_text("".join(json.dumps(end) + "\n" for end in ends))
    assert how_it_ended(folders, state) == "Kafka was ended by SIGKILL and Redis ended with status 1"
    assert explain_end(folders, state).startswith(
        "Kafka was ended by SIGKILL and Redis ended with status 1. `labkit up`"
    )


ODD = {
    "torn": b'{"server": "kaf{"server": "kafka", "pid": 100}\n',
    "no JSON": b"status\n",
    "not UTF-8": b'{"server": "\xff", "pid": 100, "status": 1, "asked": false}\n',
    "no object": b"[100, 1]\n",
    "nothing": b"\n",
    "no pid": b'{"server": "kafka", "status": 1, "asked": false}\n',
    "a pid in words": b'{"server": "kafka", "pid": "100", "status": 1, "asked": false}\n',
    "a status that is none": b'{"server": "kafka", "pid": 100, "status": "SIGKILL", "asked": false}\n',
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD)
def test_a_line_that_is_no_note_is_passed_over(folders: LabFolders, state: State, line: bytes) -> None:
    end = json.dumps({"server": "kafka", "pid": 100, "status": -9, "asked": False}).encode() + b"\n"
    folders.exits.write_bytes(line + end + line[:-1])
    assert how_it_ended(folders, state) == "Kafka was ended by SIGKILL"
    assert with_restarts(state, folders) == state


def test_a_journal_that_cannot_be_read_tells_nothing(folders: LabFolders, state: State) -> None:
    folders.exits.mkdir()
    assert how_it_ended(folders, state) is None


def test_which_broker_of_several_has_ended(folders: LabFolders, state: State) -> None:
    three = state.evolve(
        brokers=tuple(Broker(node=n, process=ProcessId(99 + n, 0.0), port=n, controller_port=n) for n in (1, 2, 3))
    )
    ends = [
        {"server": "kafka-2", "pid": 50, "status": -9, "asked": False},  # it was started again
        {"server": "kafka-2", "pid": 101},
        {"server": "kafka-3", "pid": 102, "status": -9, "asked": False},
    ]
    folders.exits.write_text("".join(json.dumps(end) + "\n" for end in ends))
    assert how_it_ended(folders, three) == "Kafka 3 was ended by SIGKILL"


def test_the_words_of_every_broker_are_searched(folders: LabFolders) -> None:
    for node in (1, 2, 3):
        own = folders.broker(node)
        own.make()
        (own.kafka / "meta.properties").touch()
    (folders.broker(3).logs / "kafka.out").write_text("java.net.BindException: Address already in use\n")
    assert type(explain(ServerFailed("Kafka ended while it was starting."), folders)) is PortInUse


def test_a_server_that_was_asked_to_end_is_no_problem(folders: LabFolders, state: State) -> None:
    folders.exits.write_text('{"server": "kafka", "pid": 100, "status": 143, "asked": true}\n')
    assert how_it_ended(folders, state) is None


def test_a_start_that_was_cut_off(folders: LabFolders, state: State) -> None:
    assert "cut off" in explain_end(folders, state.evolve(ready=False))


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x" * TAIL + "the end")
    assert tail(tmp_path / "log").endswith("the end")
    assert len(tail(tmp_path / "log")) == TAIL
    assert tail(tmp_path / "none") == ""
