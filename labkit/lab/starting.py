"""Starting the servers of one lab: space, ports, the keeper, the wait until they are ready, and what to try again."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree, rmtree

from labkit.errors import PortInUse, ServerFailed
from labkit.lab import mending, probe
from labkit.lab.folders import LabFolders, check_space, make_folder
from labkit.lab.kafka_cache import Kafka, prepare_kafka
from labkit.lab.kafka_server import HOST, aot_options, kafka_command, server_properties
from labkit.lab.keeping import Keeping, ServerCommand, launch
from labkit.lab.ports import free_ports, is_free
from labkit.lab.process import process_id
from labkit.lab.redis_server import RedisBinary, find_redis, redis_command
from labkit.lab.state import State
from labkit.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds that the servers of a lab with a name have to end by themselves.
GRACE = 15.0

#: A lab does not start with less room than this on its disk, in bytes.
ROOM = 100_000_000

#: A unix socket's path is limited to 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be started. `kafka` and `redis` are None where an external server is used.

    `port` None: any free one. `insist`: no other port than this. `throw_away`: nothing is to remain of the lab.
    """

    folders: LabFolders
    kafka: Kafka | None
    redis: RedisBinary | None
    port: int | None
    insist: bool
    throw_away: bool
    timeout: float

    @property
    def grace(self) -> float:
        """Seconds between SIGTERM and SIGKILL: what is thrown away need not be closed properly."""
        return 0.0 if self.throw_away else GRACE


def start(
    folders: LabFolders, settings: Settings, *, port: int | None, insist: bool, throw_away: bool
) -> tuple[State, Keeping]:
    """Start what the settings ask for and return when it is ready; on an error nothing is left running.

    Raises `DiskFull`, `PortInUse`, `ServerFailed` and what `prepare_kafka` and `find_redis` raise.
    """
    folders.make()
    check_space(folders.root, ROOM)
    plan = Plan(
        folders=folders,
        kafka=None if settings.bootstrap_servers else prepare_kafka(settings),
        redis=None if settings.redis_url else find_redis(),
        port=port,
        insist=insist,
        throw_away=throw_away,
        timeout=settings.start_timeout,
    )
    return _start(plan, settings)


def _start(plan: Plan, settings: Settings) -> tuple[State, Keeping]:
    """Start; where the reason of a failure can be mended, mend it and try again. Each reason is mended once."""
    try:
        return _start_once(plan)
    except ServerFailed as failure:
        reason = mending.explain(failure, plan.folders)
        kafka = plan.kafka
        if isinstance(reason, PortInUse) and not plan.insist:
            return _start(replace(plan, port=None, insist=True), settings)
        if not isinstance(reason, ServerFailed) or kafka is None:
            raise reason from failure
        if kafka.aot is not None:
            done = _start(replace(plan, kafka=kafka.without_aot()), settings)
            mending.drop_aot(kafka.aot)
            return done
        if mending.drop_damaged_jars(settings):
            return _start(replace(plan, kafka=prepare_kafka(settings).without_aot()), settings)
        raise reason from failure


def _start_once(plan: Plan) -> tuple[State, Keeping]:
    folders = plan.folders
    port, controller_port = _ports(plan)
    socket = None if plan.redis is None else _socket_path(folders)
    servers = []
    if plan.redis is not None and socket is not None:
        servers.append(_redis(plan, plan.redis, socket))
    if plan.kafka is not None:
        servers.append(_kafka(plan, plan.kafka, port, controller_port))
    _put_away_logs(folders)
    keeping = launch(
        servers, exits=folders.exits, log=folders.keeper_log, state=folders.state, remove=_throw_aways(plan, socket)
    )
    try:
        state = State(
            keeper=keeping.keeper,
            owner=process_id(os.getpid()),
            kafka=keeping.servers.get("kafka"),
            redis=keeping.servers.get("redis"),
            port=None if plan.kafka is None else port,
            socket=None if socket is None else str(socket),
            versions=_versions(plan),
            started_at=time.time(),
        )
        state.write(folders.state)
        _wait(state, plan.timeout)
        state = state.evolve(ready=True)
        state.write(folders.state)
    except BaseException:
        keeping.stop(at_once=True)
        folders.state.unlink(missing_ok=True)
        raise
    return state, keeping


