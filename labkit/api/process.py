"""The HTTP API as a process of its own, which can be killed: for tests, fault runs and notebooks."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labkit.api.server import START_TIMEOUT
from labkit.errors import DeadlineExceeded, WorkerFailed
from labkit.lab import Lab
from labkit.settings import Settings, environment_with, load_settings
from labkit.taskqueue.child_process import ChildProcess
from labkit.taskqueue.waiting import wait_until

#: Settings that the process takes over from the object that starts it; everything else is in the environment.
HANDED_ON = (
    *("api_deliveries", "api_lease", "api_max_lag", "api_require_key", "api_topics", "jobs_url"),
    *("topic_prefix", "transport", "session_timeout"),
)


class ApiProcess:
    """A server of the API in a process of its own, which ends with this one.

    A context manager: ready inside, stopped after. `port` 0 takes a free one; `token` None needs none. `log_dir` is
    where its log goes, in a folder of its name.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        port: int = 0,
        token: str | None = None,
        name: str = "api",
        log_dir: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.name = name
        self.token = token
        self._port = port
        self._heard = threading.Event()
        job = {"port": port, "token": token, "log_dir": None if log_dir is None else str(log_dir / name)}
        self._child = ChildProcess(
            name,
            "labkit.api.child",
            job,
            hear=self._hear,
            environment=environment_with(**_whereabouts(lab, settings or load_settings())),
        )

    @property
    def port(self) -> int:
        """The port it listens on, known once it has started."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def start(self) -> Self:
        """Start it; returns when it answers. Raises `WorkerFailed` and `DeadlineExceeded`."""
        self.launch()
        return self.wait_until_ready()

    def launch(self) -> None:
        """Start it and do not wait: several get ready side by side."""
        self._child.start()

    def wait_until_ready(self) -> Self:
        """Return when it answers."""
        wait_until(
            lambda: self._heard.is_set() or not self._child.alive(),
            timeout=START_TIMEOUT,
            what=f"{self.name} was to get ready",
        )
        self.check()
        return self

    def alive(self) -> bool:
        """Whether it runs."""
        return self._child.alive()

    def check(self) -> None:
        """Raise `WorkerFailed` if it has ended by itself."""
        if not self._child.alive():
            self._child.join()
            raise WorkerFailed(f"{self.name} ended although nobody asked it to.")

    def kill(self) -> None:
        """SIGKILL it."""
        self._child.kill()

    def stop(self) -> None:
        """Let it answer what it has begun to and end; raises `WorkerFailed`."""
        if self._child.alive():
            self._child.ask_to_stop()
            self._child.join()

    def _hear(self, message: dict[str, Any]) -> None:
        self._port = message["port"]
        self._heard.set()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except (WorkerFailed, DeadlineExceeded, KeyboardInterrupt):
            if self.alive():
                self.kill()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _whereabouts(lab: Lab, settings: Settings) -> dict[str, object]:
    """The settings by which the process finds this lab, whatever its name is."""
    handed_on = {name: getattr(settings, name) for name in HANDED_ON}
    here = {"bootstrap_servers": lab.bootstrap_servers, "redis_url": lab.redis_url, "data_dir": settings.data_dir}
    return {name: value for name, value in (here | handed_on).items() if value not in (None, "")}
