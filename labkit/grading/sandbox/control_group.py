"""Control groups of Linux (cgroups(7), versions 1 and 2): how much memory and how many processes a sandbox may have.

One can be made by root, and by a user to whom systemd has delegated a part of the tree. The folders are named after
this process, and what a killed one has left is removed by the next.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from labkit.grading.sandbox.contract import LimitName
from labkit.lab.condition import wait_for

#: Where Linux keeps them.
ROOT = Path("/sys/fs/cgroup")
#: Which folders are ours.
PREFIX = "labkit-sandbox"
#: How long the processes of a group may take to be gone when they were killed, in seconds.
END_TIMEOUT = 10.0
#: The files that hold a limit, in versions 2 and 1.
_MEMORY_LIMITS, _PIDS_LIMITS = ("memory.max", "memory.limit_in_bytes"), ("pids.max",)
#: What bubblewrap itself needs: the process that waits, and the first one inside.
OWN_PROCESSES = 2

log = logging.getLogger("labkit.grading")

_numbers = count(1)


@dataclass(frozen=True)
class ControlGroup:
    """A group that limits both, or two groups, one for each. A process is in it that has written 0 into `entries`."""

    memory: Path
    pids: Path

    @property
    def entries(self) -> list[str]:
        """The files that a process writes to, to be in it."""
        return [str(folder / "cgroup.procs") for folder in self._folders]

    def used_up(self) -> frozenset[LimitName]:
        """Which limits were reached: the kernel has killed a process for want of memory, or refused to make one."""
        killed = any(_counted(self.memory / name, "oom_kill") for name in ("memory.events", "memory.oom_control"))
        refused = _counted(self.pids / "pids.events", "max") > 0
        reached: dict[LimitName, bool] = {"memory": killed, "processes": refused}
        return frozenset(name for name, is_so in reached.items() if is_so)

    def remove(self) -> None:
        """Remove it when its processes are gone."""

        def removed() -> bool:
            return not [folder for folder in self._folders if not _remove(folder)]

        if not wait_for(removed, END_TIMEOUT, interval=0.001):
            log.warning("the control group %s is left, since a process of it is", self.memory)

    @property
    def _folders(self) -> list[Path]:
        return list(dict.fromkeys([self.memory, self.pids]))


def make_control_group(
    memory: int, processes: int, *, root: Path = ROOT, own: str | None = None
) -> ControlGroup | None:
    """A group with at most so much memory, in bytes, and so many processes; nothing where none can be made.

    `own` is what Linux says of the groups of this process (/proc/self/cgroup).
    """
    name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
    lines = Path("/proc/self/cgroup").read_text() if own is None else own
    for places in _places(root, lines):
        try:
            return _make(places[0] / name, places[1] / name, memory, processes + OWN_PROCESSES)
        except OSError:
            continue
    return None


def limited_group(pid: int, memory: int, processes: int, *, root: Path = ROOT) -> ControlGroup | None:
    """The group that limits this process to just so much, which somebody else has made; nothing if none does."""
    lines = _groups_of_process(pid)
    page = os.sysconf("SC_PAGE_SIZE")
    for places in _own_places(root, lines):
        found = []
        wanted = (memory // page * page, processes)
        for place, names, limit in zip(places, (_MEMORY_LIMITS, _PIDS_LIMITS), wanted, strict=True):
            above = [folder for folder in (place, *place.parents) if root in folder.parents]
            found += [folder for folder in above if any(_says(folder / name, limit) for name in names)][:1]
        if len(found) == len(places):
            return ControlGroup(*found)
    return None


def _groups_of_process(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text()


def _own_places(root: Path, lines: str) -> Iterator[tuple[Path, Path]]:
    """Where the limits of such a process may be."""
    own = _groups_of(lines)
    if "memory" in own and "pids" in own:
        yield root / "memory" / own["memory"], root / "pids" / own["pids"]
    if "" in own:
        yield root / own[""], root / own[""]


def _says(file: Path, limit: int) -> bool:
    try:
        return file.read_text().strip() == str(limit)
    except OSError:
        return False


def _make(memory: Path, pids: Path, size: int, processes: int) -> ControlGroup:
    folders = dict.fromkeys([memory, pids])
    try:
        for folder in folders:
            _remove_left(folder.parent)
            folder.mkdir()
        if memory == pids:
            (memory / "memory.max").write_text(str(size))
            _write_if_there(memory / "memory.swap.max", "0")
            _write_if_there(memory / "memory.oom.group", "1")
        else:
            (memory / "memory.limit_in_bytes").write_text(str(size))
            _write_if_there(memory / "memory.memsw.limit_in_bytes", str(size))
        (pids / "pids.max").write_text(str(processes))
    except OSError:
        for folder in folders:
            _remove(folder)
        raise
    return ControlGroup(memory, pids)


def _places(root: Path, lines: str) -> Iterator[tuple[Path, Path]]:
    """Where groups for memory and for processes may be made, the likeliest first."""
    own = _groups_of(lines)
    if "memory" in own and "pids" in own:
        yield root / "memory" / own["memory"], root / "pids" / own["pids"]
    elif (
        "" in own
    ):  # version 2: below a group that has processes of its own there can be no limited ones, beside it there
        for folder in (root / own[""], (root / own[""]).parent):
            if root in (folder, *folder.parents) and _hands_on(folder):
                yield folder, folder


def _groups_of(lines: str) -> dict[str, str]:
    """The folder of each controller, without its first slash; that of version 2 has no name."""
    own = {}
    for line in lines.splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    return own


def _hands_on(folder: Path) -> bool:
    try:
        return {"memory", "pids"} <= set((folder / "cgroup.subtree_control").read_text().split())
    except OSError:
        return False


def _remove_left(folder: Path) -> None:
    """Remove the groups of processes that are gone; one with processes in it cannot be removed."""
    for left in folder.glob(f"{PREFIX}-*"):
        owner = left.name.removeprefix(f"{PREFIX}-").partition("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            _remove(left)


def _remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write_if_there(file: Path, text: str) -> None:
    if file.exists():
        with suppress(OSError):  # as for swap, where the kernel does not count it
            file.write_text(text)


def _counted(file: Path, name: str) -> int:
    """What such a file counts under this name: a line each, the name and the figure."""
    with suppress(OSError):
        for line in file.read_text().splitlines():
            found, _, figure = line.partition(" ")
            if found == name:
                return int(figure)
    return 0
