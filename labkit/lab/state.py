"""What is noted about a running lab in `state.json`, so that other processes find it and a crash can be mended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from labkit.lab.folders import LabFolders
from labkit.lab.process import ProcessId
from labkit.settings import Settings

#: Raise this when the fields change; a file with another number is taken as that of a lab that does not run.
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A lab that was started. `ready` is False until a record was produced and consumed.

    `owner` is the process that the lab dies with; None when it was started by `labkit up`.
    `kafka` and `redis` are None where an external server is used instead.
    """

    keeper: ProcessId
    owner: ProcessId | None
    kafka: ProcessId | None
    redis: ProcessId | None
    port: int | None
    socket: str | None
    versions: dict[str, str]
    started_at: float
    ready: bool = False

    def evolve(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return replace(self, **changes)

    def servers(self) -> dict[str, ProcessId]:
        """The servers that were started, by name."""
        found = {"kafka": self.kafka, "redis": self.redis}
        return {name: server for name, server in found.items() if server is not None}

    def running(self) -> bool:
        """Is the lab ready, are all its servers there, and is it not about to end with its owner?"""
        wanted = [self.keeper, *self.servers().values(), *([] if self.owner is None else [self.owner])]
        return self.ready and all(process.alive() for process in wanted)

    def write(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def redis_url(state: State) -> str:
    """The URL of the lab's own Redis, as redis-py takes it."""
    return f"unix://{quote(state.socket or '')}"


def read_state(path: Path) -> State | None:
    """What the file says; None if there is no such file, or if it cannot be understood."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields.pop("format") != FORMAT:
            return None
        for name in ("keeper", "owner", "kafka", "redis"):
            fields[name] = None if fields[name] is None else ProcessId(**fields[name])
        return State(**fields)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def running_state(folders: LabFolders, settings: Settings) -> State | None:
    """What is noted about the lab in these folders if it runs; None if it does not.

    A lab that was started while the settings named an external server does not run once they no longer do.
    """
    state = read_state(folders.state)
    if state is None or not state.running():
        return None
    has_kafka = state.kafka is not None or settings.bootstrap_servers is not None
    has_redis = state.redis is not None or settings.redis_url is not None
    return state if has_kafka and has_redis else None
