"""The life of a lab with a name: found, started, mended, stopped, thrown away. One process at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

from labkit.errors import BrokerUnreachable, LabError, NotAuthorized
from labkit.lab import restart
from labkit.lab.connection import external_connection, librdkafka_config
from labkit.lab.diagnosis import how_it_ended
from labkit.lab.folders import LabFolders, make_folder
from labkit.lab.restart import GRACE
from labkit.lab.startup import BROKERS, check_number, refuse_another_number, start
from labkit.lab.state import State, read_state, running_state
from labkit.lab.supervisor import Supervisor, end_supervisor
from labkit.settings import Settings

logger = logging.getLogger(__name__)

#: How long to wait for another process that starts or stops the same lab, in seconds. A first start may take a minute.
PATIENCE = 180.0

LAST_PORT = 65535

#: How long an external Kafka may take to answer, in seconds.
EXTERNAL_TIMEOUT = 10.0


def find_or_start(
    name: str, folders: LabFolders, settings: Settings, *, brokers: int | None = None, port: int | None = None
) -> tuple[State, Supervisor | None]:
    """The lab that runs already (then there is no `Supervisor`), or one that was started and ends with this process.

    What is left of a lab that was killed is mended first; of several brokers, only those that are missing are started.
    With `port`, that port or `PortInUse`. With `brokers`, that
    number or `LabError`; else as many as the lab has had so far.
    """
    check_number(brokers)
    with _only_one(name, folders):
        refuse_another_number(brokers, folders.brokers())
        _mend(folders, settings)
        state = running_state(folders, settings)
        if state is not None:
            return state, None
        remains = _clear_remains(name, folders)
        wanted = _wanted_ports(port, remains, settings)
        return start(folders, settings, brokers=brokers, ports=wanted, insist=port is not None, throw_away=False)


def _mend(folders: LabFolders, settings: Settings) -> None:
    """Where some of several brokers have ended, start those again and leave the others running."""
    state = read_state(folders.state)
    if state is None or not state.supervisor.alive():
        return
    state = restart.note_restarts(state, folders, timeout=settings.start_timeout)
    if not state.can_be_mended():
        return
    reason = how_it_ended(folders, state) or "Some of the brokers have ended"
    missing = [broker.node for broker in state.missing()]
    what = "It is" if len(missing) == 1 else "They are"
    logger.warning("%s. %s started again with all data, and the rest goes on.", reason, what)
    restart.restart_brokers(folders, missing, timeout=settings.start_timeout)


def _wanted_ports(port: int | None, remains: State | None, settings: Settings) -> list[int]:
    """After a crash the same ports as before, for clients are still trying to reach them; else one after the other."""
    if port is None and remains is not None and remains.brokers:
        return [broker.port for broker in remains.brokers]
    first = port or settings.port
    return list(range(first, min(first + max(BROKERS), LAST_PORT + 1)))


def restart_brokers(name: str, folders: LabFolders, nodes: Sequence[int], settings: Settings) -> State:
    """End the brokers that still run, and start them again with their data; see `restart.restart_brokers`."""
    with _only_one(name, folders):
        return restart.restart_brokers(folders, nodes, timeout=settings.start_timeout)


def restart_redis(name: str, folders: LabFolders, settings: Settings) -> State:
    """End Redis if it still runs, and start it again with its data; see `restart.restart_redis`."""
    with _only_one(name, folders):
        return restart.restart_redis(folders, timeout=settings.start_timeout)


def stop(name: str, folders: LabFolders) -> bool:
    """End the lab, whoever has started it; its data stays. False if nothing was running."""
    if read_state(folders.state) is None:
        return False
    with _only_one(name, folders):
        state = read_state(folders.state)
        if state is None:
            return False
        _end(state, folders)
        return True


def reset(name: str, folders: LabFolders) -> None:
    """End the lab and delete everything that it stores."""
    stop(name, folders)
    rmtree(folders.root)


def _clear_remains(name: str, folders: LabFolders) -> State | None:
    """End what is left of a lab that no longer runs as it should, and return what was noted about it."""
    state = read_state(folders.state)
    if state is None:
        folders.state.unlink(missing_ok=True)  # there may be one that can't be understood
        return None
    reason = how_it_ended(folders, state)
    if not state.ready:
        logger.warning("The last start of the lab %r was cut off. It is started anew.", name)
    elif reason is not None:
        logger.warning("%s. The lab %r is started again with its data.", reason, name)
    _end(state, folders)
    return state


def _end(state: State, folders: LabFolders) -> None:
    end_supervisor(state.supervisor, list(state.servers().values()), GRACE)
    if state.socket is not None and not Path(state.socket).is_relative_to(folders.root):
        rmtree(Path(state.socket).parent, ignore_errors=True)  # usually the supervisor has done it
    folders.state.unlink(missing_ok=True)


@contextmanager
def _only_one(name: str, folders: LabFolders) -> Iterator[None]:
    from filelock import FileLock, Timeout

    make_folder(folders.root)
    try:
        with FileLock(folders.lock, timeout=PATIENCE):
            yield
    except Timeout:
        raise LabError(f"Another process has been starting or stopping the lab {name!r} for {PATIENCE:g} s.") from None


def check_external(settings: Settings) -> None:
    """Ask the external Kafka for its topics. Raises `BrokerUnreachable` or `NotAuthorized`."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient

    connection = external_connection(settings)
    errors: list[KafkaError] = []
    config: dict[str, Any] = {**librdkafka_config(connection), "log_level": 0, "error_cb": errors.append}
    admin = AdminClient(config)
    try:
        admin.list_topics(timeout=EXTERNAL_TIMEOUT)
    except KafkaException as failure:
        if any(error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL) for error in errors):
            raise NotAuthorized from failure
        raise BrokerUnreachable(
            f"No Kafka answers at {connection.bootstrap_servers}, which LABKIT_BOOTSTRAP_SERVERS names."
        ) from failure


def up(
    name: str, folders: LabFolders, settings: Settings, *, brokers: int | None = None, port: int | None = None
) -> tuple[State, bool]:
    """Start the lab and let it live on when this process ends; the bool is False if it was running already."""
    state, supervisor = find_or_start(name, folders, settings, brokers=brokers, port=port)
    if supervisor is None:
        return state, False
    state = state.evolve(owner=None)
    state.write(folders.state)
    supervisor.detach()
    return state, True
