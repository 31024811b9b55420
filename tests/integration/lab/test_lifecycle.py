"""The life of a lab with a name: up, down, attached to, side by side, and its data."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest
import redis

from labkit.errors import LabError, LabNotRunning, PortInUse, SettingsError
from labkit.lab import Lab, attach_lab, lifecycle, open_lab
from labkit.lab.folders import LabFolders, named_lab
from labkit.lab.kafka_server import HOST
from labkit.lab.lab_status import look
from labkit.lab.state import read_state
from labkit.settings import Settings
from tests.integration.lab.conftest import consume, produce, said_by_labkit
from tests.ports import own_ports

#: What a user may have set for another Java; the lab's own would not start with it.
FOR_ANOTHER_JAVA = {
    "JAVA_TOOL_OPTIONS": "-Xbogus",
    "JDK_JAVA_OPTIONS": "-Xbogus",
    "_JAVA_OPTIONS": "-Xbogus",
    "CLASSPATH": "/nowhere",
    "KAFKA_OPTS": "-Xbogus",
}


def test_a_lab_is_started_found_and_stopped_and_its_data_stays(
    own_settings: Settings, folders: LabFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in FOR_ANOTHER_JAVA.items():
        monkeypatch.setenv(name, value)
    state, started = lifecycle.up("default", folders, own_settings)
    assert started
    again, started_again = lifecycle.up("default", folders, own_settings)
    assert (again, started_again) == (state, False)
    with open_lab(settings=own_settings) as lab:
        assert lab.bootstrap_servers == f"{HOST}:{own_settings.port}"
        assert not FOR_ANOTHER_JAVA.keys() & psutil.Process(lab.kafka_pid).environ().keys()
        assert (lab.kafka_pid, lab.redis_pid) == (state.servers()["kafka"].pid, state.servers()["redis"].pid)
        produce(lab.bootstrap_servers, "kept", "a record")
        with redis.Redis.from_url(lab.redis_url) as client:
            client.set("kept", "a value")
        with pytest.raises(LabError, match="running already"):
            Lab("default", settings=own_settings)
    assert state.running(), "closing what was attached to leaves it running"

    assert lifecycle.stop("default", folders)
    assert not any(process.alive() for process in (state.supervisor, *state.servers().values()))
    assert not lifecycle.stop("default", folders)
    with pytest.raises(LabNotRunning, match="labkit up"):
        attach_lab(settings=own_settings)

    with Lab("default", settings=own_settings) as lab:
        assert consume(lab.bootstrap_servers, "kept", 1) == ["a record"]
        with redis.Redis.from_url(lab.redis_url) as client:
            assert client.get("kept") == b"a value"
        found = look("default", own_settings)
        assert found.topics == {"kept": 1}, "the probe has left nothing"
    assert read_state(folders.state) is None


@pytest.mark.long
def test_labs_with_different_names_live_side_by_side(own_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with Lab("one", settings=own_settings) as one, Lab("two", settings=own_settings) as two:
        assert one.bootstrap_servers == f"{HOST}:{own_settings.port}"
        assert two.bootstrap_servers != one.bootstrap_servers
        said = said_by_labkit(caplog)
        assert said == [
            f"Port {own_settings.port} is in use by another program, so Kafka is at {two.bootstrap_servers}."
        ]
        produce(one.bootstrap_servers, "mine", "one")
        produce(two.bootstrap_servers, "mine", "two")
        assert consume(one.bootstrap_servers, "mine", 1) == ["one"]
        assert repr(two) == f"Lab 'two': Kafka 4.4.0 at {two.bootstrap_servers}, {look_redis(two)} on a private socket"


def look_redis(lab: Lab) -> str:
    with redis.Redis.from_url(lab.redis_url) as client:
        info = client.info("server")
    return f"{'Valkey' if 'valkey_version' in info else 'Redis'} {info.get('valkey_version', info['redis_version'])}"


def test_a_port_that_was_insisted_on(own_settings: Settings, folders: LabFolders) -> None:
    (port,) = own_ports(1)
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        with pytest.raises(PortInUse, match=str(port)):
            lifecycle.up("default", folders, own_settings, port=port)
    assert read_state(folders.state) is None


def test_opening_a_lab_again_gives_the_same_one(own_settings: Settings) -> None:
    lab = open_lab(settings=own_settings)
    try:
        assert open_lab(settings=own_settings) is lab
    finally:
        lab.close()
        lab.close()
    assert not look("default", own_settings).running


def test_a_private_lab_leaves_nothing(lab: Lab) -> None:
    with Lab() as other:
        assert other.bootstrap_servers != lab.bootstrap_servers
        assert other.name == "private"
        root = Path(other.redis_url.removeprefix("unix://")).parents[1]
        assert root.exists()
        assert root.stat().st_mode & 0o077 == 0, "nobody else may look in"
    assert not root.exists()


def test_a_name_that_would_leave_the_folder(own_settings: Settings) -> None:
    with pytest.raises(SettingsError, match="cannot be the name"):
        named_lab(own_settings, "../other")
