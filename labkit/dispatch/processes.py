"""Celery's workers and dispatchers as processes, which can be killed and frozen."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import to_builtins

from labkit.dispatch.app import broker_url
from labkit.dispatch.dispatcher import group_of
from labkit.dispatch.making import BRIDGE, BRIDGE_GROUP, DISPATCHER_GROUP, new_name
from labkit.dispatch.room import connect, running_workers
from labkit.dispatch.worker import Pool
from labkit.errors import WorkerFailed
from labkit.lab import Lab
from labkit.policies import PriorityClass
from labkit.settings import Settings, environment_with, load_settings
from labkit.taskqueue.child_process import ChildProcess
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.waiting import wait_until

#: How long a process may take to get ready, in seconds.
START_TIMEOUT = 30.0

#: Settings that a process takes over from the object that starts it; everything else is in the environment.
HANDED_ON = (
    "celery_broker_url",
    "celery_imports",
    "celery_results",
    "celery_visibility_timeout",
    "session_timeout",
    "topic_prefix",
)


class _Process(ABC):
    """A process of dispatch. A context manager: started and ready inside, ended after."""

    def __init__(self, lab: Lab, name: str, job: dict[str, Any], settings: Settings, log_dir: Path | None) -> None:
        self.name = name
        self._lab = lab
        self._settings = settings
        folder = None if log_dir is None else str(log_dir / name)
        self._child = ChildProcess(
            name,
            "labkit.dispatch.child",
            {**job, "name": name, "log_dir": folder},
            hear=lambda message: None,
            environment=environment_with(**self._whereabouts()),
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def start(self) -> Self:
        """Start it; returns when it is ready. Raises `WorkerFailed` and `DeadlineExceeded`."""
        self._child.start()
        wait_until(self._is_ready, timeout=START_TIMEOUT, what=f"{self.name} was to get ready")
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

    def freeze(self) -> None:
        """SIGSTOP it."""
        self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT it."""
        self._child.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Let it finish what it has begun and end; raises `WorkerFailed`."""
        if self._child.alive():
            self._child.ask_to_stop()
            self._child.join()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            if self.alive():
                self.kill()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _whereabouts(self) -> dict[str, object]:
        """The settings by which the process finds this lab, whatever its name is."""
        handed_on = {name: getattr(self._settings, name) for name in HANDED_ON}
        here = {"bootstrap_servers": self._lab.bootstrap_servers, "redis_url": self._lab.redis_url}
        return {name: value for name, value in (here | handed_on).items() if value not in (None, "")}

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether others can see it at work."""


class CeleryWorker(_Process):
    """A Celery worker in a process of its own, with `concurrency` processes or threads for tasks.

    Prefork is Celery's own default; threads start at once, and suit tasks that wait. `prefetch` is how many tasks are
    taken per process, those that run included; Celery's own default is 4, with which urgent tasks wait behind others.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        pool: Pool = "prefork",
        concurrency: int = 2,
        prefetch: int = 1,
        name: str | None = None,
        log_dir: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or load_settings()
        job = {"role": "celery", "pool": pool, "concurrency": concurrency, "prefetch": prefetch}
        super().__init__(lab, name or new_name("celery"), job, settings, log_dir)
        self._client = connect(broker_url(settings, lab))

    def _is_ready(self) -> bool:
        self.check()
        return self.name in running_workers(self._client, self._settings)


class DispatcherProcess(_Process):
    """A dispatcher, or with a `topic` a bridge, in a process of its own, which can be killed."""

    def __init__(
        self,
        lab: Lab,
        topics: Topics,
        classes: Sequence[PriorityClass] = (),
        policy: str = "strict",
        options: Mapping[str, float] | None = None,
        *,
        topic: str | None = None,
        limit: int | None = None,
        name: str | None = None,
        log_dir: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        name = name or new_name("dispatcher")
        job = {
            "role": "dispatcher",
            "topic": topic,
            "classes": to_builtins(list(classes)),
            "policy": policy,
            "options": dict(options or {}),
            "limit": limit,
        }
        super().__init__(lab, name, job, settings or load_settings(), log_dir)
        self._topics = topics
        self._groups = (
            [group_of(BRIDGE_GROUP, BRIDGE)] if topic else [group_of(DISPATCHER_GROUP, one.name) for one in classes]
        )

    def _is_ready(self) -> bool:
        self.check()
        return all(
            any(member.startswith(f"{self.name}.") and places for member, places in self._topics.members(group).items())
            for group in self._groups
        )
