"""The parent of a lab's servers: it starts them, watches them and ends them. Run as a script, standard library only.

Standard input is a pipe from the owner, the process that opened the lab. Its first line says as JSON what to
start, and the supervisor answers on standard output with one line, the servers' pids as JSON. Then it ends the servers
when

- the pipe closes or the owner is no longer its parent: the owner has ended, even by SIGKILL;
- SIGTERM or SIGINT arrives: this is how another process stops a lab;
- every server has ended by itself, unless it can be asked to start them again.

SIGUSR1 asks it to start servers again that have ended: their names stand in the file `requests` as a JSON array. What
still runs is left alone.

`detach` on the pipe lets go of the owner: from then on only a signal ends the lab. Should the supervisor itself be
killed, Linux kills the servers (PR_SET_PDEATHSIG). How a server ended is written to the file `exits`, one JSON object
a line, and its new pid when it was started again.
At the end the paths in `remove` are deleted, and the lab's state file unless the servers ended unasked: then the file
tells the next start that there is something to mend.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

#: How often the supervisor looks whether its owner is still there, in seconds; the pipe usually tells at once.
WATCH_INTERVAL = 0.5

#: The signals that the supervisor handles.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)

#: Linux, <sys/prctl.h>
PR_SET_PDEATHSIG = 1


class ServerProcess:
    """One server and what became of it."""

    def __init__(
        self,
        name: str,
        argv: list[str],
        folder: str,
        output: str,
        grace: float,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.argv = argv
        self.folder = folder
        self.output = output
        self.environment = environment  # None: the supervisor's own
        self.grace = grace  # seconds between SIGTERM and SIGKILL; with 0, SIGKILL at once
        self.pid = 0
        self.running = False

    def start(self) -> None:
        """Fork and exec; a failed exec ends the child with status 127 and says why in its output."""
        supervisor = os.getpid()
        # A signal that comes before the child has got rid of the supervisor's handlers must wait, or it would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self._become(supervisor)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())  # also what the owner's thread had blocked
        self.running = True

    def _become(self, supervisor: int) -> NoReturn:
        try:
            die_with_parent(supervisor)
            os.chdir(self.folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            output = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(output, 1)
            os.dup2(output, 2)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            if self.environment is None:
                os.execv(self.argv[0], self.argv)  # noqa: S606 (a shell is not wanted)
            os.execve(self.argv[0], self.argv, self.environment)  # noqa: S606
        except OSError as error:
            os.write(2, f"{self.argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def kill(self, number: int) -> None:
        """Send a signal. The pid is ours until it is reaped, and only the supervisor reaps."""
        if self.running:
            os.kill(self.pid, number)


def _load_prctl() -> Any:
    if sys.platform != "linux":
        return None
    import ctypes

    return ctypes.CDLL(None).prctl


_prctl = _load_prctl()  # before the fork, so that the child does next to nothing


def die_with_parent(parent: int) -> None:
    """Let Linux kill this process when its parent ends, also if that has happened already."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)


