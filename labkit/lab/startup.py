"""The start of one lab's servers: space, ports, the supervisor, the wait until they are ready, what to try again."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

from labkit.errors import LabError, PortInUse, ServerFailed
from labkit.lab import diagnosis, probe
from labkit.lab.aot_cache import Kafka, prepare_kafka
from labkit.lab.folders import LabFolders, check_space
from labkit.lab.kafka_server import HOST
from labkit.lab.probe import free_ports, is_free
from labkit.lab.process_id import process_id
from labkit.lab.redis_server import RedisBinary, find_redis, redis_command
from labkit.lab.restart import GRACE, broker_command, put_away_log
from labkit.lab.state import Broker, State, server_name
from labkit.lab.supervisor import ServerCommand, Supervisor, launch
from labkit.resource import end_all
from labkit.settings import Settings

logger = logging.getLogger(__name__)

#: A lab does not start with less room than this on its disk, in bytes.
ROOM = 100_000_000

#: How many brokers a lab may have: a majority of them must be there, so an even number would be no safer.
BROKERS = (1, 3, 5)

#: A unix socket's path is limited to 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET = 100
#: The name of Redis' socket.
SOCKET = "redis.sock"
#: Where a socket goes when both the lab's folder and the one for temporary files have too long a path.
SHORT_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 (a folder of our own is made there)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be started. `kafka` and `redis` are None where an external server is used.

    `ports` are what the brokers take if they are free, the first one foremost; any free ones where there are none.
    `insist`: no other first port than this. `throw_away`: nothing is to remain of the lab. `properties` are further
    ones of Kafka's.
    """

    folders: LabFolders
    kafka: Kafka | None
    redis: RedisBinary | None
    brokers: int
    ports: Sequence[int]
    insist: bool
    throw_away: bool
    properties: Mapping[str, str]
    timeout: float

    @property
    def grace(self) -> float:
        """Seconds between SIGTERM and SIGKILL: what is thrown away need not be closed properly."""
        return 0.0 if self.throw_away else GRACE


def start(
    folders: LabFolders,
    settings: Settings,
    *,
    brokers: int | None,
    ports: Sequence[int],
    insist: bool,
    throw_away: bool,
    properties: Mapping[str, str] | None = None,
) -> tuple[State, Supervisor]:
    """Start what the settings ask for and return when it is ready; on an error nothing is left running.

    Without a number of brokers, as many as the lab's data were made with, or one.
    Raises `DiskFull`, `PortInUse`, `ServerFailed`, `LabError` if the data were made with another number of brokers,
    and what `prepare_kafka` and `find_redis` raise.
    """
    folders.make()
    check_space(folders.root, ROOM)
    plan = Plan(
        folders=folders,
        kafka=None if settings.bootstrap_servers else prepare_kafka(settings),
        redis=None if settings.redis_url else find_redis(),
        brokers=_how_many(brokers, folders),
        ports=ports,
        insist=insist,
        throw_away=throw_away,
        properties=properties or {},
        timeout=settings.start_timeout,
    )
    return _start(plan, settings)


def check_number(brokers: int | None) -> None:
    """Raise `LabError` if a lab cannot have so many brokers; None leaves it to the lab's data."""
    if brokers is not None and brokers not in BROKERS:
        raise LabError(
            f"A lab has 1, 3 or 5 brokers, not {brokers}. More than half of them must be there for anything to be "
            "decided, so that an even number would be no safer than one less."
        )


def refuse_another_number(brokers: int | None, found: int) -> None:
    """Raise `LabError` if a lab that stores what `found` brokers hold is asked to have another number."""
    if brokers is not None and found and brokers != found:
        raise LabError(
            f"This lab was made with {found} broker{'s' if found > 1 else ''}, which cannot be changed. Leave out the "
            "number to go on with the lab as it is, run `labkit reset` to throw its data away and start with "
            f"{brokers}, or start a lab of another name."
        )


def _how_many(brokers: int | None, folders: LabFolders) -> int:
    check_number(brokers)
    found = folders.brokers()
    refuse_another_number(brokers, found)
    return found or brokers or 1


def _start(plan: Plan, settings: Settings) -> tuple[State, Supervisor]:
    """Start; where the reason of a failure can be mended, mend it and try again. Each reason is mended once."""
    try:
        return _start_once(plan)
    except ServerFailed as failure:
        reason = diagnosis.explain(failure, plan.folders)
        kafka = plan.kafka
        if isinstance(reason, PortInUse) and not plan.insist:
            return _start(replace(plan, ports=(), insist=True), settings)
        if not isinstance(reason, ServerFailed) or kafka is None:
            raise reason from failure
        if kafka.aot is not None:
            done = _start(replace(plan, kafka=kafka.without_aot()), settings)
            diagnosis.drop_aot(kafka.aot)
            return done
        if diagnosis.drop_damaged_jars(settings):
            return _start(replace(plan, kafka=prepare_kafka(settings).without_aot()), settings)
        raise reason from failure


