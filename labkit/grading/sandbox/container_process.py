"""A command in a container, from its start until all that it has started is gone.

The engine only makes the container. Its first process connects to a Unix socket of the grader, which sends it the ends
of the pipes over that, knows from Linux which process that is, and ends it without the engine.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox.contract import Limits
from labkit.grading.sandbox.control_group import ControlGroup, limited_group
from labkit.grading.sandbox.conversation_pipes import ConversationPipes
from labkit.grading.sandbox.sandbox_process import ProcessEnd
from labkit.process.process_group import ProcessGroup
from labkit.temporary_folder import remove_folder

#: How long an engine may take to start a container, in seconds.
START_TIMEOUT = 60.0
#: How long what was killed may take to be gone, in seconds.
KILL_TIMEOUT = 30.0
#: How long the engine may take to remove a container by force, in seconds.
REMOVE_TIMEOUT = 30.0
#: How long the engine's client may take to see that its container has ended, in seconds; then it is killed.
CLIENT_TIMEOUT = 10.0
#: How often to look whether a client still runs, in seconds, where the system does not tell.
LOOK_INTERVAL = 0.05
#: The status of one that the grader has ended, or that was killed for want of memory with the first process.
KILLED = 128 + signal.SIGKILL
#: What the first process of a container is beside the student's.
OWN_PROCESSES = 1
#: How much of what the engine says is repeated, in characters.
SAID = 500


class ContainerRefused(SandboxUnavailable):
    """The engine has not started a container, and has said why."""


class ContainerProcess:
    """Keeps `SandboxProcess`. `run` are the words that run the container, `remove` those that remove it by force.

    `folder` is what is mounted of the grader's. The first process connects to `listener`.
    Raises `SandboxUnavailable` if it does not start. Then nothing of it runs, or what still comes up ends at once.
    """

    def __init__(
        self,
        run: Sequence[str],
        remove: Sequence[str],
        pipes: ConversationPipes,
        *,
        listener: socket.socket,
        folder: Path,
        limits: Limits,
    ) -> None:
        self._remove = remove
        self._limits = limits
        # Podman's conmon leaves a file where it was started if the kernel kills for want of memory
        self._client = ProcessGroup(run, output=pipes.info.inherited, inherited=(), environment=None, folder=folder)
        self._said = pipes.info
        try:
            self._line = self._connected(listener)
        except BaseException:
            self._client.reap()
            raise
        finally:
            listener.close()
        try:
            remove_folder(folder)  # what is mounted stays there, and nothing is left here if the grader is killed
            self._take_over(pipes)
        except BaseException:
            self._line.close()
            self._client.reap()
            raise

    @property
    def end_watch(self) -> Sequence[int]:
        """What is readable when the command has ended, or the first process."""
        return (self._line.fileno(), self._first)

    def has_ended(self) -> bool:
        """Whether the command has ended, or the first process."""
        return bool(_readable(self.end_watch, 0))

    def end(self) -> ProcessEnd:
        """End it with all that it has started, and return when all of that is gone.

        Raises `SandboxUnavailable` if it will not end, neither by Linux nor by the engine, or if somebody else has
        ended it, as by the engine.
        """
        told = self._told()
        used_up = self.control.used_up() if self.control is not None else frozenset()
        self._line.close()  # with which the first process ends, also where it may not be killed
        try:
            with suppress(PermissionError, ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            gone = _readable([self._first], KILL_TIMEOUT) or self._removed()
        finally:
            os.close(self._first)
            self._await_client()
            self._client.reap()
        if not gone:
            raise SandboxUnavailable(f"A container of the sandbox does not end. Remove it: `{' '.join(self._remove)}`.")
        if told == b"" and "memory" not in used_up:
            raise SandboxUnavailable("The container has ended before its command, which is no doing of the command's.")
        return ProcessEnd(int(told) if told else KILLED, used_up)

    def _told(self) -> bytes | None:
        """The status of the command, as the first process tells it; empty if that is gone without, else None."""
        if not _readable([self._line.fileno()], 0):
            return None
        try:
            return self._line.recv(16)
        except ConnectionError:  # it had not read what it was sent
            return b""

    def _connected(self, listener: socket.socket) -> socket.socket:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            wait = LOOK_INTERVAL if not self._client.end_watch else deadline - time.monotonic()
            ready = _readable([listener.fileno(), *self._client.end_watch], wait)
            if listener.fileno() in ready:
                return listener.accept()[0]
            if self._client.has_ended():
                raise ContainerRefused(f"The container has not started: {self._words()}")
        raise SandboxUnavailable(
            f"The container has not started within {START_TIMEOUT:g} s. Run it again when this machine has less to do. "
            f"{self._words()}".strip()
        )

    def _words(self) -> str:
        """What the engine has said."""
        return (self._said.read() or b"").decode("utf-8", errors="replace").strip()[-SAID:]

    def _take_over(self, pipes: ConversationPipes) -> None:
        """Find out who the first process is, and send it what the command needs."""
        pid, _, _ = struct.unpack("3i", self._line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid == 0:
            raise SandboxUnavailable("The engine of containers runs where its processes cannot be seen from here.")
        self._first = os.pidfd_open(pid)
        try:
            if _readable([self._line.fileno()], 0):  # it tells nothing yet, so it is gone, and this may be another one
                raise SandboxUnavailable(
                    f"The container has ended as it was started. Run it again. {self._words()}".strip()
                )
            self.users = Path(f"/proc/{pid}/uid_map").read_text()
            limits = self._limits
            self.control: ControlGroup | None = limited_group(pid, limits.memory, limits.processes + OWN_PROCESSES)
            ends = [end.inherited for end in (pipes.orders, pipes.reports, pipes.output)]
            socket.send_fds(self._line, [b"!"], ends)
        except BaseException:
            os.close(self._first)
            raise

    def _removed(self) -> bool:
        with suppress(subprocess.SubprocessError, OSError):
            subprocess.run(self._remove, capture_output=True, timeout=REMOVE_TIMEOUT, check=False)
        return bool(_readable([self._first], KILL_TIMEOUT))

    def _await_client(self) -> None:
        deadline = time.monotonic() + CLIENT_TIMEOUT
        while not self._client.has_ended() and time.monotonic() < deadline:
            _readable(self._client.end_watch, deadline - time.monotonic() if self._client.end_watch else LOOK_INTERVAL)


def _readable(numbers: Sequence[int], timeout: float) -> set[int]:
    """Which of these descriptors are readable, waited for up to `timeout` seconds."""
    poll = select.poll()
    for number in numbers:
        poll.register(number, select.POLLIN)
    return {number for number, _ in poll.poll(max(0.0, timeout) * 1000)}
