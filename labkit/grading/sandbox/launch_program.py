"""Inside the sandbox, before the command: sets its limits, gives up the rights of root, and becomes it.

A script of the standard library only: `launch_program.py WORD=VALUE … -- COMMAND …`, with the words of `_WORDS`. It is
the grader's, as everything until the command is.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import sys
import time

#: Where the command finds its orders, and where it tells: numbers of their own.
ORDERS, REPORTS = 64, 65
# linux/prctl.h: PR_SET_NO_NEW_PRIVS and PR_SET_SECCOMP; linux/seccomp.h: SECCOMP_MODE_FILTER
NO_NEW_PRIVILEGES, SECCOMP, SECCOMP_FILTER = 38, 22, 2
#: The size of a step of a filter, in bytes: struct sock_filter of linux/filter.h.
STEP = 8
#: How often to look at the first process inside, in seconds.
LOOK_AGAIN = 0.001


def main(words: list[str]) -> None:
    """Act upon each word, in their order, and become the command."""
    at = words.index("--")
    for word in words[:at]:
        name, _, value = word.partition("=")
        _WORDS[name](value)
    os.umask(0o077)
    _have_usual_signals()
    os.execv(words[at + 1], words[at + 1 :])  # noqa: S606 - it is to become the command


def _have_usual_signals() -> None:
    """Nothing is blocked or ignored that was so where the grader was started, or by its thread."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _limit(value: str) -> None:
    """`NAME:SOFT:HARD`, a resource of setrlimit(2)."""
    name, soft, hard = value.split(":")
    resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (int(soft), int(hard)))


def _identity(value: str) -> None:
    """From now on this user and group, without a way back: the last capabilities go with it."""
    number = int(value)
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)


def _descriptors(value: str) -> None:
    """`ORDERS:REPORTS`, as they were inherited."""
    inherited = [int(number) for number in value.split(":")]
    aside = [fcntl.fcntl(number, fcntl.F_DUPFD, REPORTS + 1) for number in inherited]  # it may be one of the two
    for number in inherited:
        os.close(number)
    for copy, number in zip(aside, (ORDERS, REPORTS), strict=True):
        os.dup2(copy, number)
        os.close(copy)
    _see_to_the_grader()


def _see_to_the_grader() -> None:
    """Go on only if the grader lives, and what it has started will end with it.

    bwrap's first process inside asks Linux for that before it takes the filter of system calls upon itself; a grader
    that had ended by then would not be noticed by it, but its orders have ended too.
    """
    while True:
        with open("/proc/1/status", "rb") as status:  # noqa: PTH123 - pathlib takes longer to import than all of this
            if b"\nSeccomp:\t2" in status.read():
                break
        time.sleep(LOOK_AGAIN)
    poll = select.poll()
    poll.register(ORDERS, select.POLLIN)
    if any(event & select.POLLHUP for _, event in poll.poll(0)):
        sys.exit("The grader has ended.")


def _filter(value: str) -> None:
    """The file with a filter of system calls (seccomp(2)): from now on no others are made, nor by who is started."""
    import ctypes

    class Program(ctypes.Structure):  # struct sock_fprog of linux/filter.h
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    with open(value, "rb") as file:  # noqa: PTH123 - pathlib takes longer to import than all of this
        steps = file.read()
    program = Program(len(steps) // STEP, steps)
    library = ctypes.CDLL(None, use_errno=True)
    for words in ((NO_NEW_PRIVILEGES, 1, 0), (SECCOMP, SECCOMP_FILTER, ctypes.byref(program))):
        if library.prctl(*words, 0, 0):
            number = ctypes.get_errno()
            raise OSError(number, f"no filter of system calls can be had: {os.strerror(number)}")


def _relay(value: str) -> None:
    """`PORT:SOCKET:PROGRAM`: from now on this port leads to that socket. It listens before the command begins."""
    import socket

    port, path, program = value.split(":")
    with socket.create_server(("127.0.0.1", int(port)), backlog=64) as listener:
        child = os.fork()
        if child == 0:
            if os.fork() == 0:  # so that it is nobody's child, for whom the command could wait
                os.set_inheritable(listener.fileno(), True)
                for number in (ORDERS, REPORTS):
                    os.close(number)
                command = [sys.executable, "-I", "-S", program, str(listener.fileno()), path]
                os.execv(sys.executable, command)  # noqa: S606
            os._exit(0)
        os.waitpid(child, 0)


_WORDS = {"limit": _limit, "identity": _identity, "descriptors": _descriptors, "filter": _filter, "relay": _relay}

if __name__ == "__main__":
    main(sys.argv[1:])
