"""Inside a container, as its first process: starts the command for the grader, tells how it ends, and ends with it all.

A script of the standard library only: `container_program.py SOCKET SECONDS NAME=VALUE … -- COMMAND …`. The socket leads
to the grader, which sends the ends of its pipes over it. When the grader closes it, or is gone, or so many seconds have
passed, this process ends, and Linux kills every other one in the container with it. It is root in there, which the
command is not, so that the command can do nothing to it.
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


def main(words: list[str]) -> None:
    """Start the command and wait for the end."""
    at = words.index("--")
    path, seconds, *environment = words[:at]
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
    main(sys.argv[1:])
    os._exit(0)
