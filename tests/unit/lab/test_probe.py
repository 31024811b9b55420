"""Ports on the loopback address."""

from __future__ import annotations

import socket

import pytest

from labkit.lab.probe import free_ports, is_free


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(is_free(port) for port in ports)


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
