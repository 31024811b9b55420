"""What a command in the sandbox sees of files, in the words of bwrap(1): the system, this Python, labkit, and no more.

All of it is read-only but for `/tmp`, the home and `/dev/shm`, which are empty, in memory, and of a bounded size.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import labkit
from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox.contract import Limits

#: Who a command is in the sandbox, and where it begins.
USER, HOME = "student", "/home/student"
#: Where the grader's own programs and the sockets are.
PROGRAMS = "/run/labkit"

#: The system's own programs and libraries; `/lib` and its like may be names of folders in `/usr`.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: What the dynamic linker and the clock read; none of it is of a user.
CONFIGURATION = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
#: Where a Python lies that cannot be shown alone.
_TOO_MUCH = ("/", "/etc", "/home", "/root", "/var", "/run", "/proc", "/sys", "/dev")


def mount_words(limits: Limits, sockets: Mapping[int, Path]) -> list[str]:
    """Everything but the files that are handed in: those are to come next, and then `last_words`."""
    words = ["--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(limits.tmp_size), "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    for own in ("/tmp", HOME):  # noqa: S108
        words += ["--size", str(limits.tmp_size), "--perms", "1777", "--tmpfs", own]
    for system in map(Path, SYSTEM):
        if system.is_symlink():
            words += ["--symlink", str(system.readlink()), str(system)]
        elif system.is_dir():
            words += ["--ro-bind", str(system), str(system)]
    folders = python_folders()
    words += _folder_words([*map(Path, CONFIGURATION), *folders, Path(socket_path(0))])
    for name in CONFIGURATION:
        words += ["--ro-bind-try", name, name]
    for folder in folders:
        words += ["--ro-bind", str(folder), str(folder)]
    hidden = str(Path(labkit.__file__).parent / "grading")
    words += ["--size", "4096", "--tmpfs", hidden, "--remount-ro", hidden]
    for port, path in sockets.items():
        words += ["--ro-bind", str(path), socket_path(port)]
    return words


def _folder_words(paths: list[Path]) -> list[str]:
    """The folders above these, which everybody may look into: bwrap would make them its own user's only."""
    above = {folder for path in paths for folder in path.parents[:-1]}
    return [word for folder in sorted(above) for word in ("--perms", "0755", "--dir", str(folder))]


def last_words() -> list[str]:
    """Nothing more can be put into the root of the sandbox."""
    return ["--remount-ro", "/", "--chdir", HOME]


def socket_path(port: int) -> str:
    """Where the socket is found in the sandbox to which this port leads."""
    return f"{PROGRAMS}/{port}.sock"


def account_files(number: int) -> dict[str, bytes]:
    """Who there is in the sandbox, which is one user, and what the names of this machine mean."""
    return {
        "/etc/passwd": f"{USER}:x:{number}:{number}::{HOME}:/bin/sh\n".encode(),
        "/etc/group": f"{USER}:x:{number}:\n".encode(),
        "/etc/hosts": b"127.0.0.1 localhost\n::1 localhost\n",
    }


def environment() -> dict[str, str]:
    """All that a command finds in its environment."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": HOME,
        "USER": USER,
        "LOGNAME": USER,
        "LANG": "C.UTF-8",
        # a pool of threads for each processor of a large machine would use up the limits
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def python_folders() -> list[Path]:
    """The folders that this Python, its packages and labkit lie in, without those that lie in another one.

    Raises `SandboxUnavailable` if one of them holds more than that.
    """
    names = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    wanted = {Path(name).absolute() for name in names} | _folders_on_the_way(Path(sys.executable).absolute())
    for folder in wanted:
        if str(folder) in _TOO_MUCH or Path.home().absolute().is_relative_to(folder):
            raise SandboxUnavailable(
                f"The sandbox would have to show all of {folder} to student code, because this Python lies there. "
                "Run labkit from an environment of its own, as `make lab` makes one."
            )
    wanted.add(Path(labkit.__file__).absolute().parent)
    system = Path("/usr")
    return sorted(
        folder
        for folder in wanted
        if not folder.is_relative_to(system) and not any(other in folder.parents for other in wanted)
    )


def folder_shown(path: Path) -> Path | None:
    """Which of the folders that a command sees this lies in; nothing if it sees nothing of it."""
    found = path.resolve()
    shown = (*map(Path, SYSTEM), *python_folders())
    return next((folder for folder in shown if found.is_relative_to(folder.resolve())), None)


def _folders_on_the_way(executable: Path) -> set[Path]:
    """Where the names lie that lead from the Python of an environment to the one that it was made from."""
    folders = set()
    while executable.is_symlink():
        executable = (executable.parent / executable.readlink()).absolute()
        folders.add(executable.parent.parent)
    return folders
