"""What a command in a container sees and may do, in the words of `podman run` and `docker run`, and the empty image.

The image holds folders and links only, so that none need be fetched: the system's programs, this Python and labkit are
mounted read-only, as bubblewrap has them.
"""

from __future__ import annotations

import io
import os
import resource
import tarfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox.container_program import mount_points
from labkit.grading.sandbox.contract import Limits
from labkit.grading.sandbox.mounts import CONFIGURATION, HOME, PROGRAMS, SYSTEM, python_folders

#: The folders that are the student's own, in memory.
OWN = ("/tmp", HOME)  # noqa: S108
#: What an engine's words for a mount are written with.
_SPECIAL = ',:"\n'
#: More files and processes than a container needs before the launcher sets the student's limits.
_ENOUGH = 16_384
#: The folders that are there before anything is mounted, with their modes, which some engines give to what is mounted
#: there: the student writes into some, and looks into all but one.
_FOLDERS = dict.fromkeys(("dev", "etc", "home", "proc", "run", PROGRAMS.lstrip("/"), "usr"), 0o755)
_FOLDERS |= {HOME.lstrip("/"): 0o1777, "tmp": 0o1777, "sys": 0o700}


def image_archive() -> tuple[str, bytes]:
    """The name of the image, which goes by what is in it, and its files as a tar."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, mode in _FOLDERS.items():
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
        for path in map(Path, SYSTEM):
            if path.is_symlink():
                link = tarfile.TarInfo(str(path).lstrip("/"))
                link.type, link.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(link)
    content = target.getvalue()
    return f"localhost/labkit-sandbox:{sha256(content).hexdigest()[:16]}", content


def isolation_words(name: str, label: str) -> list[str]:
    """No network, no rights, nothing that stays."""
    words = ["--rm", "--pull", "never", "--name", name, "--label", label, "--log-driver", "none", "--init=false"]
    words += ["--sig-proxy=false", "--network", "none", "--ipc", "private", "--cgroupns", "private"]
    words += ["--hostname", "sandbox", "--read-only", "--user", "0:0", "--cap-drop", "ALL"]
    for right in ("SETUID", "SETGID"):  # with which the launcher becomes the student, and gives them up
        words += ["--cap-add", right]
    return [*words, "--security-opt", "no-new-privileges", "--security-opt", "label=disable", "--workdir", HOME]


def podman_words(limits: Limits) -> list[str]:
    """What Podman is told beside, lest its configuration says otherwise; Docker takes it otherwise or not at all."""
    memory = f"/dev/shm:rw,noexec,nosuid,nodev,size={limits.tmp_size},mode=1777"  # noqa: S108
    return ["--read-only-tmpfs=false", "--pid", "private", "--tmpfs", memory]


def limit_words(limits: Limits, *, processes: int | None) -> list[str]:
    """The limits that an engine sets; `processes` is how many, or nothing where there are no control groups."""
    words = ["--shm-size", str(limits.tmp_size)]
    enough = ((resource.RLIMIT_NOFILE, "nofile", limits.open_files), (resource.RLIMIT_NPROC, "nproc", limits.processes))
    for kind, name, needed in enough:  # an engine without the right to raise a limit would ask for more than it has
        own = resource.getrlimit(kind)[1]
        most = max(needed, _ENOUGH) if own == resource.RLIM_INFINITY else min(own, max(needed, _ENOUGH))
        words += ["--ulimit", f"{name}={most}:{most}"]
    if processes is not None:
        words += ["--memory", str(limits.memory), "--memory-swap", str(limits.memory), "--pids-limit", str(processes)]
    return words


def shown_paths(seen: Mapping[str, Path]) -> dict[str, Path]:
    """The system, this Python, labkit, and what else is seen: each path inside, and where it lies out here.

    So does each file system that is mounted below one of them, since older engines make the topmost read-only alone.
    """
    shown = {str(path): path for path in [*_system(), *python_folders()]}
    points = mount_points()
    for inside, path in list(shown.items()):
        below = f"{path.resolve()}/"
        shown |= {
            f"{inside}/{point.removeprefix(below)}": Path(point)
            for point in points
            if point.startswith(below) and os.path.lexists(point)  # another one may lie over it
        }
    return shown | dict(seen)


def mount_words(limits: Limits, shown: Mapping[str, Path]) -> list[str]:
    """The folders in memory, and each of these paths inside, with where it lies out here, read-only.

    Raises `SandboxUnavailable` for a path that cannot be written so.
    """
    words = []
    for own in OWN:
        words += ["--tmpfs", f"{own}:rw,exec,nosuid,nodev,size={limits.tmp_size},mode=1777"]
    words += ["--tmpfs", "/sys:ro,size=4096,mode=0700"]
    for inside, path in shown.items():
        words += ["--mount", f"type=bind,source={_checked(str(path))},target={_checked(inside)},readonly"]
    return words


def _system() -> Iterable[Path]:
    """The system's folders and configuration that are here."""
    yield from (path for path in map(Path, SYSTEM) if path.is_dir() and not path.is_symlink())
    yield from (path for path in map(Path, CONFIGURATION) if path.exists())


def _checked(path: str) -> str:
    if any(mark in path for mark in _SPECIAL):
        raise SandboxUnavailable(
            f"A container cannot show {path!r}, because of a comma, a colon or a quotation mark in its name. "
            "Run labkit from a folder without them."
        )
    return path
