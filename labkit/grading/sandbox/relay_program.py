"""Inside the sandbox: whoever connects to the port is led to the Unix socket, behind which the host's relay waits.

A script of the standard library only: `relay_program.py LISTENER SOCKET`, with the descriptor of a listening socket.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress

#: How much is taken at once, in bytes.
AT_ONCE = 65_536
#: How many connections there are at one time.
CONNECTIONS = 32


def main(listener: socket.socket, path: str) -> None:
    """Relay until the sandbox ends."""
    free = threading.BoundedSemaphore(CONNECTIONS)
    while True:
        free.acquire()
        inner, _ = listener.accept()
        outer = socket.socket(socket.AF_UNIX)
        try:
            outer.connect(path)
        except OSError:
            inner.close()
            outer.close()
            free.release()
            continue
        threading.Thread(target=_relay, args=(inner, outer, free), daemon=True).start()


def _relay(inner: socket.socket, outer: socket.socket, free: threading.BoundedSemaphore) -> None:
    back = threading.Thread(target=_copy, args=(outer, inner), daemon=True)
    back.start()
    _copy(inner, outer)
    back.join()
    inner.close()
    outer.close()
    free.release()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes, and then that nothing more comes; a broken connection is broken on both sides."""
    try:
        while part := source.recv(AT_ONCE):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
