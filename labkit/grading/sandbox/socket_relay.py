"""The way from a sandbox to one server of this machine, and to nothing else: a Unix socket that leads to its port."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from typing import Literal

from labkit.errors import GradingFailed
from labkit.grading.sandbox.relay_program import Observer, RelayLoop
from labkit.process.socket_folder import make_socket_folder
from labkit.resource import Resource
from labkit.temporary_folder import remove_folder

#: How long a change of state may take, in seconds.
STATE_TIMEOUT = 30.0

State = Literal["open", "frozen", "cut", "closed"]


class SocketRelay(Resource):
    """Leads whoever connects to `path` to this port; the socket is in a folder that only this user may look into.

    The server sees them come from `source`, an address of this machine, where that is given: Linux answers to all that
    begin with 127. `observe` gives an observer for each connection, which is told, on the relay's thread, what goes to
    the server. It ends with `close`, and with its process. Broken connections are broken on both sides, and a server
    that is away breaks those that are made.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        source: str | None = None,
        observe: Callable[[], Observer] | None = None,
    ) -> None:
        self.port = port
        self._host = host
        self._source = source
        self._observe = observe
        self._folder = make_socket_folder()
        self.path = self._folder / "s"
        self._state: State = "open"
        self._freezes: Callable[[], bool] = _never
        self._error: Exception | None = None
        self._heeded = threading.Event()
        self._changing = threading.Lock()
        self._wake, self._waker = os.pipe()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self.path.chmod(0o666)  # the student is another user where root runs the sandbox
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, name="labkit-relay", daemon=True)

    def start(self) -> SocketRelay:
        """Begin to lead connections on."""
        self._thread.start()
        return self

    def check(self) -> None:
        """Raises `GradingFailed` if it leads nobody on any more, which is no fault of who connects."""
        if self._error is not None:
            raise GradingFailed(
                f"The way to the server at port {self.port} has failed: {self._error}. Grade the submission again."
            ) from self._error

    def freeze(self) -> None:
        """From now on connections stay and nothing comes through, until `restore`: as a server that stands still."""
        self._change("frozen")

    def freeze_when(self, condition: Callable[[], bool]) -> None:
        """Be frozen, until `restore`, from the moment on at which this holds: asked for whatever has come in and before
        it goes on, on the relay's thread.
        """
        self._freezes = condition

    def cut(self) -> None:
        """Break all connections, and those that are made, until `restore`: as a server that is gone."""
        self._change("cut")

    def restore(self) -> None:
        """Lead on what comes, as at first; what had come into a frozen relay goes on."""
        self._change("open")

    def close(self) -> None:
        """Break all connections and remove the socket. Closing twice is no error."""
        if self._state != "closed":
            try:
                if self._thread.is_alive():
                    self._change("closed")
                    self._thread.join()
            finally:
                self._state = "closed"
                self._listener.close()
                os.close(self._wake)
                os.close(self._waker)
                remove_folder(self._folder)

    def _change(self, state: State) -> None:
        self.check()
        with self._changing:
            self._freezes = _never
            self._heeded.clear()
            self._state = state
            os.write(self._waker, b"!")
            if not self._heeded.wait(STATE_TIMEOUT):
                raise GradingFailed(
                    f"The way to the server at port {self.port} takes no orders any more. Grade the submission again."
                )

    def _serve(self) -> None:
        loop = RelayLoop(self._listener, self._connect, self._observe)
        freezes = False
        try:
            while self._state != "closed":
                if freezes or self._state == "frozen" or loop.turn(self._wake):
                    self._heed()
                freezes = self._freezes()
                if self._state in ("cut", "closed"):
                    loop.cut()
        except Exception as error:  # noqa: BLE001 - raised where it is asked
            self._error = error
        finally:
            loop.cut()
            self._heeded.set()

    def _heed(self) -> None:
        os.read(self._wake, 1)
        self._heeded.set()

    def _connect(self) -> socket.socket:
        """Begin a connection to the server, without waiting for it."""
        if self._state == "cut":
            raise ConnectionRefusedError
        outer = socket.socket()
        outer.setblocking(False)
        if self._source is not None:
            outer.bind((self._source, 0))
        error = outer.connect_ex((self._host, self.port))
        if error not in (0, errno.EINPROGRESS):
            outer.close()
            raise OSError(error, os.strerror(error))
        return outer


def _never() -> bool:
    return False
