"""An address behind which another Redis becomes the master: who keeps an old connection talks to a replica."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: What a replica answers, as Redis 7 and, within a script, Redis 6.2 say it.
ANSWERS = {
    "redis 7": "READONLY You can't write against a read only replica.",
    "redis 6.2": "ERR Error running script (call to f_3): @user_script:1: @user_script: 1: -READONLY You can't",
    "no master": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
}

#: What a replica does too.
HANDSHAKE = {
    b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n",
    b"CLIENT": b"+OK\r\n",
    b"SELECT": b"+OK\r\n",
    b"PING": b"+PONG\r\n",
}


class FailoverServer(socketserver.ThreadingTCPServer):
    """Answers OK, or over a connection from before the failover `answer`.

    `connections` counts those that were made.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: str) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.answer = answer
        self.connections = 0
        self.failed_over_at = 1
        self.url = f"redis://127.0.0.1:{self.server_address[1]}"

    def fail_over(self) -> None:
        """From now on who has a connection has one to a replica."""
        self.failed_over_at = self.connections + 1


class _Conversation(socketserver.StreamRequestHandler):
    server: FailoverServer

    def handle(self) -> None:
        self.server.connections += 1
        number = self.server.connections
        while line := self.rfile.readline():
            words = [self._word() for _ in range(int(line[1:]))]
            is_old = number < self.server.failed_over_at
            answer = f"-{self.server.answer}\r\n".encode() if is_old else b"+OK\r\n"
            self.wfile.write(HANDSHAKE.get(words[0], answer))

    def _word(self) -> bytes:
        size = int(self.rfile.readline()[1:])
        return self.rfile.read(size + 2)[:-2]


@contextmanager
def failover_server(answer: str) -> Iterator[FailoverServer]:
    """A server for as long as a test is inside."""
    with FailoverServer(answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
