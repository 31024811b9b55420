"""What there is to tell about a lab: its servers, topics, caches and data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.lab.aot_cache import made_folder, read_note
from labkit.lab.connection import Connection, external_connection, librdkafka_config, plain_connection
from labkit.lab.diagnosis import explain_end
from labkit.lab.folders import cache_folder, named_lab
from labkit.lab.jar_lock import is_whole, locked_jars
from labkit.lab.jars import jar_folder, kafka_jars
from labkit.lab.kafka_server import HOST, find_java
from labkit.lab.process_id import ProcessId
from labkit.lab.state import State, read_state, redis_url
from labkit.settings import Settings

#: How long the broker may take to list its topics, in seconds.
TOPICS_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """One process. `memory` is resident, in bytes; `pid` is None for an external server or one that has ended."""

    name: str
    version: str
    address: str
    pid: int | None
    memory: int
    external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """What is kept for quick starts. `aot` is ready, missing or unused (the Java cannot use one); `size` in bytes."""

    folder: Path
    jars: int
    jars_wanted: int
    template: bool
    aot: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """A lab as it is now. `topics` are the user's, with their numbers of partitions; None if Kafka does not answer.

    `owner` is the pid of the process that the lab ends with; `problem` says why a lab that was started is not running,
    or which of its brokers has ended while the others go on.
    `data_size` is in bytes, `uptime` in seconds.
    """

    name: str
    running: bool
    problem: str | None
    owner: int | None
    uptime: float | None
    servers: list[ServerStatus]
    topics: Mapping[str, int] | None
    cache: CacheStatus
    data_folder: Path
    data_size: int


def look(name: str, settings: Settings) -> LabStatus:
    """Look at the lab of that name."""
    folders = named_lab(settings, name)
    state = read_state(folders.state)
    running = state is not None and state.running()
    connection = _connection(settings, state if running else None)
    return LabStatus(
        name=name,
        running=running,
        problem=None if state is None or (running and not state.missing()) else explain_end(folders, state),
        owner=state.owner.pid if state is not None and state.owner is not None else None,
        uptime=max(0.0, time.time() - state.started_at) if state is not None and running else None,
        servers=_servers(settings, state),
        topics=None if connection is None else user_topics(connection),
        cache=_cache(settings),
        data_folder=folders.root,
        data_size=folder_size(folders.root),
    )


def user_topics(connection: Connection) -> dict[str, int] | None:
    """The topics that users made (with the prefix of the connection), and how many partitions each has."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({**librdkafka_config(connection), "log_level": 0})
    try:
        topics = admin.list_topics(timeout=TOPICS_TIMEOUT).topics
    except KafkaException:
        return None
    wanted = sorted(name for name in topics if name.startswith(connection.topic_prefix) and not name.startswith("__"))
    return {name: len(topics[name].partitions) for name in wanted}


def folder_size(folder: Path) -> int:
    """Bytes on the disk, as `du` counts them: Kafka's index files have holes."""
    return sum(_blocks(path) for path in folder.rglob("*")) if folder.exists() else 0


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512  # POSIX counts in units of 512
    except FileNotFoundError:  # servers delete files while we look
        return 0


def _connection(settings: Settings, state: State | None) -> Connection | None:
    if settings.bootstrap_servers is not None:
        return external_connection(settings)
    if state is None or state.bootstrap_servers is None:
        return None
    return plain_connection(state.bootstrap_servers, settings)


def _servers(settings: Settings, state: State | None) -> list[ServerStatus]:
    servers = []
    if settings.bootstrap_servers is not None:
        servers.append(_external("Kafka", settings.bootstrap_servers))
    if settings.redis_url is not None:
        servers.append(_external("Redis", settings.redis_url))
    if state is None:
        return servers
    count = len(state.brokers)
    for broker in state.brokers:
        node = f" {broker.node}" if count > 1 else ""
        servers.append(_server(state, "kafka", broker.process, f"{HOST}:{broker.port}", node))
    if state.redis is not None:
        servers.append(_server(state, "redis", state.redis, redis_url(state)))
    # programs that read `labkit status --json` know the supervisor by this name
    return [*servers, _server(state, "supervisor", state.supervisor, "")]


def _external(name: str, address: str) -> ServerStatus:
    return ServerStatus(name=name, version="", address=address, pid=None, memory=0, external=True)


def _server(state: State, name: str, process: ProcessId, address: str, node: str = "") -> ServerStatus:
    product, _, version = state.versions.get(name, name).rpartition(" ")
    return ServerStatus(
        name=(product or version) + node,
        version=version if product else "",
        address=address,
        pid=process.pid if process.alive() else None,
        memory=process.memory(),
    )


def _cache(settings: Settings) -> CacheStatus:
    jars = locked_jars()
    have = [jar for jar in jars if is_whole(jar_folder(settings) / jar.file_name, jar)]
    made, note = None, None
    if settings.kafka_home is not None or len(have) == len(jars):
        made = made_folder(settings, find_java(settings), kafka_jars(settings))
        note = read_note(made)
    return CacheStatus(
        folder=cache_folder(settings),
        jars=len(have),
        jars_wanted=0 if settings.kafka_home is not None else len(jars),
        template=note is not None,
        aot="missing" if note is None else "ready" if note["aot"] else "unused",
        size=folder_size(cache_folder(settings)),
    )


def as_json(status: LabStatus) -> dict[str, Any]:
    """The status as JSON can hold it: sizes in bytes, times in seconds, folders as texts."""
    from dataclasses import asdict

    fields = asdict(status)
    fields["data_folder"] = str(status.data_folder)
    fields["cache"]["folder"] = str(status.cache.folder)
    return fields
