"""The connections of one worker to the sink of effects, and what it may not do with them."""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass, field

from labkit.grading.sandbox.relay_program import NO_ROOM

#: How many connections a worker may have at one time: each of its threads that works has one.
CONNECTIONS = 32
#: How many it may open altogether, and in how many pieces it may tell what it tells.
OPENED, PIECES = 1_000, 50_000
#: How many effects a worker may tell of within a second, and altogether.
RATE, MOST = 1_000, 10_000


@dataclass(eq=False)
class EffectConnection:
    """One connection of a worker's."""

    socket: socket.socket
    words: bytes = b""
    takes_orders: bool = False

    def lines(self) -> list[bytes] | None:
        """The lines that have come to their end; None if the connection has."""
        try:
            part = self.socket.recv(4096)
        except BlockingIOError:
            return []
        except OSError:
            return None
        *lines, self.words = (self.words + part).split(b"\n")
        return lines if part else None

    def answer(self, words: bytes) -> bool:
        """Say this; False if the worker takes no answers. That a connection is broken is seen when it is heard."""
        try:
            return self.socket.send(words) == len(words)
        except BlockingIOError:
            return False
        except OSError:
            return True


@dataclass(eq=False)
class EffectTeller:
    """A worker, as the sink sees it."""

    name: str
    listener: socket.socket
    connections: list[EffectConnection] = field(default_factory=list)
    fault: str | None = None
    is_to_stop: bool = False
    count: int = 0
    opened: int = 0
    pieces: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RATE))

    def accept(self) -> bool:
        """Take in a new connection; False if this process has no room for it now."""
        try:
            came, _ = self.listener.accept()
        except OSError as error:
            return error.errno not in NO_ROOM  # else it has gone again
        came.setblocking(False)
        self.connections.append(EffectConnection(came))
        self.opened += 1
        if len(self.connections) > CONNECTIONS:
            self.end(f"It opened more than {CONNECTIONS} connections to the grader.")
        elif self.opened > OPENED:
            self.end(f"It opened more than {OPENED} connections to the grader, one after the other.")
        return True

    def is_flooding(self, at: float) -> bool:
        """Whether what it tells now is too much."""
        self.count += 1
        too_fast = len(self.recent) == RATE and at - self.recent[0] < 1.0
        self.recent.append(at)
        return too_fast or self.count > MOST

    def let_go(self, connection: EffectConnection) -> None:
        """This connection has ended."""
        connection.socket.close()
        self.connections.remove(connection)

    def end(self, fault: str) -> None:
        """Hear nothing more of it, for this reason; who listens closes its connections."""
        self.fault = self.fault or fault

    def close(self) -> None:
        """Break all its connections; who sees that can make no other one."""
        self.listener.close()
        for connection in self.connections:
            connection.socket.close()
        self.connections.clear()
