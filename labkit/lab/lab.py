"""The lab as a program sees it: `with Lab() as lab:` and `open_lab()`."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import Self

from labkit.errors import LabError, LabNotRunning
from labkit.lab.connection import Connection, external_connection, plain_connection
from labkit.lab.folders import LabFolders, named_lab
from labkit.lab.kafka_server import HOST
from labkit.lab.keeping import Keeping
from labkit.lab.life import check_external, find_or_start
from labkit.lab.starting import start
from labkit.lab.state import State, redis_url, running_state
from labkit.settings import Settings, load_settings

#: The name that a private lab goes by.
PRIVATE = "private"

#: The labs with a name that this process has started, so that opening one again finds it.
_opened: dict[Path, Lab] = {}
_lock = threading.RLock()


class Lab:
    """A running Kafka and Redis.

    Without a name, a private lab: on a free port, in a temporary folder that is deleted at the end. With a name, the
    lab of that name, whose data stays. Either way the servers end with this process, also when it is killed.
    Where `LABKIT_BOOTSTRAP_SERVERS` or `LABKIT_REDIS_URL` is set, that server is used and none is started.

    Raises `LabError` or one of its subclasses; a `LabError` itself if a lab of that name is running already.
    """

    def __init__(self, name: str | None = None, *, settings: Settings | None = None) -> None:
        settings = settings or load_settings()
        if name is None:
            state, keeping = _start_private(settings)
        else:
            state, keeping = _start_named(name, settings)
        self._take(name or PRIVATE, settings, state, keeping)

    def _take(self, name: str, settings: Settings, state: State | None, keeping: Keeping | None) -> None:
        self.name = name
        self._settings = settings
        self._state = state
        self._keeping = keeping
        self._owner = os.getpid()

    @classmethod
    def _of(cls, name: str, settings: Settings, state: State | None, keeping: Keeping | None) -> Self:
        lab = cls.__new__(cls)
        lab._take(name, settings, state, keeping)
        return lab

    @property
    def bootstrap_servers(self) -> str:
        """host:port of Kafka."""
        return self.connection.bootstrap_servers

    @property
    def connection(self) -> Connection:
        """How clients reach Kafka."""
        if self._settings.bootstrap_servers is not None or self._state is None:
            return external_connection(self._settings)
        return plain_connection(f"{HOST}:{self._state.port}", self._settings)

    @property
    def redis_url(self) -> str:
        """The URL of Redis, as redis-py takes it. Raises `LabNotRunning` if only an external Kafka is there."""
        if self._settings.redis_url is not None:
            return self._settings.redis_url
        if self._state is None:
            raise LabNotRunning("No Redis is running. Start one with `labkit up`, or set LABKIT_REDIS_URL.")
        return redis_url(self._state)

    @property
    def kafka_pid(self) -> int | None:
        """The pid of the broker; None if it is an external one."""
        return None if self._state is None or self._state.kafka is None else self._state.kafka.pid

    @property
    def redis_pid(self) -> int | None:
        """The pid of Redis; None if it is an external one."""
        return None if self._state is None or self._state.redis is None else self._state.redis.pid

    def close(self) -> None:
        """End the servers if this object has started them. Closing twice is no error."""
        with _lock:
            if self._keeping is not None and self._owner == os.getpid():  # not in a forked child
                self._keeping.stop()
                self._keeping = None

    def _runs_here(self) -> bool:
        return self._keeping is not None and self._state is not None and self._state.running()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        versions = {} if self._state is None else self._state.versions
        kafka = f"{versions.get('kafka', 'Kafka')} at {self.bootstrap_servers}"
        if self._settings.redis_url is not None:
            redis = "an external Redis"
        elif self._state is None:
            redis = "no Redis"
        else:
            redis = f"{versions['redis']} on a private socket"
        return f"Lab {self.name!r}: {kafka}, {redis}"


def open_lab(name: str | None = None, *, settings: Settings | None = None) -> Lab:
    """Attach to the running lab of that name (by default the one in the settings), or start it for this process.

    Closing a lab that was attached to leaves it running. Opening a lab again that this process has started gives the
    same object. Raises `LabError` or one of its subclasses.
    """
    settings = settings or load_settings()
    name = name or settings.lab
    folders = named_lab(settings, name)
    with _lock:
        opened = _opened.get(folders.root)
        if opened is not None and opened._runs_here():
            return opened
        state, keeping = _find_or_start(name, folders, settings)
        lab = Lab._of(name, settings, state, keeping)
        if keeping is not None:
            _opened[folders.root] = lab
        return lab


def attach_lab(name: str | None = None, *, settings: Settings | None = None) -> Lab:
    """Attach to the running lab of that name (by default the one in the settings).

    Closing it leaves it running. Raises `LabNotRunning`; an external Kafka needs no running lab.
    """
    settings = settings or load_settings()
    name = name or settings.lab
    state = running_state(named_lab(settings, name), settings)
    if state is None and settings.bootstrap_servers is None:
        raise LabNotRunning(f"The lab {name!r} is not running. Start it with `labkit up`.")
    return Lab._of(name, settings, state, None)


def _find_or_start(name: str, folders: LabFolders, settings: Settings) -> tuple[State | None, Keeping | None]:
    if settings.bootstrap_servers is not None:
        check_external(settings)
    if _all_external(settings):
        return None, None
    state = running_state(folders, settings)
    return (state, None) if state is not None else find_or_start(name, folders, settings)


def _start_named(name: str, settings: Settings) -> tuple[State | None, Keeping | None]:
    if settings.bootstrap_servers is not None:
        check_external(settings)
    if _all_external(settings):
        return None, None
    state, keeping = find_or_start(name, named_lab(settings, name), settings)
    if keeping is None:
        raise LabError(f"The lab {name!r} is running already. Attach to it with `open_lab({name!r})`.")
    return state, keeping


def _start_private(settings: Settings) -> tuple[State | None, Keeping | None]:
    if settings.bootstrap_servers is not None:
        check_external(settings)
    if _all_external(settings):
        return None, None
    folders = LabFolders(Path(tempfile.mkdtemp(prefix="labkit-")))
    try:
        return start(folders, settings, port=None, insist=False, throw_away=True)
    except BaseException:
        rmtree(folders.root, ignore_errors=True)
        raise


def _all_external(settings: Settings) -> bool:
    return settings.bootstrap_servers is not None and settings.redis_url is not None
