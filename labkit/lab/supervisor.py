"""The owner's side of a supervisor: start servers under one, let go of it, or stop it.

The supervisor itself is a program of its own, `labkit/lab/supervisor_process.py`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from labkit.errors import ServerFailed
from labkit.lab.condition import wait_for
from labkit.lab.process_id import ProcessId, process_id

_SCRIPT = Path(__file__).with_name("supervisor_process.py")

#: How long a supervisor may take to start its servers, in seconds; usually a fraction of one.
ANSWER_TIMEOUT = 30.0
#: How long a supervisor may take beyond the time that it gives its servers, in seconds.
MARGIN = 5.0

#: Supervisors that live on, or are not gone yet: Python would complain if it had to throw away the object of a process
#: that still runs.
_let_go: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """A server to start. `grace` is the time between SIGTERM and SIGKILL in seconds; with 0, SIGKILL at once.

    Without an `environment` of its own it gets that of this process.
    """

    name: str
    argv: list[str]
    folder: Path
    output: Path
    grace: float
    environment: dict[str, str] | None = None


class Supervisor:
    """A supervisor that this process has started, and the pids of its servers by name."""

    def __init__(self, process: subprocess.Popen[bytes], pids: dict[str, int], grace: float) -> None:
        self._popen = process
        self._pipe = process.stdin
        self._grace = grace
        self.process = identified(process.pid)
        self.servers = {name: identified(pid) for name, pid in pids.items()}

    def detach(self) -> None:
        """Let the servers live on when this process ends."""
        assert self._pipe is not None
        self._pipe.write(b"detach\n")
        self._pipe.close()
        _let_go.append(self._popen)

    def wait(self) -> None:
        """Return when every server has ended by itself."""
        self._popen.wait()

    def stop(self, *, at_once: bool = False) -> None:
        """End the servers and return when all have ended. Stopping twice is no error.

        They get SIGTERM, and SIGKILL when their grace is over; `at_once`: SIGKILL straight away.
        """
        assert self._pipe is not None
        if at_once:
            for server in self.servers.values():
                server.send_signal(signal.SIGKILL)
        self._pipe.close()
        end_supervisor(self.process, list(self.servers.values()), self._grace)
        if not _reap(self._popen):
            _let_go.append(self._popen)


def launch(
    servers: Sequence[ServerCommand],
    *,
    exits: Path,
    log: Path,
    state: Path | None = None,
    requests: Path | None = None,
    remove: Sequence[Path] = (),
) -> Supervisor:
    """Start the servers under a new supervisor; they end with this process unless `detach` is called.

    When all has ended, the supervisor deletes the paths in `remove`, and the file `state` if the servers were asked to
    end. How each of them ended is appended to the file `exits`. With `requests`, the supervisor stays when all have
    ended, and `restart` can ask it for them again. Raises `ServerFailed`.
    """
    spec = {
        "owner": os.getpid(),
        "servers": [
            {**asdict(server), "folder": str(server.folder), "output": str(server.output)} for server in servers
        ],
        "exits": str(exits),
        "state": None if state is None else str(state),
        "requests": None if requests is None else str(requests),
        "remove": [str(path) for path in remove],
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", _SCRIPT],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is for us, not for the servers
        )
    answer = b""
    try:
        answer = _ask(process, json.dumps(spec).encode() + b"\n")
    finally:
        if not answer:
            _give_up(process)
    if not answer:
        said = log.read_text(errors="replace")[-500:].strip()
        silence = f"their supervisor has not answered for {ANSWER_TIMEOUT:g} s"
        raise ServerFailed(f"The servers could not be started: {said or silence}")
    return Supervisor(process, json.loads(answer), max(server.grace for server in servers))


def _ask(process: subprocess.Popen[bytes], spec: bytes) -> bytes:
    """Tell a supervisor what to start; its answer, or nothing if it has ended or is not in time."""
    pipe, answers = process.stdin, process.stdout
    assert pipe is not None
    assert answers is not None
    answer, deadline = b"", time.monotonic() + ANSWER_TIMEOUT
    os.set_blocking(pipe.fileno(), False)
    with answers, suppress(BrokenPipeError):  # by which it has ended
        while spec and _is_ready(pipe, select.POLLOUT, deadline):
            spec = spec[os.write(pipe.fileno(), spec) :]
        while not answer.endswith(b"\n") and _is_ready(answers, select.POLLIN, deadline):
            part = os.read(answers.fileno(), 65_536)
            if not part:
                break
            answer += part
    os.set_blocking(pipe.fileno(), True)
    return answer if answer.endswith(b"\n") else b""


def _is_ready(pipe: IO[bytes], event: int, deadline: float) -> bool:
    """Whether this can be done with it, or nothing any more, before the deadline."""
    poll = select.poll()
    poll.register(pipe, event)
    return bool(poll.poll(1000 * max(0.0, deadline - time.monotonic())))


def _give_up(process: subprocess.Popen[bytes]) -> None:
    """End one that has not answered: by the end of the pipe, at which it ends its servers, and by force if need be."""
    assert process.stdin is not None
    process.stdin.close()
    if not _reap(process):
        process.kill()
        _let_go.append(process)


def _reap(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a supervisor that ends; False if it is still there after some seconds."""
    try:
        process.wait(MARGIN)
    except subprocess.TimeoutExpired:
        return False
    return True


def restart(supervisor: ProcessId, names: Sequence[str], *, requests: Path) -> None:
    """Ask a supervisor to start these servers again; it notes their new pids in its file `exits`."""
    part = requests.with_suffix(".part")
    part.write_text(json.dumps(list(names)), encoding="utf-8")
    part.replace(requests)
    supervisor.send_signal(signal.SIGUSR1)


def end_supervisor(supervisor: ProcessId, servers: Sequence[ProcessId], grace: float) -> None:
    """Ask a supervisor to end its servers and wait for it; end everything by SIGKILL if it does not answer."""
    supervisor.send_signal(signal.SIGTERM)
    if not supervisor.wait(grace + MARGIN):
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait(MARGIN)
    for server in servers:  # only left over if the supervisor was killed
        server.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(server.alive() for server in servers), MARGIN)


def identified(pid: int) -> ProcessId:
    """The process that has just been started with this pid."""
    found = process_id(pid)
    # A server that ended at once is still unreaped or already gone; either way it is known as not alive.
    return found if found is not None else ProcessId(pid, -1.0)
