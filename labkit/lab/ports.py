"""Ports on this machine's loopback address."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from labkit.lab.kafka_server import HOST


def is_free(port: int) -> bool:
    """Can a server listen on the port now?"""
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            return False  # macOS would let us listen beside a server that listens on every address
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on. Another program may still be quicker, so a start must cope with that."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in sockets]
