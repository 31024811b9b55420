"""The lab as a program sees it: `with Lab() as lab:` and `open_lab()`."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from labkit.errors import LabError, LabNotRunning
from labkit.lab import restart
from labkit.lab.connection import Connection, external_connection, plain_connection
from labkit.lab.folders import LabFolders, named_lab
from labkit.lab.lifecycle import check_external, find_or_start, restart_brokers, restart_redis
from labkit.lab.startup import start
from labkit.lab.state import State, read_state, redis_url, running_state
from labkit.lab.supervisor import Supervisor
from labkit.lab_hints import with_name
from labkit.parameters import checked
from labkit.resource import Resource
from labkit.settings import Settings, load_settings
from labkit.temporary_folder import remove_folder, temporary_folder

#: The name that a private lab goes by.
PRIVATE = "private"

#: The labs with a name that this process has started, so that opening one again finds it.
_opened: dict[Path, Lab] = {}
_lock = threading.RLock()


class Lab(Resource, checked=True):
    """A running Kafka and Redis.

    Without a name, a private lab: on a free port, in a temporary folder that is deleted at the end. With a name, the
    lab of that name, whose data stays. Either way the servers end with this process, also when it is killed.
    Where `LABKIT_BOOTSTRAP_SERVERS` or `LABKIT_REDIS_URL` is set, that server is used and none is started.
    `brokers` is 1, 3 or 5: with three, each record is held by all of them, and one can be killed without anything
    stopping. By default as many as the lab of that name has had so far, or one. `properties` are further ones of
    Kafka's servers, for a private lab.

    Raises `LabError` or one of its subclasses; a `LabError` itself if a lab of that name is running already.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        brokers: int | None = None,
        settings: Settings | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        settings = settings or load_settings()
        if name is None:
            folders = LabFolders(temporary_folder("lab"))
            state, supervisor = _start_private(folders, brokers, settings, properties)
        else:
            folders = named_lab(settings, name)
            state, supervisor = _start_named(name, folders, brokers, settings)
        self._take(name or PRIVATE, folders, settings, state, supervisor)
        self._temporary = name is None

    def _take(
        self, name: str, folders: LabFolders, settings: Settings, state: State | None, supervisor: Supervisor | None
    ) -> None:
        self.name = name
        self._folders = folders
        self._settings = settings
        self._started = state
        self._supervisor = supervisor
        self._owner = os.getpid()
        self._temporary = False

    @classmethod
    def _of(
        cls, name: str, folders: LabFolders, settings: Settings, state: State | None, supervisor: Supervisor | None
    ) -> Self:
        lab = cls.__new__(cls)
        lab._take(name, folders, settings, state, supervisor)
        return lab

    @property
    def _state(self) -> State | None:
        """What runs now: any process may have started a broker again."""
        if self._started is None:
            return None
        found = read_state(self._folders.state)
        return found if found is not None and found.supervisor == self._started.supervisor else self._started

    @property
    def bootstrap_servers(self) -> str:
        """host:port of Kafka; of each broker, with commas between, where there are several."""
        return self.connection.bootstrap_servers

    @property
    def connection(self) -> Connection:
        """How clients reach Kafka."""
        if self._settings.bootstrap_servers is not None or self._started is None:
            return external_connection(self._settings)
        return plain_connection(self._started.bootstrap_servers or "", self._settings)

    @property
    def redis_url(self) -> str:
        """The URL of Redis, as redis-py takes it. Raises `LabNotRunning` if only an external Kafka is there."""
        if self._settings.redis_url is not None:
            return self._settings.redis_url
        if self._started is None:
            raise LabNotRunning("No Redis is running. Start one with `labkit up`, or set LABKIT_REDIS_URL.")
        return redis_url(self._started)

    @property
    def data_folder(self) -> Path:
        """Where this lab keeps its data, and what goes with it may too. That of a private lab is gone at the end.

        What goes with an external Kafka has a folder of its own in it.
        """
        address = self._settings.bootstrap_servers
        return self._folders.root if address is None else self._folders.of_external(address)

    @property
    def brokers(self) -> dict[int, int | None]:
        """The pid of each broker by its node id, counted from 1; None for one that has ended. {} if Kafka is external.

        Kafka's metadata name the leader of a partition by the same ids.
        """
        state = self._state
        gone = [] if state is None else [broker.node for broker in state.missing()]
        found = () if state is None else state.brokers
        return {broker.node: None if broker.node in gone else broker.process.pid for broker in found}

    @property
    def kafka_pid(self) -> int | None:
        """The pid of the first broker; None if it is an external one."""
        state = self._state
        return state.brokers[0].process.pid if state is not None and state.brokers else None

    @property
    def redis_pid(self) -> int | None:
        """The pid of Redis; None if it is an external one, or has ended."""
        state = self._state
        return None if state is None or state.redis is None or not state.redis.alive() else state.redis.pid

    def kill_broker(self, node: int = 1) -> None:
        """SIGKILL the broker and return when it has ended. Raises `LabError` if the lab has no such broker."""
        self._must_have_brokers()
        restart.kill_broker(self._folders, node)

    def restart_broker(self, *nodes: int) -> None:
        """Start brokers again with their data and ports, by default the first, and return when they are back.

        Back is a broker that has its place in the cluster; what it has missed it reads from the others from then on.
        It ends with the lab, as before. One that still runs is ended first, by SIGTERM. A cluster decides nothing
        without a majority, so where two of three are down, name both.
        Raises `LabError` if the lab has no such broker, `PortInUse`, and `ServerFailed`.
        """
        self._must_have_brokers()
        self._note(restart_brokers(self.name, self._folders, nodes or (1,), self._settings))

    def kill_redis(self) -> None:
        """SIGKILL Redis and return when it has ended. Raises `LabError` if the lab has no Redis of its own."""
        self._must_have_redis()
        restart.kill_redis(self._folders)

    def restart_redis(self) -> None:
        """Start Redis again at its socket, and return when it has read its data and answers.

        Whatever it had acknowledged is there. One that still runs is ended first, by SIGTERM.
        Raises `LabError` if the lab has no Redis of its own, and `ServerFailed`.
        """
        self._must_have_redis()
        self._note(restart_redis(self.name, self._folders, self._settings))

    def _note(self, state: State) -> None:
        if self._supervisor is not None:
            self._supervisor.servers.update(state.servers())

    def _must_have_brokers(self) -> None:
        if self._started is None or not self._started.brokers:
            raise LabError("Kafka is an external one here (LABKIT_BOOTSTRAP_SERVERS), so labkit leaves it alone.")

    def _must_have_redis(self) -> None:
        if self._started is None or self._started.redis is None:
            raise LabError("Redis is an external one here (LABKIT_REDIS_URL), so labkit leaves it alone.")

    def close(self) -> None:
        """End the servers if this object has started them. Closing twice is no error."""
        with _lock:
            if self._supervisor is not None and self._owner == os.getpid():  # not in a forked child
                self._supervisor.stop()
                self._supervisor = None
                if self._temporary:
                    remove_folder(self._folders.root)  # the supervisor has, unless it was killed

    def _runs_here(self) -> bool:
        state = self._state
        return self._supervisor is not None and state is not None and state.running()

    def __repr__(self) -> str:
        versions = {} if self._started is None else self._started.versions
        kafka = f"{versions.get('kafka', 'Kafka')} at {self.bootstrap_servers}"
        if self._settings.redis_url is not None:
            redis = "an external Redis"
        elif self._started is None:
            redis = "no Redis"
        else:
            redis = f"{versions['redis']} on a private socket"
        return f"Lab {self.name!r}: {kafka}, {redis}"


