"""What is known of servers that were started again, where who asked for it has not lived to write it down."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from labkit.lab.folders import LabFolders
from labkit.lab.process_id import ProcessId, process_id
from labkit.lab.restart import with_restarts
from labkit.lab.state import Broker, State

#: One that is noted and has ended, and one that nobody has noted.
OLD, NEW = ProcessId(2, -1.0), process_id(os.getpid())


@pytest.fixture
def state() -> State:
    assert NEW is not None
    return State(
        supervisor=NEW,
        owner=None,
        brokers=tuple(Broker(node=node, process=OLD, port=9091 + node, controller_port=node) for node in (1, 2, 3)),
        redis=OLD,
        socket="/tmp/redis.sock",
        versions={},
        started_at=1.5,
        ready=True,
    )


def with_journal(folder: Path, state: State, *entries: dict[str, object]) -> State:
    folders = LabFolders(folder)
    folders.exits.parent.mkdir(parents=True)
    folders.exits.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return with_restarts(state, folders)


def test_a_server_that_was_started_again_is_known(state: State, tmp_path: Path) -> None:
    entries = [
        {"server": "kafka-2", "pid": OLD.pid, "status": -9, "asked": False},
        {"server": "kafka-2", "pid": os.getpid()},
        {"server": "redis", "pid": os.getpid()},
        {"server": "another", "pid": os.getpid()},
    ]
    found = with_journal(tmp_path, state, *entries)
    assert [broker.process for broker in found.brokers] == [OLD, NEW, OLD]
    assert found.redis == NEW
    assert found.evolve(brokers=state.brokers, redis=OLD) == state


def test_one_that_has_ended_since_is_not(state: State, tmp_path: Path) -> None:
    again = {"server": "kafka-2", "pid": os.getpid()}
    assert with_journal(tmp_path, state, again, again | {"status": 1, "asked": False}) == state


def test_without_a_journal_all_is_as_it_was_noted(state: State, tmp_path: Path) -> None:
    assert with_restarts(state, LabFolders(tmp_path)) == state
