"""The HTTP API as a process of its own, which can be killed, for tests, fault runs and notebooks: both its sides."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from labkit.api.security import Access
from labkit.api.server import ApiServer, tune_process
from labkit.lab import Lab, attach_lab
from labkit.logs import configure
from labkit.process.parent_channel import ParentChannel
from labkit.settings import Settings, load_settings
from labkit.taskqueue.lab_process import LabProcess

#: How often to look whether the server still runs, in seconds.
LOOK_INTERVAL = 0.5


class ApiProcess(LabProcess, checked=True):
    """A server of the API in a process of its own. `port` 0 takes a free one; `token` None needs none."""

    module = __name__
    handed_on = (
        *("api_deliveries", "api_lease", "api_max_lag", "api_require_key", "api_topics", "jobs_url"),
        *("data_dir", "topic_prefix", "transport", "session_timeout"),
    )

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
        self.token = token
        self._port = port
        self._heard = threading.Event()
        super().__init__(lab, name, {"port": port, "token": token}, settings or load_settings(), log_dir)

    @property
    def port(self) -> int:
        """The port it listens on, known once it has started."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def _hear(self, report: dict[str, Any]) -> None:
        self._port = report["port"]
        self._heard.set()

    def _is_ready(self) -> bool:
        return self._heard.is_set()


def main(parent: ParentChannel) -> None:
    """Serve until the order to stop; the port is reported when requests are answered."""
    job = parent.job()
    settings = load_settings()
    if job["log_dir"] is not None:
        configure("api", settings, Path(job["log_dir"]))
    stop = threading.Event()
    parent.listen(on_stop=stop.set)
    access = Access(token=job["token"])
    with (
        attach_lab(settings=settings) as lab,
        ApiServer(lab, port=job["port"], access=access, settings=settings) as api,
    ):
        tune_process()
        parent.report({"port": api.port})
        while not stop.wait(LOOK_INTERVAL):
            api.check()