def _put_away_logs(folders: LabFolders) -> None:
    """Each run has its own logs, so that an old failure is not taken for the reason of a new one; one run is kept."""
    folders.exits.unlink(missing_ok=True)
    for name in ("server.log", "redis.log"):
        with suppress(FileNotFoundError):
            (folders.logs / name).replace(folders.logs / f"{name}.1")


def _wait(state: State, timeout: float) -> None:
    if state.redis is not None and state.socket is not None:
        probe.wait_for_redis(state.socket, alive=state.redis.alive, timeout=timeout)
    if state.kafka is not None and state.port is not None:
        probe.wait_for_kafka(state.port, alive=state.kafka.alive, timeout=timeout)


def _versions(plan: Plan) -> dict[str, str]:
    versions: dict[str, str] = {}
    if plan.kafka is not None:
        versions |= {"kafka": f"Kafka {plan.kafka.version}", "java": f"Java {plan.kafka.java.major}"}
    if plan.redis is not None:
        versions["redis"] = str(plan.redis)
    return versions


def _ports(plan: Plan) -> Sequence[int]:
    """The broker's port and the controller's, which nobody needs to know."""
    if plan.port is None or plan.kafka is None:
        return free_ports(2)
    if is_free(plan.port):
        return [plan.port, *free_ports(1)]
    if plan.insist:
        raise PortInUse(f"Port {plan.port} is in use by another program. Choose another one, or leave out `--port`.")
    free = free_ports(2)
    logger.warning("Port %d is in use by another program, so Kafka is at %s:%d.", plan.port, HOST, free[0])
    return free


def _throw_aways(plan: Plan, socket: Path | None) -> list[Path]:
    paths = [plan.folders.root] if plan.throw_away else []
    if socket is not None and socket.parent != plan.folders.redis:
        paths.append(socket.parent)
    return paths


def _socket_path(folders: LabFolders) -> Path:
    path = folders.redis / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        return path
    return Path(tempfile.mkdtemp(prefix="labkit-")) / "redis.sock"  # readable by this user only


def _redis(plan: Plan, binary: RedisBinary, socket: Path) -> ServerCommand:
    folders = plan.folders
    with suppress(FileNotFoundError):
        socket.unlink()
    argv = redis_command(binary, data=folders.redis, socket=socket, log=folders.logs / "redis.log")
    output = folders.logs / "redis.out"
    return ServerCommand(name="redis", argv=argv, folder=folders.redis, output=output, grace=plan.grace)


def _kafka(plan: Plan, kafka: Kafka, port: int, controller_port: int) -> ServerCommand:
    folders = plan.folders
    _format(folders.kafka, kafka.template)
    properties = folders.root / "server.properties"
    text = server_properties(data=folders.kafka, port=port, controller_port=controller_port)
    properties.write_text(text, encoding="utf-8")
    options = [] if kafka.aot is None else aot_options(kafka.aot)
    rmtree(folders.temporary, ignore_errors=True)  # a killed server leaves its unpacked libraries behind
    make_folder(folders.temporary)
    argv = kafka_command(
        kafka.java,
        kafka.jars,
        properties=properties,
        logs=folders.logs,
        temporary=folders.temporary,
        extra_options=options,
    )
    output = folders.logs / "kafka.out"
    return ServerCommand(name="kafka", argv=argv, folder=folders.root, output=output, grace=plan.grace)


def _format(data: Path, template: Path) -> None:
    """Copy the template where the lab has no storage yet; a copy that was cut off is made anew."""
    if (data / "meta.properties").exists():
        return
    part = data.with_suffix(".part")
    for folder in (part, data):
        rmtree(folder, ignore_errors=True)
    copytree(template, part)
    part.replace(data)