@checked
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
        state, supervisor = _find_or_start(name, folders, settings)
        lab = Lab._of(name, folders, settings, state, supervisor)
        if supervisor is not None:
            _opened[folders.root] = lab
        return lab


@checked
def attach_lab(name: str | None = None, *, settings: Settings | None = None) -> Lab:
    """Attach to the running lab of that name (by default the one in the settings).

    Closing it leaves it running. Raises `LabNotRunning`; an external Kafka needs no running lab.
    """
    settings = settings or load_settings()
    name = name or settings.lab
    folders = named_lab(settings, name)
    state = running_state(folders, settings)
    if state is None and settings.bootstrap_servers is None:
        raise LabNotRunning(with_name(f"The lab {name!r} is not running. Start it with `labkit up`.", name))
    return Lab._of(name, folders, settings, state, None)


def _find_or_start(name: str, folders: LabFolders, settings: Settings) -> tuple[State | None, Supervisor | None]:
    if settings.bootstrap_servers is not None:
        check_external(settings)
    if _all_external(settings):
        return None, None
    state = running_state(folders, settings)
    return (state, None) if state is not None else find_or_start(name, folders, settings)


def _start_named(
    name: str, folders: LabFolders, brokers: int | None, settings: Settings
) -> tuple[State | None, Supervisor | None]:
    if settings.bootstrap_servers is not None:
        check_external(settings)
    if _all_external(settings):
        return None, None
    state, supervisor = find_or_start(name, folders, settings, brokers=brokers)
    if supervisor is None:
        raise LabError(f"The lab {name!r} is running already. Attach to it with `open_lab({name!r})`.")
    return state, supervisor


def _start_private(
    folders: LabFolders, brokers: int | None, settings: Settings, properties: Mapping[str, str] | None
) -> tuple[State | None, Supervisor | None]:
    try:
        if settings.bootstrap_servers is not None:
            check_external(settings)
        if _all_external(settings):
            remove_folder(folders.root)
            return None, None
        return start(folders, settings, brokers=brokers, ports=(), insist=False, throw_away=True, properties=properties)
    except BaseException:
        remove_folder(folders.root)
        raise


def _all_external(settings: Settings) -> bool:
    return settings.bootstrap_servers is not None and settings.redis_url is not None
