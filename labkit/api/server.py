"""The HTTP API as a server in this process: on a thread of its own, so that a notebook or a command goes on."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import sys
import threading
from typing import Self
from urllib.parse import quote

import uvicorn

from labkit.api.app import make_app
from labkit.api.backstop import Backstop
from labkit.api.bounded_connection import ACCEPTED_AT_ONCE, BoundedConnection
from labkit.api.security import Access, access_of
from labkit.errors import LabkitError, PortInUse, ServerFailed
from labkit.lab import Lab
from labkit.logs.safe_logger import safe_logger
from labkit.process.child_process import STOP_TIMEOUT
from labkit.process.signals import held_back
from labkit.resource import Resource
from labkit.settings import Settings, load_settings
from labkit.taskqueue.timeouts import wait_until

log = safe_logger("labkit.api")

#: How long the server may take to be ready, in seconds.
START_TIMEOUT = 60.0
#: How long requests that run may take to end when the server is stopped, in seconds.
REQUEST_TIMEOUT = 10
#: How long a thread of a process that only serves may run before another gets its turn, in seconds. With Python's 5 ms
#: the threads that talk to Kafka would keep requests waiting.
SWITCH_INTERVAL = 0.0005
#: How many connections may wait to be accepted.
BACKLOG = 2048


def tune_process() -> None:
    """For a process that does nothing but serve: call it when the server is ready."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    # what is there now stays; without this, every full collection goes through it all and holds up requests
    gc.collect()
    gc.freeze()


class ApiServer(Resource):
    """The API of the lab at `url`. A context manager: ready inside, stopped after.

    `port` None takes that of the settings, or where it is in use a free one, which is said; 0 takes a free one. Raises
    `PortInUse`, `SettingsError`, and what the lab raises.
    """

    def __init__(
        self, lab: Lab, *, port: int | None = None, access: Access | None = None, settings: Settings | None = None
    ) -> None:
        self._settings = settings or load_settings()
        self.access = access or access_of(self._settings)
        self._app = make_app(lab, self._settings, self.access)
        self._socket = listen(self.access.host, port, wished=self._settings.api_port)
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                Backstop(self._app),
                loop="asyncio",
                http=BoundedConnection,
                lifespan="on",
                ws="none",
                log_config=None,
                access_log=False,  # it would write down the token of `?token=…`; the application has its own
                server_header=False,
                proxy_headers=False,
                backlog=ACCEPTED_AT_ONCE,
                timeout_graceful_shutdown=REQUEST_TIMEOUT,
            )
        )
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens; without a slash at the end."""
        host = f"[{self.access.host}]" if ":" in self.access.host else self.access.host
        return f"http://{host}:{self.port}"

    @property
    def page(self) -> str:
        """The address of the page, with the token that it needs."""
        return f"{self.url}/" if self.access.token is None else f"{self.url}/?token={quote(self.access.token, safe='')}"

    def start(self) -> Self:
        """Return when requests are answered."""
        self._thread.start()
        wait_until(
            lambda: self._server.started or not self._thread.is_alive(),
            timeout=START_TIMEOUT,
            what="the API was to get ready",
            told=lambda: "Its log (api.log in the folder of logs) says what it is at; start it once more.",
        )
        self.check()
        return self

    def check(self) -> None:
        """Raise what the server ended with, if it has ended by itself."""
        if self._thread.is_alive():
            return
        failure = self._app.state.failure or self._failure
        if isinstance(failure, LabkitError):
            raise failure
        raise ServerFailed(f"The API has ended: {failure or 'its log says why'}.") from failure

    def stop(self) -> None:
        """Take no more requests, finish those that run, end the streams. Stopping twice is no error.

        Raises `ServerFailed` if that takes too long, and its thread is left behind. A second Ctrl-C is held back.
        """
        self._server.should_exit = True
        with held_back():
            if self._thread.ident is not None:
                self._thread.join(STOP_TIMEOUT)
            self._socket.close()
            if self._thread.is_alive():
                raise ServerFailed(f"The API did not stop within {STOP_TIMEOUT:g} s, and its thread is left behind.")

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - `check` raises it on the caller's thread
            self._failure = failure

    def close(self) -> None:
        """As `stop`."""
        self.stop()


class _Server(uvicorn.Server):
    """Tells the application before it waits for requests to end: streams and long polls end when they are told."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn calls this once."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)  # asyncio has set it to the number that it accepts at once

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn calls this once."""
        self.config.app.app.state.services.end_waits()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def listen(host: str, port: int | None, *, wished: int) -> socket.socket:
    """A socket that listens on this port, 0 for a free one; or, where none is named, on the one that is wished for, or
    on a free one if another program has that. Raises `PortInUse`.
    """
    if port is not None:
        return _listen(host, port)
    try:
        return _listen(host, wished)
    except PortInUse as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
            raise
    listener = _listen(host, 0)
    log.warning("Port %d is in use by another program, so the API is at port %d.", wished, listener.getsockname()[1])
    return listener


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named, since asyncio sends small answers at once (TCP_NODELAY) only where it is
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise PortInUse(
                f"The API cannot listen on {host}: {error.strerror}. Name an address of this machine by `--host`; "
                "127.0.0.1 is for this machine only, 0.0.0.0 for all."
            ) from error
        raise PortInUse(
            f"The API cannot listen on {host}, port {port}: {error.strerror}. Choose another port by `--port` or "
            "LABKIT_API_PORT; 0 takes a free one."
        ) from error
    return listener
