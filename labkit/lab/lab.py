"""The lab as a program sees it: `with Lab() as lab:` and `open_lab()`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock

from labkit.errors import LabError
from labkit.lab.connection import Connection, external_connection, plain_connection
from labkit.lab.folders import LabFolders, named_lab
from labkit.lab.kafka_server import HOST
from labkit.lab.keeping import Keeping
from labkit.lab.starting import Plan, start
from labkit.lab.state import State, read_state
from labkit.settings import Settings, load_settings


class Lab:
    """A running Kafka and Redis.

    Without a name, a private lab: on a free port, in a temporary folder that is deleted at the end. With a name, the
    lab of that name, whose data stays. Either way the servers end with this process, also when it is killed.
    Where `LABKIT_BOOTSTRAP_SERVERS` or `LABKIT_REDIS_URL` is set, that server is used and none is started.
    """

    def __init__(self, name: str | None = None, *, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()
        self.name = name or "private"
        self._keeping: Keeping | None = None
        if name is None:
            folders = LabFolders(Path(tempfile.mkdtemp(prefix="labkit-")))
        else:
            folders = named_lab(self._settings, name)
        folders.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        plan = Plan(
            folders=folders,
            port=None if name is None else self._settings.port,
            throw_away=name is None,
            timeout=self._settings.start_timeout,
        )
        with FileLock(folders.lock):
            found = read_state(folders.state)
            if found is not None and found.running():
                raise LabError(f"The lab {name!r} is running already; attach to it with open_lab({name!r}).")
            self._state, self._keeping = start(plan, self._settings)

    @classmethod
    def _attach(cls, name: str, state: State, settings: Settings) -> Self:
        lab = cls.__new__(cls)
        lab.name, lab._state, lab._settings, lab._keeping = name, state, settings, None
        return lab

    @property
    def bootstrap_servers(self) -> str:
        """host:port of Kafka."""
        return self._settings.bootstrap_servers or f"{HOST}:{self._state.port}"

    @property
    def redis_url(self) -> str:
        """The URL of Redis, as redis-py takes it."""
        return self._settings.redis_url or f"unix://{self._state.socket}"

    @property
    def connection(self) -> Connection:
        """How clients reach Kafka."""
        if self._settings.bootstrap_servers:
            return external_connection(self._settings)
        return plain_connection(self.bootstrap_servers, self._settings)

    @property
    def kafka_pid(self) -> int | None:
        """The pid of the broker; None if it is an external one."""
        return None if self._state.kafka is None else self._state.kafka.pid

    @property
    def redis_pid(self) -> int | None:
        """The pid of Redis; None if it is an external one."""
        return None if self._state.redis is None else self._state.redis.pid

    def close(self) -> None:
        """End the servers if this object has started them. Closing twice is no error."""
        if self._keeping is not None:
            self._keeping.stop()
            self._keeping = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Lab {self.name!r}: Kafka at {self.bootstrap_servers}"


def open_lab(name: str | None = None, *, settings: Settings | None = None) -> Lab:
    """Attach to the running lab of that name (by default the one in the settings), or start it for this process."""
    settings = settings or load_settings()
    name = name or settings.lab
    state = read_state(named_lab(settings, name).state)
    if state is not None and state.ready and state.running():
        return Lab._attach(name, state, settings)
    return Lab(name, settings=settings)
