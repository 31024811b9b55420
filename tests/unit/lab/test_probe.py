"""Ports on the loopback address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.errors import ServerFailed
from labkit.lab import probe
from labkit.lab.probe import SERVER_PORTS, free_ports, is_free, listens, wait_for_kafka
from labkit.lab.process_id import ProcessId, process_id
from labkit.taskqueue.transport.reachability import _try
from tests.unit.clock import Clock


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(is_free(port) and port in SERVER_PORTS for port in ports)


def test_no_outgoing_connection_takes_the_port_of_a_server_that_is_down() -> None:
    lowest = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(lowest.read_text().split()[0]) if lowest.exists() else 49152
    assert max(SERVER_PORTS) < first


class Unlucky(socket.socket):
    """One to which the system gives the port that it is to connect to."""

    def connect_ex(self, address):
        self.bind(address)
        return super().connect_ex(address)

    def connect(self, address):
        self.bind(address)
        super().connect(address)


def test_a_socket_that_is_connected_to_itself_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    port, other = free_ports(2)
    monkeypatch.setattr("socket.socket", Unlucky)
    assert not listens(port)
    assert "Nothing listens" in str(_try(f"127.0.0.1:{other}", None))


@pytest.mark.parametrize("address", ["127.0.0.1", ""])
def test_a_port_with_a_listener_is_not_free(address: str) -> None:
    with socket.socket() as server:
        server.bind((address, 0))
        server.listen()
        assert not is_free(server.getsockname()[1])


def test_a_port_whose_server_has_just_ended_is_free() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java's servers do
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        with client, server.accept()[0]:
            pass  # the server's end closes first, and waits
    assert is_free(port)


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that takes every connection and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def mute(port: int) -> dict[int, ProcessId]:
    """The port, and the process that listens there."""
    this = process_id(os.getpid())
    assert this is not None
    return {port: this}


def test_a_kafka_that_never_answers_is_a_failure_in_words(mute: dict[int, ProcessId]) -> None:
    with pytest.raises(ServerFailed, match=r"Kafka opened its port, but did not make a topic within 2 s\."):
        wait_for_kafka(mute, alive=lambda: True, timeout=2)


def test_a_server_of_somebody_else_at_its_port_is_not_taken_for_it(port: int) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        kafka = process_id(child.pid)
        assert kafka is not None
        assert listens(port)
        assert not kafka.listens(port)
        with pytest.raises(ServerFailed, match=r"Kafka ended while it was starting\."):
            wait_for_kafka({port: kafka}, alive=iter([True, True, True, False, False]).__next__, timeout=1_000)
        child.communicate()


def test_a_kafka_that_ends_while_an_answer_is_waited_for_is_not_waited_for(mute: dict[int, ProcessId]) -> None:
    looks = iter([True, True, True])
    with pytest.raises(ServerFailed, match=r"Kafka ended while it was starting\."):
        wait_for_kafka(mute, alive=lambda: next(looks, False), timeout=1_000)


def test_an_answer_that_stays_away_is_asked_for_again(
    mute: dict[int, ProcessId], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    clock = Clock()
    monkeypatch.setattr(probe, "time", SimpleNamespace(monotonic=clock))

    def attempt(config: object, patience: probe.Patience) -> None:
        limits.append(patience.deadline - clock.now)
        if len(limits) < 3:
            raise TimeoutError

    monkeypatch.setattr(probe, "_attempt", attempt)
    wait_for_kafka(mute, alive=lambda: True, timeout=1_000)
    assert limits == [10, 20, 40]
