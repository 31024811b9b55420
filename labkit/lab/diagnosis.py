"""Why a server did not start or has ended, in words a user can act on, and what can be mended without asking."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from labkit.errors import DiskFull, LabError, PortInUse, ServerFailed
from labkit.lab.aot_cache import discard_aot
from labkit.lab.folders import LabFolders
from labkit.lab.jar_lock import locked_jars
from labkit.lab.jars import damaged_jars
from labkit.lab.state import State
from labkit.process.signals import signal_name
from labkit.settings import Settings

logger = logging.getLogger(__name__)

#: With less room than this the disk counts as full, in bytes: Kafka writes its indexes in steps of 10 MB.
FULL = 10_500_000

#: How much of a log's end is searched for reasons, in bytes.
TAIL = 50_000


def explain(failure: ServerFailed, folders: LabFolders) -> LabError:
    """The failure with its reason, as far as the servers' own words tell: `DiskFull`, `PortInUse` or `ServerFailed`."""
    words = _words(folders)
    if _disk_is_full(folders):
        return DiskFull()
    if "Address already in use" in words:
        return PortInUse("Another program took the port while Kafka was starting. Run `labkit up` again.")
    errors = [line for line in words.splitlines() if " ERROR " in line or " FATAL " in line or "rror:" in line]
    reason = f" Its last error: {errors[-1][:500]}." if errors else ""
    return ServerFailed(f"{failure}{reason} `labkit logs` shows what it said, and `labkit doctor` looks for reasons.")


def drop_aot(aot: Path) -> None:
    """Kafka ran without the AOT cache after it had failed with it: say so, and let the next start make a new one."""
    logger.warning(
        "Java could not use its AOT cache, so Kafka was started without it, which takes longer. "
        "The next start makes a new one (about 15 s)."
    )
    discard_aot(aot)


def drop_damaged_jars(settings: Settings) -> bool:
    """Delete the fetched jars whose content is not what the lock file says; True if there were any."""
    damaged = damaged_jars(settings, locked_jars())
    for jar in damaged:
        logger.warning("The cached file %s is damaged and is fetched again.", jar.name)
        jar.unlink()
    return bool(damaged)


def how_it_ended(folders: LabFolders, state: State) -> str | None:
    """How servers of this lab have ended unasked, such as "Kafka was ended by SIGKILL"; None if none has."""
    pids = {server.pid for server in state.servers().values()}
    ends = [end for end in journal(folders) if "status" in end and end["pid"] in pids and not end["asked"]]
    return " and ".join(_in_words(end["server"], end["status"]) for end in ends) or None


def explain_end(folders: LabFolders, state: State) -> str:
    """Why a lab that was started is not running, and what to do, in one sentence or two."""
    if _disk_is_full(folders):
        return str(DiskFull())
    ended = how_it_ended(folders, state)
    if ended is not None:
        what = "it" if state.running() else "the lab"
        return f"{ended}. `labkit up` starts {what} again with its data."
    if not state.ready:
        return "It is being started, or its start was cut off. `labkit up` waits or starts it anew."
    return "It was not stopped properly. `labkit up` starts it again with its data."


def _disk_is_full(folders: LabFolders) -> bool:
    try:
        free = shutil.disk_usage(folders.root).free
    except FileNotFoundError:  # that of a private lab goes with its servers
        return False
    return free < FULL or "No space left on device" in _words(folders)


def _words(folders: LabFolders) -> str:
    every = [folders.broker(node).logs for node in range(1, max(1, folders.brokers()) + 1)]
    files = ("kafka.out", "server.log", "redis.out", "redis.log")
    return "\n".join(tail(logs / name) for logs in every for name in files)


def journal(folders: LabFolders) -> list[dict[str, Any]]:
    """What the supervisor noted: `status` and `asked` where a server has ended, neither where it was started again."""
    try:
        text = folders.exits.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _in_words(server: str, status: int) -> str:
    name = server.capitalize().replace("-", " ")
    if status < 0:
        return f"{name} was ended by {signal_name(-status)}"
    return f"{name} ended with status {status}"


def tail(path: Path) -> str:
    """The end of a log; nothing if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
