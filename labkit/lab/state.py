"""What is noted about a running lab in `state.json`, so that other processes find it and a crash can be mended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from msgspec import DecodeError

from labkit.lab.folders import LabFolders
from labkit.lab.kafka_server import HOST
from labkit.lab.process_id import ProcessId
from labkit.settings import Settings
from labkit.typed_values import typed_json

#: Raise this when the fields change; a file with another number is taken as that of a lab that does not run.
FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """One process of Kafka: its node id, counted from 1, the port that clients use, and the one for the nodes alone."""

    node: int
    process: ProcessId
    port: int
    controller_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A lab that was started. `ready` is False until a record was produced and consumed.

    `owner` is the process that the lab dies with; None when it was started by `labkit up`.
    `brokers` is empty and `redis` None where an external server is used instead.
    """

    supervisor: ProcessId
    owner: ProcessId | None
    brokers: tuple[Broker, ...]
    redis: ProcessId | None
    socket: str | None
    versions: dict[str, str]
    started_at: float
    ready: bool = False

    def evolve(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return replace(self, **changes)

    @property
    def port(self) -> int | None:
        """The port of the first broker; None where an external Kafka is used."""
        return self.brokers[0].port if self.brokers else None

    @property
    def bootstrap_servers(self) -> str | None:
        """host:port of every broker, with commas between; None where an external Kafka is used."""
        return ",".join(f"{HOST}:{broker.port}" for broker in self.brokers) or None

    def servers(self) -> dict[str, ProcessId]:
        """The servers that were started, by name."""
        found = {server_name(broker.node, len(self.brokers)): broker.process for broker in self.brokers}
        return found if self.redis is None else {**found, "redis": self.redis}

    def missing(self) -> list[Broker]:
        """The brokers that have ended."""
        return [broker for broker in self.brokers if not broker.process.alive()]

    def running(self) -> bool:
        """Is the lab ready, are its servers there, and is it not about to end with its owner?

        Of several brokers a majority is enough: they go on without the others.
        """
        return self._is_kept() and (2 * len(self.missing()) < len(self.brokers) or not self.brokers)

    def can_be_mended(self) -> bool:
        """Is all there but some of several brokers, so that starting those again is enough?"""
        return self._is_kept() and len(self.brokers) > 1 and bool(self.missing())

    def _is_kept(self) -> bool:
        others = [process for process in (self.supervisor, self.redis, self.owner) if process is not None]
        return self.ready and all(process.alive() for process in others)

    def write(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def server_name(node: int, brokers: int) -> str:
    """The name among the lab's servers of one of so many brokers."""
    return "kafka" if brokers == 1 else f"kafka-{node}"


def redis_url(state: State) -> str:
    """The URL of the lab's own Redis, as redis-py takes it."""
    return f"unix://{quote(state.socket or '')}"


def read_state(path: Path) -> State | None:
    """What the file says; None if there is no such file, or if it cannot be understood."""
    try:
        content = path.read_bytes()
        is_known = typed_json(content, dict[str, Any]).get("format") == FORMAT
        return typed_json(content, State) if is_known else None
    except (FileNotFoundError, DecodeError, UnicodeDecodeError):
        return None


def running_state(folders: LabFolders, settings: Settings) -> State | None:
    """What is noted about the lab in these folders if it runs; None if it does not.

    A lab that was started while the settings named an external server does not run once they no longer do.
    """
    state = read_state(folders.state)
    if state is None or not state.running():
        return None
    has_kafka = bool(state.brokers) or settings.bootstrap_servers is not None
    has_redis = state.redis is not None or settings.redis_url is not None
    return state if has_kafka and has_redis else None
