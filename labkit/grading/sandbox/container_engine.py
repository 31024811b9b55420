"""The sandbox by containers of Podman or Docker, from an empty image, with the filter and the limits of the other one.

The engine's own user of the container is root in there, with the rights to become another one and nothing else; the
command is never that user.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal

import labkit
from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import container_program, launch_program, relay_program
from labkit.grading.sandbox.container_process import OWN_PROCESSES, SAID, ContainerProcess, ContainerRefused
from labkit.grading.sandbox.container_words import (
    OWN,
    image_archive,
    isolation_words,
    limit_words,
    mount_words,
    podman_words,
    shown_paths,
)
from labkit.grading.sandbox.contract import Limits
from labkit.grading.sandbox.conversation import PipeConversation
from labkit.grading.sandbox.conversation_pipes import ConversationPipes
from labkit.grading.sandbox.mounts import PROGRAMS, account_files, environment, socket_path
from labkit.grading.sandbox.process_limits import limits_of_a_process
from labkit.grading.sandbox.seccomp_filter import MACHINES, filter_program
from labkit.grading.sandbox.student_user import STUDENT, spare_user
from labkit.grading.sandbox.tried_backend import TRIAL, TRIAL_TIMEOUT, TriedBackend
from labkit.process.socket_folder import make_socket_folder
from labkit.temporary_folder import remove_folder

EngineName = Literal["podman", "docker"]

#: How a skipped run says what to do.
INSTALL: dict[EngineName, str] = {
    "podman": "the system's package manager installs Podman, as by `apt-get install podman`",
    "docker": "install Docker Engine on this machine, and see that `docker info` works",
}
#: How long an engine may take for an answer, in seconds.
ANSWER_TIMEOUT = 60.0
#: What containers of labkit have; those that a killed grader has left, and never run, are removed when they are so old.
LABEL, LEFT_FOR = "labkit-sandbox", "1h"
#: How much longer than the grader the first process inside waits for the end, in seconds.
LATER = 30.0
#: The grader's own programs, which are needed inside.
_PROGRAMS = (container_program.__file__, launch_program.__file__, relay_program.__file__)
#: Where the filter of system calls lies inside, and the socket that leads to the grader.
_FILTER, _LINE = f"{PROGRAMS}/filter.bpf", f"{PROGRAMS}/grader.sock"

#: Where Podman of some systems shows what this machine has subscribed to.
_SECRETS = "/run/secrets"

#: Why the limits of control groups do not hold, where the engine says nothing.
_UNLIMITED = "it ran, and no control group limits it"

log = logging.getLogger("labkit.grading")

_numbers = count(1)


class ContainerEngine(TriedBackend):
    """Keeps `Backend`, by Podman or Docker. It is tried once in a process, and again as long as it does not work."""

    def __init__(self, name: EngineName) -> None:
        super().__init__()
        self.name = name
        self._groups = True
        self._users: str | None = None
        self._image = ""
        self._is_podman = name == "podman"

    def _try(self) -> None:
        self._prepare()
        self._try_limits()
        self._works = True  # also where what others have left cannot be removed
        self._ask("container", "prune", "--force", "--filter", f"label={LABEL}", "--filter", f"until={LEFT_FOR}")

    def _prepare(self) -> None:
        """See that the engine answers and has the empty image."""
        self._is_podman = "podman" in self._ask("--version").stdout  # it may be called docker, too
        self._image, archive = image_archive()
        if self._ask("image", "inspect", self._image).returncode == 0:
            return
        made = self._ask("import", "-", self._image, given=archive)
        if made.returncode != 0:
            raise SandboxUnavailable(self._refused(made.stderr.strip()))

    def _try_limits(self) -> None:
        """See that a container runs, and whether control groups limit it; where they do not, each process is limited.

        If one is refused with them and runs without, it is tried once more: the reason may have been a passing one.
        """
        said = self._trial(groups=True)
        if said:
            otherwise = self._trial(groups=False)
            if otherwise:
                raise SandboxUnavailable(self._refused(otherwise))
            if said == _UNLIMITED or (said := self._trial(groups=True)):
                self._groups = False
                log.warning("%s limits each process of student code, not all together: %s", self.name, said)

    def _trial(self, *, groups: bool) -> str:
        """Run one, with control groups or without; why it cannot be so, or nothing.

        Raises `SandboxUnavailable` if that is no matter of control groups.
        """
        self._groups = groups
        try:
            trial = self._start(TRIAL, Limits(wall_seconds=TRIAL_TIMEOUT), {}, {})
        except ContainerRefused as error:
            return str(error)
        with trial:
            ending = trial.wait(2 * TRIAL_TIMEOUT)
            said = trial.output().strip() or (ending.words if ending else "nothing")
        if ending is None or ending.status != 0:
            raise SandboxUnavailable(self._refused(said))
        process = trial.process
        assert isinstance(process, ContainerProcess)
        self._users = process.users
        return _UNLIMITED if groups and process.control is None else ""

    def _start(
        self, command: Sequence[str], limits: Limits, files: Mapping[str, bytes], sockets: Mapping[int, Path]
    ) -> PipeConversation:
        student = STUDENT if self._users is None else spare_user(self._users)
        name = f"{LABEL}-{os.getpid()}-{next(_numbers)}-{os.urandom(4).hex()}"
        with ExitStack() as undone:  # there may be too many open files
            held = undone.enter_context(ExitStack())
            folder = make_socket_folder()
            held.callback(remove_folder, folder)
            pipes = ConversationPipes()
            undone.callback(pipes.close)
            line = folder / "s"  # as long as a name may be there
            listener = _listener(line)
            undone.callback(listener.close)
            seen = _write_files(folder, _own_files(student) | dict(files))
            seen |= {_LINE: line, **{socket_path(port): path for port, path in sockets.items()}}
            shown = shown_paths(seen)
            words = [
                *(self._found(), "run", *isolation_words(name, LABEL)),
                *(podman_words(limits) if self._is_podman else ()),
                *limit_words(limits, processes=limits.processes + OWN_PROCESSES if self._groups else None),
                *mount_words(limits, shown),
                self._image,
                *(sys.executable, "-I", "-S", _inside(container_program.__file__)),
                *(_LINE, str(limits.wall_seconds + LATER), *OWN, *shown),
                *(f"{name}={value}" for name, value in environment().items()),
                *("--", sys.executable, "-I", "-S", _inside(launch_program.__file__)),
                *self._launch_words(limits, sockets, student),
                *("--", *command),
            ]
            remove = [self._found(), "rm", "--force", name]
            begin = partial(ContainerProcess, words, remove, pipes, listener=listener, folder=folder, limits=limits)
            conversation = PipeConversation(begin, pipes, limits=limits, held=held)
            undone.pop_all()  # they are the conversation's now
        return conversation.launch()

    def _launch_words(self, limits: Limits, sockets: Mapping[int, Path], student: int) -> list[str]:
        words = [*limits_of_a_process(limits, counted=self._groups), f"identity={student}", f"filter={_FILTER}"]
        relay = _inside(relay_program.__file__)
        return [*words, *(f"relay={port}:{socket_path(port)}:{relay}" for port in sockets)]

    def _found(self) -> str:
        found = shutil.which(self.name)
        if found is None:
            raise SandboxUnavailable(
                f"Student code runs only in a sandbox, for which {self.name} is missing: {INSTALL[self.name]}."
            )
        return found

    def _ask(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
        """What the engine says to this. Raises `SandboxUnavailable` if it is not there or does not answer."""
        try:
            done = subprocess.run(
                [self._found(), *words], input=given, capture_output=True, timeout=ANSWER_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise SandboxUnavailable(
                f"Student code runs only in a sandbox, and {self.name} does not answer: see that it runs, by "
                f"`{self.name} info`."
            ) from error
        said = (part.decode("utf-8", errors="replace") for part in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, *said)

    def _refused(self, said: str) -> str:
        """The sentence for a container that was tried in vain."""
        if "PermissionError" in said or "Permission denied" in said:
            advice = f"The student's user must be allowed to read this Python, {sys.prefix}: `chmod -R o+rX` there."
        else:
            advice = f"See what `{self.name} info` says."
            if self.name == "podman" and os.geteuid() != 0:
                advice += " Who is not root needs lines in /etc/subuid and /etc/subgid, and newuidmap (`uidmap`)."
        return f"Student code runs only in a sandbox, and {self.name} can make none here: {said[-SAID:]!r}. {advice}"


def _own_files(student: int) -> dict[str, bytes]:
    """The grader's programs, and what the engine would else tell of this machine."""
    own = {_inside(program): Path(program).read_bytes() for program in _PROGRAMS}
    own[_FILTER] = filter_program(MACHINES[platform.machine()])
    return own | account_files(student) | {"/etc/hostname": b"sandbox\n", "/etc/resolv.conf": b""}


def _write_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    """Where each of these lies out here, and an empty folder that is seen instead of what is nobody's business."""
    nothing = folder / "nothing"
    nothing.mkdir()
    nothing.chmod(0o755)
    found = {str(Path(labkit.__file__).parent / "grading"): nothing, _SECRETS: nothing}
    for number, (inside, content) in enumerate(files.items()):
        file = found[inside] = folder / str(number)
        file.write_bytes(content)
        file.chmod(0o444)
    return found


def _listener(path: Path) -> socket.socket:
    """Where the first process of the container connects to; nobody else gets into the folder."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(0o666)  # root in the container may be another user out here
        listener.listen(1)
    except BaseException:
        listener.close()
        raise
    return listener


def _inside(file: str) -> str:
    """Where one of the grader's programs lies in the sandbox."""
    return f"{PROGRAMS}/{Path(file).name}"
