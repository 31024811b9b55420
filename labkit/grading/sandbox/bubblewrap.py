"""The sandbox by bubblewrap: namespaces of Linux without rights in them, a filter of system calls, and limits.

Who is not root gets a user namespace, in which the student's user is another name for the own one. Root needs none to
make the others; the launcher then becomes a user that nobody else is, before it becomes the command.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import launch_program, relay_program
from labkit.grading.sandbox.contract import Limits
from labkit.grading.sandbox.control_group import ControlGroup, make_control_group
from labkit.grading.sandbox.conversation import PipeConversation
from labkit.grading.sandbox.conversation_pipes import ConversationPipes
from labkit.grading.sandbox.local_process import LocalProcess
from labkit.grading.sandbox.mounts import (
    PROGRAMS,
    account_files,
    environment,
    last_words,
    mount_words,
    socket_path,
)
from labkit.grading.sandbox.process_limits import limits_of_a_process
from labkit.grading.sandbox.seccomp_filter import MACHINES, filter_program
from labkit.grading.sandbox.student_user import STUDENT, spare_user
from labkit.grading.sandbox.tried_backend import TRIAL, TRIAL_TIMEOUT, TriedBackend

#: The first release that gives a tmpfs a size.
OLDEST = (0, 7)
#: Where bwrap is looked for.
SEARCHED = "/usr/bin:/bin:/usr/local/bin"
#: How a skipped run says what to do.
INSTALL = "`make bubblewrap` installs it, or the system's package manager does: `apt-get install bubblewrap`"
#: Goes into the control groups, says that the kernel should sooner kill this than anything else, and becomes bwrap.
_ENTRY = (
    "{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null; "
    'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"'
)
#: The grader's own programs, which are needed inside.
_PROGRAMS = (launch_program.__file__, relay_program.__file__)


class Bubblewrap(TriedBackend):
    """Keeps `Backend`. It is tried once in a process, and again as long as it does not work."""

    def __init__(self) -> None:
        super().__init__()
        self._groups = True

    def _try(self) -> None:
        _check_version()
        said = ""
        for self._groups in (True, False):  # a group that can be made is not always one that may be entered
            with self._start(TRIAL, Limits(wall_seconds=TRIAL_TIMEOUT), {}, {}) as trial:
                ending = trial.wait(2 * TRIAL_TIMEOUT)
                said = trial.output().strip() or (ending.words if ending else "nothing")
            if ending is not None and ending.status == 0:
                return
        raise SandboxUnavailable(_refused(said))

    def _start(
        self, command: Sequence[str], limits: Limits, files: Mapping[str, bytes], sockets: Mapping[int, Path]
    ) -> PipeConversation:
        by_root = os.geteuid() == 0
        student = spare_user(Path("/proc/self/uid_map").read_text()) if by_root else STUDENT
        seen, found = mount_words(limits, sockets), _found()
        with ExitStack() as undone:  # there may be too many open files
            stack = undone.enter_context(ExitStack())
            group = make_control_group(limits.memory, limits.processes) if self._groups else None
            if group is not None:
                stack.callback(group.remove)
            pipes = ConversationPipes()
            undone.callback(pipes.close)
            handed_in = {_inside(program): Path(program).read_bytes() for program in _PROGRAMS}
            handed_in |= account_files(student) | dict(files)
            memories = {path: _memory_file(content, stack) for path, content in handed_in.items()}
            seccomp = _memory_file(filter_program(MACHINES[platform.machine()]), stack)
            words = [
                *("/bin/sh", "-c", _ENTRY, "sh", *(group.entries if group else ()), "--", found),
                *_isolation_words(student, by_root=by_root),
                *("--seccomp", str(seccomp), "--info-fd", str(pipes.info.inherited)),
                *seen,
                *(word for path, number in memories.items() for word in _file_words(path, number)),
                *last_words(),
                "--",
                *(sys.executable, "-I", "-S", _inside(launch_program.__file__)),
                *_launch_words(limits, pipes, sockets, student if by_root else None, group),
                "--",
                *command,
            ]
            inherited = [seccomp, *memories.values()]
            begin = partial(LocalProcess, words, pipes, inherited=inherited, control=group)
            conversation = PipeConversation(begin, pipes, limits=limits, held=stack)
            undone.pop_all()  # they are the conversation's now
        return conversation.launch()


def _isolation_words(student: int, *, by_root: bool) -> list[str]:
    words = ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv", "--hostname", "sandbox"]
    words += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if by_root:
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-user", "--uid", str(student), "--gid", str(student)]
    for name, value in environment().items():
        words += ["--setenv", name, value]
    return words


def _launch_words(
    limits: Limits,
    pipes: ConversationPipes,
    sockets: Mapping[int, Path],
    student: int | None,
    group: ControlGroup | None,
) -> list[str]:
    words = [
        f"descriptors={pipes.orders.inherited}:{pipes.reports.inherited}",
        *limits_of_a_process(limits, counted=group is not None),
    ]
    if student is not None:
        words.append(f"identity={student}")
    relay = _inside(relay_program.__file__)
    return [*words, *(f"relay={port}:{socket_path(port)}:{relay}" for port in sockets)]


def _file_words(path: str, number: int) -> list[str]:
    return ["--perms", "0444", "--ro-bind-data", str(number), path]


def _inside(file: str) -> str:
    """Where one of the grader's programs lies in the sandbox."""
    return f"{PROGRAMS}/{Path(file).name}"


def _memory_file(content: bytes, stack: ExitStack) -> int:
    number = os.memfd_create("labkit")
    stack.callback(os.close, number)
    with open(number, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _found() -> str:
    found = shutil.which("bwrap", path=SEARCHED)
    if found is None:
        raise SandboxUnavailable(f"Student code runs only in a sandbox, for which bubblewrap is missing: {INSTALL}.")
    return found


def _check_version() -> None:
    asked = subprocess.run([_found(), "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"(\d+)\.(\d+)", asked.stdout)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        raise SandboxUnavailable(
            f"Student code runs only in a sandbox, for which bubblewrap {OLDEST[0]}.{OLDEST[1]} or newer is needed; "
            f"here {_found()} says: {(asked.stdout or asked.stderr).strip()}. Install a newer one."
        )


def _refused(said: str) -> str:
    """The sentence for a sandbox that was tried in vain."""
    if "PermissionError" in said:  # of the launcher, which has become the student
        advice = f"The student's user must be allowed to read this Python, {sys.prefix}: `chmod -R o+rX` there."
        return f"Student code runs only in a sandbox, and none can be made here: {said[-500:]!r}. {advice}"
    advice = (
        "As root this needs the rights of a real root (CAP_SYS_ADMIN): in a container, start that with them, or grade "
        "outside of it."
        if os.geteuid() == 0
        else "It needs user namespaces: `sysctl -w user.max_user_namespaces=15000`, on Debian also "
        "`kernel.unprivileged_userns_clone=1`, on Ubuntu `kernel.apparmor_restrict_unprivileged_userns=0`, as root."
    )
    return f"Student code runs only in a sandbox, and none can be made here: {said[-500:]!r}. {advice}"
