"""A process that does its work for a lab: started, watched, killed and frozen from this one."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

from msgspec.json import decode

from labkit.errors import WorkerFailed
from labkit.lab import Lab
from labkit.process.child_process import ChildProcess
from labkit.process.output_log import OUTPUT_FILE, OutputLog
from labkit.process.signals import held_back
from labkit.resource import Resource
from labkit.settings import Settings, environment_with
from labkit.taskqueue.timeouts import wait_until

#: How long a process may take to get ready, in seconds.
START_TIMEOUT = 60.0


class LabProcess(Resource, ABC):
    """Runs `main(parent)` of `module`, and ends with this process. A context manager: ready inside, stopped after.

    The process finds the lab, whatever its name is, and takes over the settings `handed_on` from this one; everything
    else is in the environment. `log_dir` is where its log goes, and what it prints, in a folder of its name.
    """

    module: ClassVar[str]
    handed_on: ClassVar[tuple[str, ...]]

    def __init__(self, lab: Lab, name: str, job: dict[str, Any], settings: Settings, log_dir: Path | None) -> None:
        self.name = name
        folder = None if log_dir is None else log_dir.absolute() / name
        self._child = ChildProcess(
            name,
            self.module,
            {**job, "name": name, "log_dir": None if folder is None else str(folder)},
            hear=lambda report: self._hear(decode(report)),
            environment=environment_with(**self._whereabouts(lab, settings)),
            output=OutputLog(name, None if folder is None else folder / OUTPUT_FILE),
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def start(self) -> Self:
        """Start it; returns when it is ready. Raises `WorkerFailed` and `DeadlineExceeded`."""
        self.launch()
        return self.wait_until_ready()

    def launch(self) -> None:
        """Start it and do not wait: several get ready side by side."""
        self._child.start()

    def wait_until_ready(self) -> Self:
        """Return when it is ready. Raises `WorkerFailed` and `DeadlineExceeded`."""
        wait_until(self._is_up, timeout=START_TIMEOUT, what=f"{self.name} was to get ready", told=self._last_words)
        return self

    def _last_words(self) -> str:
        said = self._child.output.last_line()
        last = f"It said last: {said!r}." if said else "It said nothing."
        return f"{last} A computer with too much to do may need longer: start it once more."

    def output(self) -> str:
        """What it has printed, and what it ran: the newest of it."""
        return self._child.output.text()

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

    def freeze(self) -> None:
        """SIGSTOP it."""
        self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT it."""
        self._child.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Let it finish what it has begun and end; raises `WorkerFailed`. A second Ctrl-C is held back meanwhile."""
        if self._child.alive():
            with held_back():
                self._child.ask_to_stop()
                self._child.join()

    def close(self) -> None:
        """As `stop`."""
        self.stop()

    def _give_up(self) -> None:
        if self.alive():
            self.kill()

    def _is_up(self) -> bool:
        self.check()
        return self._is_ready()

    def _whereabouts(self, lab: Lab, settings: Settings) -> dict[str, object]:
        handed_on = {name: getattr(settings, name) for name in self.handed_on}
        here = {"bootstrap_servers": lab.bootstrap_servers, "redis_url": lab.redis_url}
        return {name: value for name, value in (here | handed_on).items() if value not in (None, "")}

    def _hear(self, report: dict[str, Any]) -> None:
        """It has reported this, on a thread."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it can do its work; asked for while it runs."""