def _start_once(plan: Plan) -> tuple[State, Supervisor]:
    folders = plan.folders
    ports, controller_ports = _ports(plan)
    socket = None if plan.redis is None else _socket_path(folders)
    servers = []
    if plan.redis is not None and socket is not None:
        servers.append(_redis(plan, plan.redis, socket))
    if plan.kafka is not None:
        servers += _brokers(plan, plan.kafka, ports, controller_ports)
    folders.exits.unlink(missing_ok=True)
    put_away_log(folders.logs / "redis.log")
    supervisor = launch(
        servers,
        exits=folders.exits,
        log=folders.supervisor_log,
        state=folders.state,
        requests=folders.requests,
        remove=_throw_aways(plan, socket),
    )
    try:
        state = State(
            supervisor=supervisor.process,
            owner=process_id(os.getpid()),
            brokers=_started(plan, supervisor, ports, controller_ports),
            redis=supervisor.servers.get("redis"),
            socket=None if socket is None else str(socket),
            versions=_versions(plan),
            started_at=time.time(),
        )
        state.write(folders.state)
        _wait(state, plan.timeout)
        state = state.evolve(ready=True)
        state.write(folders.state)
    except BaseException:
        end_all(lambda: supervisor.stop(at_once=True), lambda: folders.state.unlink(missing_ok=True))
        raise
    return state, supervisor


def _started(
    plan: Plan, supervisor: Supervisor, ports: Sequence[int], controller_ports: Sequence[int]
) -> tuple[Broker, ...]:
    if plan.kafka is None:
        return ()
    found = enumerate(zip(_names(plan), ports, controller_ports, strict=True), 1)
    return tuple(
        Broker(node=node, process=supervisor.servers[name], port=port, controller_port=controller_port)
        for node, (name, port, controller_port) in found
    )


def _names(plan: Plan) -> list[str]:
    return [server_name(node, plan.brokers) for node in range(1, plan.brokers + 1)]


def _wait(state: State, timeout: float) -> None:
    if state.redis is not None and state.socket is not None:
        probe.wait_for_redis(state.socket, alive=state.redis.alive, timeout=timeout)
    if state.brokers:
        brokers = {broker.port: broker.process for broker in state.brokers}
        probe.wait_for_kafka(brokers, alive=lambda: not state.missing(), timeout=timeout)


def _versions(plan: Plan) -> dict[str, str]:
    versions: dict[str, str] = {}
    if plan.kafka is not None:
        versions |= {"kafka": f"Kafka {plan.kafka.version}", "java": f"Java {plan.kafka.java.major}"}
    if plan.redis is not None:
        versions["redis"] = str(plan.redis)
    return versions


def _ports(plan: Plan) -> tuple[list[int], list[int]]:
    """The brokers' ports and the controllers', which nobody needs to know."""
    wished = list(plan.ports)[: plan.brokers] if plan.kafka is not None else []
    free = [port for port in free_ports(2 * plan.brokers + len(wished)) if port not in wished]
    ports, controller_ports = free[: plan.brokers], free[plan.brokers : 2 * plan.brokers]
    for place, port in enumerate(wished):
        if is_free(port):
            ports[place] = port
        elif place == 0:
            _say_that_it_is_taken(port, ports[0], plan.insist)
    return ports, controller_ports


def _say_that_it_is_taken(port: int, other: int, insist: bool) -> None:
    if insist:
        raise PortInUse(f"Port {port} is in use by another program. Choose another one, or leave out `--port`.")
    logger.warning("Port %d is in use by another program, so Kafka is at %s:%d.", port, HOST, other)


def _throw_aways(plan: Plan, socket: Path | None) -> list[Path]:
    paths = [plan.folders.root] if plan.throw_away else []
    if socket is not None and socket.parent != plan.folders.redis:
        paths.append(socket.parent)
    return paths


def socket_folder(folders: LabFolders) -> Path | None:
    """Where the folder of Redis' socket is made if the lab's own has too long a path for one; None if it has not.

    Raises `LabError` if there is no such place.
    """
    path = folders.redis / SOCKET
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        return None
    for folder in map(Path, (tempfile.gettempdir(), *SHORT_FOLDERS)):
        if len(os.fsencode(folder / "labkit-12345678" / SOCKET)) <= LONGEST_SOCKET and os.access(folder, os.W_OK):
            return folder
    raise LabError(
        f"Redis cannot listen: a unix socket's path has {LONGEST_SOCKET} bytes at most, {path} has more, and no folder "
        f"with a shorter name can be written, neither {tempfile.gettempdir()} nor {' nor '.join(SHORT_FOLDERS)}. Name "
        "a folder with a shorter path in LABKIT_DATA_DIR or in TMPDIR."
    )


def _socket_path(folders: LabFolders) -> Path:
    elsewhere = socket_folder(folders)
    if elsewhere is None:
        return folders.redis / SOCKET
    return Path(tempfile.mkdtemp(prefix="labkit-", dir=elsewhere)) / SOCKET  # readable by this user only


def _redis(plan: Plan, binary: RedisBinary, socket: Path) -> ServerCommand:
    folders = plan.folders
    with suppress(FileNotFoundError):
        socket.unlink()
    argv = redis_command(binary, data=folders.redis, socket=socket, log=folders.logs / "redis.log")
    output = folders.logs / "redis.out"
    return ServerCommand(name="redis", argv=argv, folder=folders.redis, output=output, grace=plan.grace)


def _brokers(plan: Plan, kafka: Kafka, ports: Sequence[int], controller_ports: Sequence[int]) -> list[ServerCommand]:
    """The commands of all nodes. The first one's storage is made last: where it is, that of the others is, too."""
    folders = plan.folders
    if not folders.brokers():
        for left_over in folders.root.glob("broker-*"):
            rmtree(left_over)
    commands = [
        broker_command(
            kafka,
            folders.broker(node),
            name=name,
            node=node,
            port=ports[node - 1],
            controller_ports=controller_ports,
            grace=plan.grace,
            further=plan.properties,
        )
        for node, name in reversed(list(enumerate(_names(plan), 1)))
    ]
    return commands[::-1]
