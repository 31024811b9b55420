"""Inside a container, as its first process: starts the command for the grader, tells how it ends, and ends with it all.

A script of the standard library only: `container_program.py SOCKET SECONDS PATH … NAME=VALUE … -- COMMAND …`. The
socket leads to the grader, which sends the ends of its pipes over it; the paths are all that the engine was asked to
show. When the grader closes the socket, or is gone, or so many seconds have passed, this process ends, and Linux kills
every other one in the container with it. It is root in there, which the command is not, so that the command can do
nothing to it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

#: Where the command finds its orders, and where it tells: numbers of their own.
ORDERS, REPORTS = 64, 65
#: How many descriptors the grader sends: for orders, for reports, and for what is written to standard output and error.
SENT = 3
#: What a shell makes of a signal.
SIGNALLED = 128
#: Where engines mount something of their own, and below which folders they hide what is the machine's.
_MOUNTED, _HIDDEN = {"/", "/proc", "/sys", "/dev", "/run/.containerenv"}, ("/proc/", "/sys/")
#: What there is in every container's `/dev`, and is no part of the machine.
_DEVICES = {
    *("console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"),
    *("tty", "urandom", "zero"),
}
#: What is in the place of a space, a tab, the end of a line and a backslash (proc_pid_mountinfo(5)).
_ESCAPED = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


def mount_points() -> list[str]:
    """Where something is mounted, as this process sees it."""
    with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123 - pathlib takes longer to import
        lines = os.fsdecode(file.read()).rstrip("\n").split("\n")
    found = []
    for line in lines:
        point = line.split(" ")[4]
        for escaped, plain in _ESCAPED:
            point = point.replace(escaped, plain)
        found.append(point)
    return found


def see_to_the_container(words: list[str]) -> None:
    """Exit, with a sentence, if the engine shows more than the paths among these words, as by its configuration."""
    if os.getpid() != 1:
        sys.exit("The engine lets a container see the processes of this machine; let it not (`pidns` of Podman).")
    shown = {os.path.realpath(word) for word in words[: words.index("--")] if word.startswith("/")} | _MOUNTED
    shown |= {f"/dev/{name}" for name in _DEVICES}
    present = [*mount_points(), *(f"/dev/{name}" for name in os.listdir("/dev"))]  # noqa: PTH208 - as above
    for path in present:
        if path not in shown and not path.startswith(_HIDDEN):
            sys.exit(
                f"The engine shows what it was not asked for, {path}. For Podman take it out of containers.conf "
                "(`volumes`, `mounts`, `devices`) and mounts.conf."
            )


def main(words: list[str]) -> None:
    """Start the command and wait for the end."""
    at = words.index("--")
    path, seconds, *others = words[:at]
    environment = [word for word in others if not word.startswith("/")]
    grader = socket.socket(socket.AF_UNIX)
    grader.connect(path)
    _, numbers, _, _ = socket.recv_fds(grader, 1, SENT)
    if len(numbers) != SENT:
        sys.exit("The grader has ended.")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    child = os.fork()
    if child == 0:
        _become(words[at + 1 :], numbers, dict(word.split("=", 1) for word in environment))
    for number in numbers:
        os.close(number)
    _attend(grader, reader, child, time.monotonic() + float(seconds))


def _become(command: list[str], numbers: list[int], environment: dict[str, str]) -> None:
    """The command, with these descriptors and no others."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123 - pathlib takes longer to import
            score.write("1000")  # the kernel should sooner kill this than what watches over it
        for target, number in zip((ORDERS, REPORTS, 1), numbers, strict=True):
            os.dup2(number, target)
        os.dup2(1, 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.closerange(3, ORDERS)
        os.closerange(REPORTS + 1, 1024)
        os.execve(command[0], command, environment)  # noqa: S606 - it is to become the command
    except OSError as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(127)


def _attend(grader: socket.socket, wake: int, child: int, deadline: float) -> None:
    """Return when the grader wants no more, or it has taken too long; whoever ends inside meanwhile is reaped."""
    poll = select.poll()
    for number in (grader.fileno(), wake):
        poll.register(number, select.POLLIN)
    while True:
        ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
        if not ready or grader.fileno() in ready:
            return
        os.read(wake, 4096)
        for pid, status in iter(_reap, (0, 0)):
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                grader.sendall(b"%d\n" % (code if code >= 0 else SIGNALLED - code))


def _reap() -> tuple[int, int]:
    """Who has ended, and how; zeroes if nobody has."""
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0


if __name__ == "__main__":
    see_to_the_container(sys.argv[1:])
    main(sys.argv[1:])
    os._exit(0)
