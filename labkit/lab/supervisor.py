"""The owner's side of a supervisor: start servers under one, let go of it, or stop it.

The supervisor itself is a program of its own, `labkit/lab/supervisor_process.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.errors import ServerFailed
from labkit.lab.condition import wait_for
from labkit.lab.process_id import ProcessId, process_id

_SCRIPT = Path(__file__).with_name("supervisor_process.py")

#: How long a supervisor may take beyond the time that it gives its servers, in seconds.
MARGIN = 5.0

#: Supervisors that live on; Python would complain if it had to throw away the object of a process that still runs.
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
        self._popen.wait()


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
    answer = _ask(process, json.dumps(spec).encode() + b"\n")
    if not answer:
        raise ServerFailed(f"The servers could not be started: {log.read_text(errors='replace')[-500:].strip()}")
    return Supervisor(process, json.loads(answer), max(server.grace for server in servers))


def _ask(process: subprocess.Popen[bytes], spec: bytes) -> bytes:
    """Tell a supervisor what to start; its answer, or nothing if it has ended, which is waited for."""
    pipe, answers = process.stdin, process.stdout
    assert pipe is not None
    assert answers is not None
    answer = b""
    try:
        while spec:
            spec = spec[pipe.write(spec) :]
        answer = answers.readline()
    except BrokenPipeError:
        pass  # it has ended
    finally:
        answers.close()
        if not answer:
            pipe.close()  # a supervisor that is still there ends its servers now
            process.wait()
    return answer


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
