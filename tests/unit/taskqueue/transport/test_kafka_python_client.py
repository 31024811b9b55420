"""What labkit mends in the network client of kafka-python."""

from __future__ import annotations

import socket
from contextlib import closing

from kafka.errors import KafkaConnectionError
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport

from labkit.taskqueue.transport.kafka_python.client import _heard_out


def test_what_came_before_the_close_is_read_before_it():
    ours, theirs = socket.socketpair()
    with closing(NetworkSelector()) as net, ours:
        ours.setblocking(False)
        transport = _heard_out(KafkaTCPTransport(net, ours))
        theirs.sendall(b"refused")
        theirs.close()
        assert transport._sock_recv() == (b"refused", None)
        data, error = transport._sock_recv()
        assert data == b""
        assert isinstance(error, KafkaConnectionError)
