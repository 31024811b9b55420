"""Starting the servers of one lab: folders, ports, the keeper, and the wait until they are ready."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labkit.lab import probe
from labkit.lab.folders import LabFolders
from labkit.lab.jars import KAFKA_VERSION
from labkit.lab.kafka_cache import Kafka, prepare_kafka
from labkit.lab.kafka_server import kafka_command, server_properties
from labkit.lab.keeping import Keeping, ServerCommand, launch
from labkit.lab.ports import free_ports, is_free
from labkit.lab.process import process_id
from labkit.lab.redis_server import RedisBinary, find_redis, redis_command
from labkit.lab.state import State
from labkit.settings import Settings

#: Seconds that the servers of a lab with a name have to end by themselves.
GRACE = 15.0

#: A unix socket's path is limited to 104 bytes on macOS, 108 on Linux.
LONGEST_SOCKET = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be started: None stands for an external server, which is not started."""

    folders: LabFolders
    port: int | None
    throw_away: bool
    timeout: float


def start(plan: Plan, settings: Settings) -> tuple[State, Keeping]:
    """Start what the settings ask for and wait until it is ready."""
    folders = plan.folders
    folders.make()
    kafka = None if settings.bootstrap_servers else prepare_kafka(settings)
    redis = None if settings.redis_url else find_redis()
    grace = 0.0 if plan.throw_away else GRACE
    servers: list[ServerCommand] = []
    remove: list[Path] = [folders.root] if plan.throw_away else [folders.state]
    versions = {}
    port = None
    socket = None
    if redis is not None:
        socket = _socket_path(folders)
        if socket.parent != folders.redis:
            remove.append(socket.parent)
        servers.append(_redis(folders, redis, socket, grace))
        versions["redis"] = str(redis)
    if kafka is not None:
        port, controller_port = _ports(plan.port)
        servers.append(_kafka(folders, kafka, port, controller_port, grace))
        versions["kafka"] = f"Kafka {KAFKA_VERSION}"
    keeping = launch(servers, exits=folders.logs / "exits.jsonl", log=folders.logs / "keeper.log", remove=remove)
    try:
        state = State(
            keeper=keeping.keeper,
            owner=process_id(_own_pid()),
            kafka=keeping.servers.get("kafka"),
            redis=keeping.servers.get("redis"),
            port=port,
            socket=None if socket is None else str(socket),
            versions=versions,
            started_at=time.time(),
        )
        state.write(folders.state)
        if socket is not None and state.redis is not None:
            probe.wait_for_redis(str(socket), alive=state.redis.alive, timeout=plan.timeout)
        if port is not None and state.kafka is not None:
            probe.wait_for_kafka(port, alive=state.kafka.alive, timeout=plan.timeout)
        state = state.evolve(ready=True)
        state.write(folders.state)
    except BaseException:
        keeping.stop()
        raise
    return state, keeping


def _own_pid() -> int:
    import os

    return os.getpid()


def _ports(wanted: int | None) -> Sequence[int]:
    if wanted is not None and is_free(wanted):
        return [wanted, *free_ports(1)]
    return free_ports(2)


def _socket_path(folders: LabFolders) -> Path:
    path = folders.redis / "redis.sock"
    if len(str(path).encode()) <= LONGEST_SOCKET:
        return path
    return Path(tempfile.mkdtemp(prefix="labkit-")) / "redis.sock"


def _redis(folders: LabFolders, binary: RedisBinary, socket: Path, grace: float) -> ServerCommand:
    with suppress(FileNotFoundError):
        socket.unlink()
    argv = redis_command(binary, data=folders.redis, socket=socket, log=folders.logs / "redis.log")
    return ServerCommand(name="redis", argv=argv, folder=folders.redis, output=folders.logs / "redis.out", grace=grace)


def _kafka(folders: LabFolders, kafka: Kafka, port: int, controller_port: int, grace: float) -> ServerCommand:
    if not (folders.kafka / "meta.properties").exists():
        shutil.copytree(kafka.template, folders.kafka, dirs_exist_ok=True)
    properties = folders.root / "server.properties"
    text = server_properties(data=folders.kafka, port=port, controller_port=controller_port)
    properties.write_text(text, encoding="utf-8")
    argv = kafka_command(kafka.java, kafka.jars, properties=properties, logs=folders.logs)
    return ServerCommand(name="kafka", argv=argv, folder=folders.root, output=folders.logs / "kafka.out", grace=grace)
