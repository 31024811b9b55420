"""From a sandbox to one port of this machine by a Unix socket, and a Kafka client inside that takes it for its own."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from labkit import connect
from labkit.errors import GradingFailed
from labkit.grading.sandbox import Said, relay_program
from labkit.grading.sandbox.kernel import Kernel, Returned
from labkit.grading.sandbox.relay_program import CONNECTIONS, RelayLoop
from labkit.grading.sandbox.socket_relay import SocketRelay
from labkit.lab import Lab
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE, in_time
from tests.integration.grading.conftest import Sandbox


class Echo:
    """A server that sends back what it is sent."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                self.connections.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while part := connection.recv(65536):
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.server.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def relay(echo: Echo) -> Iterator[SocketRelay]:
    with SocketRelay(echo.port) as relay:
        yield relay


def connected(relay: SocketRelay) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(str(relay.path))
    return connection


def test_much_goes_through_both_ways_and_its_end_too(relay: SocketRelay) -> None:
    sent = bytes(range(256)) * 8192
    with connected(relay) as connection:
        threading.Thread(target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR))).start()
        came = b"".join(iter(lambda: connection.recv(65536), b""))
    assert came == sent


def test_an_observer_is_told_what_goes_to_the_server_of_each_connection(echo: Echo) -> None:
    heard: list[list[bytes]] = []

    def observe():
        heard.append([])
        return heard[-1].append

    with SocketRelay(echo.port, observe=observe) as relay:
        for words in (b"one", b"two"):
            with connected(relay) as connection:
                connection.sendall(words)
                assert connection.recv(10) == words
    assert [b"".join(parts) for parts in heard] == [b"one", b"two"]


def test_a_relay_freezes_before_what_it_is_frozen_for_goes_on(echo: Echo) -> None:
    heard = b""

    def hear(part: bytes) -> None:
        nonlocal heard
        heard += part

    with SocketRelay(echo.port, observe=lambda: hear) as relay, connected(relay) as connection:
        connection.sendall(b"one")
        assert connection.recv(10) == b"one"
        relay.freeze_when(lambda: b"two" in heard)
        connection.sendall(b"two")
        wait_until(lambda: b"two" in heard, timeout=PATIENCE, what="it was to be heard")
        relay.cut()
        assert connection.recv(10) == b""


def test_a_frozen_relay_holds_and_goes_on(relay: SocketRelay) -> None:
    with connected(relay) as connection:
        connection.sendall(b"1")
        assert connection.recv(1) == b"1"
        relay.freeze()
        connection.sendall(b"2")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        relay.restore()
        connection.settimeout(PATIENCE)
        assert connection.recv(1) == b"2"


def test_a_relay_that_is_cut_breaks_connections_until_it_is_restored(relay: SocketRelay) -> None:
    with connected(relay) as connection:
        connection.sendall(b"1")
        assert connection.recv(1) == b"1"
        relay.cut()
        assert is_broken(connection)
    with connected(relay) as connection:
        assert is_broken(connection)
    relay.restore()
    with connected(relay) as connection:
        connection.sendall(b"2")
        assert connection.recv(1) == b"2"


def is_broken(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_server_that_is_away_breaks_the_connection(echo: Echo, relay: SocketRelay) -> None:
    echo.server.shutdown(socket.SHUT_RDWR)
    echo.close()
    with connected(relay) as connection:
        assert is_broken(connection)


def test_connections_beyond_the_limit_wait_for_their_turn(relay: SocketRelay) -> None:
    first = [connected(relay) for _ in range(CONNECTIONS)]
    for connection in first:
        connection.sendall(b"1")
        assert connection.recv(1) == b"1"
    with connected(relay) as late:
        late.sendall(b"2")
        late.settimeout(0.1)
        with pytest.raises(TimeoutError):
            late.recv(1)
        for connection in first:
            connection.close()
        late.settimeout(PATIENCE)
        assert late.recv(1) == b"2"


def test_a_relay_that_fails_says_so(relay: SocketRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody is blamed who could not get through."""

    def fail(*_: object) -> None:
        raise RuntimeError("out of order")

    relay.check()
    monkeypatch.setattr(RelayLoop, "turn", fail)
    with suppress(GradingFailed):
        relay.freeze()
        relay.restore()
    relay._thread.join(PATIENCE)
    for ask in (relay.check, relay.freeze):
        with pytest.raises(GradingFailed, match=r"out of order\. Grade"):
            ask()
    in_time(relay.close)
    assert not relay.path.parent.exists()


def test_without_room_for_a_connection_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits to be accepted is there at once when it looks again, and it would look without end."""
    monkeypatch.setattr(relay_program, "PAUSE_MS", 0)
    tried = []

    def fail() -> socket.socket:
        tried.append(1)
        raise OSError(errno.EMFILE, "Too many open files")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop = RelayLoop(listener, fail)
        waiting = [socket.create_connection(listener.getsockname()) for _ in range(2)]
        for tries in (1, 1, 2):
            loop.turn()
            assert len(tried) == tries
        for connection in waiting:
            connection.close()


def test_closing_ends_all_of_it(echo: Echo) -> None:
    relay = SocketRelay(echo.port)
    relay.close()  # it was never begun
    assert not relay.path.parent.exists()
    relay = SocketRelay(echo.port).start()
    with connected(relay) as connection:
        relay.freeze()
        in_time(relay.close)
        in_time(relay.close)
        assert is_broken(connection)
    assert not relay.path.parent.exists()


def test_the_port_inside_leads_to_the_server_and_no_other_does(
    sandbox: Sandbox, echo: Echo, relay: SocketRelay
) -> None:
    code = f"""
import os, socket
with socket.create_connection(("127.0.0.1", {echo.port}), {PATIENCE}) as connection:
    connection.sendall(b'"back"\\n')
    os.write(65, connection.recv(100))
try:
    socket.create_connection(("127.0.0.1", 1), {PATIENCE})
except OSError as error:
    os.write(65, b"%d\\n" % error.errno)
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    os.write(65, b'"no child"\\n')
"""
    with sandbox.start([sys.executable, "-I", "-c", code], sockets={echo.port: relay.path}) as conversation:
        assert conversation.receive(PATIENCE) == Said("back")
        assert conversation.receive(PATIENCE) == Said(111)
        assert conversation.receive(PATIENCE) == Said("no child")


PRODUCER = """
import kafka
producer = kafka.KafkaProducer(bootstrap_servers="127.0.0.1:{port}")
def send(topic, value):
    found = producer.send(topic, value.encode()).get(timeout=120)
    return [found.partition, found.offset]
"""


def test_a_producer_inside_writes_to_the_broker_outside(sandbox: Sandbox, lab: Lab, unique_name: str) -> None:
    port = int(lab.bootstrap_servers.partition(",")[0].rpartition(":")[2])
    with connect(lab) as topics:
        topics.create(unique_name, partitions=1)
    with SocketRelay(port) as relay, Kernel(sandbox, sockets={port: relay.path}) as kernel:
        assert kernel.run(PRODUCER.format(port=port), PATIENCE) == Returned(None)
        assert kernel.call("send", [unique_name, "a"], timeout=2 * PATIENCE) == Returned([0, 0])
        assert kernel.call("send", [unique_name, "b"], timeout=2 * PATIENCE) == Returned([0, 1])
