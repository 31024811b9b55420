"""Inside the sandbox: whoever connects to the port is led to the Unix socket, behind which the host's relay waits.

A script of the standard library only, `relay_program.py LISTENER SOCKET` with the descriptor of a listening socket; the
relay of the host uses its `RelayLoop` too.
"""

from __future__ import annotations

import errno
import select
import socket
import sys
from collections.abc import Callable, Iterator

#: How much is kept at most of what one side has sent and the other has not taken, in bytes.
AT_ONCE = 65_536
#: How many connections there are at one time; further ones wait to be accepted.
CONNECTIONS = 32
#: Of what the system has no more for now where a connection cannot be made; and how long to wait then, in ms: who waits
#: to be accepted would be seen again at once.
NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
PAUSE_MS = 100


#: Is told what the near side of a connection sends.
Observer = Callable[[bytes], object]


class RelayLoop:
    """Leads each connection of a listening socket to one that `connect` begins, which need not be there yet. `observe`
    gives an observer for each.
    """

    def __init__(
        self,
        listener: socket.socket,
        connect: Callable[[], socket.socket],
        observe: Callable[[], Observer] | None = None,
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._connect = connect
        self._observe = observe
        self._links: list[_Link] = []
        self._has_room = True

    def turn(self, wake: int | None = None) -> bool:
        """Wait for anything to do, and do it; whether it was `wake` that has become readable, a descriptor."""
        wanted: dict[int, int] = {} if wake is None else {wake: select.POLLIN}
        if len(self._links) < CONNECTIONS and self._has_room:
            wanted[self._listener.fileno()] = select.POLLIN
        for link in self._links:
            for number, event in link.wanted():
                wanted[number] = wanted.get(number, 0) | event
        poll = select.poll()
        for number, events in wanted.items():
            poll.register(number, events)
        ready = dict(poll.poll(None if self._has_room else PAUSE_MS))
        self._has_room = True
        for link in self._links[:]:
            if not link.move(ready):
                self._links.remove(link)
        if self._listener.fileno() in ready:
            self._accept()
        return wake in ready

    def cut(self) -> None:
        """Break all connections."""
        for link in self._links:
            link.close()
        self._links.clear()

    def _accept(self) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError as error:
            self._has_room = error.errno not in NO_ROOM  # else it has gone again
            return
        try:
            far = self._connect()
        except OSError as error:
            self._has_room = error.errno not in NO_ROOM
            near.close()
            return
        self._links.append(_Link(near, far, self._observe and self._observe()))


class _Link:
    """Two connections, and what is on the way between them."""

    def __init__(self, near: socket.socket, far: socket.socket, observer: Observer | None) -> None:
        self._ways = (_Way(near, far, observer), _Way(far, near))
        for end in (near, far):
            end.setblocking(False)

    def wanted(self) -> Iterator[tuple[int, int]]:
        """For which events of which descriptors it waits."""
        for way in self._ways:
            if way.waiting:
                yield way.target.fileno(), select.POLLOUT
            elif not way.ended:
                yield way.source.fileno(), select.POLLIN

    def move(self, ready: dict[int, int]) -> bool:
        """Hand on what can be; whether there is anything left to hand on. A connection that breaks breaks the other."""
        try:
            for way in self._ways:
                way.move(ready)
        except OSError:
            self.close()
            return False
        if all(way.ended and not way.waiting for way in self._ways):
            self.close()
            return False
        return True

    def close(self) -> None:
        for way in self._ways:
            way.source.close()


class _Way:
    """One direction."""

    def __init__(self, source: socket.socket, target: socket.socket, observer: Observer | None = None) -> None:
        self.source, self.target, self._observer = source, target, observer
        self.waiting = b""
        self.ended = False

    def move(self, ready: dict[int, int]) -> None:
        try:
            if self.waiting:
                if self.target.fileno() in ready:
                    self.waiting = self.waiting[self.target.send(self.waiting) :]
            elif not self.ended and self.source.fileno() in ready:
                self.waiting = self.source.recv(AT_ONCE)
                if self._observer is not None:
                    self._observer(self.waiting)
                if not self.waiting:
                    self.ended = True
                    self.target.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return


def main(listener: socket.socket, path: str) -> None:
    """Relay until the sandbox ends."""

    def connect() -> socket.socket:
        outer = socket.socket(socket.AF_UNIX)
        try:
            outer.connect(path)
        except OSError:
            outer.close()
            raise
        return outer

    loop = RelayLoop(listener, connect)
    while True:
        loop.turn()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