class SupervisorProcess:
    """The loop that waits for one of the reasons to end."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.owner: int | None = spec["owner"]
        self.servers = [ServerProcess(**server) for server in spec["servers"]]
        self.exits: str = spec["exits"]
        self.requests: str | None = spec["requests"]
        self.state: str | None = spec["state"]
        self.remove: list[str] = spec["remove"]
        #: may the file of exits end in the middle of a line?
        self.torn = False
        self.stopping = False
        self.asked_to_restart = False
        self.wake_up = self._watch_signals()
        self.pipe: int | None = 0

    def _watch_signals(self) -> int:
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, self._ask_to_restart)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        return reader

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _ask_to_restart(self, *_: object) -> None:
        self.asked_to_restart = True

    def run(self) -> None:
        """Start the servers, report their pids, and keep them until a reason to end turns up."""
        try:
            for server in self.servers:
                server.start()
            os.write(1, json.dumps({server.name: server.pid for server in self.servers}).encode() + b"\n")
            while not self.stopping and (self.requests or any(server.running for server in self.servers)):
                self._wait(WATCH_INTERVAL)
                self._look_at_owner()
                self._restart()
            if self.stopping and self.state is not None:
                self.remove.append(self.state)
            self._end_servers()
        finally:
            for server in self.servers:
                server.kill(signal.SIGKILL)
            self._clean_up()

    def _wait(self, timeout: float) -> None:
        sources = [self.wake_up] if self.pipe is None else [self.wake_up, self.pipe]
        ready, _, _ = select.select(sources, [], [], timeout)
        if self.wake_up in ready:
            os.read(self.wake_up, 4096)
        if self.pipe is not None and self.pipe in ready:
            self._hear(os.read(self.pipe, 4096))
        self._reap()

    def _hear(self, words: bytes) -> None:
        if b"detach" in words:
            self.owner = None
        if self.owner is not None and not words:
            self.stopping = True
        if not words or self.owner is None:
            self.pipe = None

    def _look_at_owner(self) -> None:
        if self.owner is not None and os.getppid() != self.owner:
            self._wait(0)  # its last word may have been `detach`
            self.stopping = self.stopping or self.owner is not None

    def _restart(self) -> None:
        if self.stopping or not self.asked_to_restart:
            return
        self.asked_to_restart = False
        wanted = self._wanted()
        for server in self.servers:
            if server.name in wanted and not server.running:
                try:
                    server.start()
                except OSError as error:  # too many processes just now: the others are to live on
                    say(f"{server.name} was not started again: {error}")
                    continue
                self._note(server, {})

    def _wanted(self) -> list[str]:
        try:
            with open(self.requests or os.devnull, encoding="utf-8") as file:  # noqa: PTH123
                return list(json.load(file))
        except (OSError, ValueError, TypeError, RecursionError) as error:  # a stray signal must not end the servers
            say(f"nothing was started again: {error}")
            return []

    def _reap(self) -> None:
        for server in self.servers:
            if not server.running:
                continue
            pid, status = os.waitpid(server.pid, os.WNOHANG)
            if pid:
                server.running = False
                self._note(server, {"status": os.waitstatus_to_exitcode(status), "asked": self.stopping})

    def _note(self, server: ServerProcess, what: dict[str, Any]) -> None:
        entry = {"server": server.name, "pid": server.pid, **what, "at": time.time()}
        try:
            with open(self.exits, "a", encoding="utf-8") as file:  # noqa: PTH123 (pathlib would double the start-up)
                file.write("\n" * self.torn + json.dumps(entry) + "\n")
            self.torn = False
        except OSError as error:  # a full disk, or an anonymous lab whose folder is gone: the servers still must end
            self.torn = True
            say(f"what became of {server.name} was not noted: {error}")

    def _end_servers(self) -> None:
        self.pipe = None
        begin = time.monotonic()
        for server in self.servers:
            server.kill(signal.SIGTERM if server.grace else signal.SIGKILL)
        while running := [server for server in self.servers if server.running]:
            left = max(server.grace for server in running) - (time.monotonic() - begin)
            if left <= 0:
                for server in running:
                    server.kill(signal.SIGKILL)
            self._wait(min(max(left, 0.01), WATCH_INTERVAL))

    def _clean_up(self) -> None:
        for path in self.remove:
            if os.path.isdir(path):  # noqa: PTH112
                import shutil  # only anonymous labs need it, and the start-up of this script is waited for

                shutil.rmtree(path, ignore_errors=True)
            elif os.path.exists(path):  # noqa: PTH110
                os.unlink(path)  # noqa: PTH108


def say(what: str) -> None:
    """On the log, if it can be written: it is on the disk that may be full."""
    with suppress(OSError):
        os.write(2, f"{what}\n".encode(errors="backslashreplace"))


def read_line(number: int) -> bytes:
    """The first line from a file descriptor, unbuffered, so that what follows stays in the pipe."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(number, 65536)
        if not byte:
            sys.exit("the owner ended before it said what to start")
        line += byte
    return line


if __name__ == "__main__":
    SupervisorProcess(json.loads(read_line(0))).run()
