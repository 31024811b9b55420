"""What brokers and Redis have in common when they are killed and started again under the keeper of their lab."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from labkit.errors import LabError, ServerFailed
from labkit.lab import mending
from labkit.lab.folders import LabFolders
from labkit.lab.keeping import MARGIN, identified, restart
from labkit.lab.process import ProcessId
from labkit.lab.state import State, read_state
from labkit.lab.waiting import wait_for

#: Seconds that the servers of a lab with a name have to end by themselves.
GRACE = 15.0


def kept_state(folders: LabFolders) -> State:
    """What is noted about the lab, whose keeper is there; raises `LabError` if it is not."""
    state = read_state(folders.state)
    if state is None or not state.keeper.alive():
        raise LabError("The lab is not running, so none of its servers can be killed or started again.")
    return state


def wait_for_end(folders: LabFolders, server: ProcessId, name: str) -> None:
    """Return when the keeper knows that the server has ended: Linux shows a Java as ended while its last threads
    still are about to. One that takes too long is killed. Raises `ServerFailed`.
    """

    def ended() -> bool:
        return any("status" in entry and entry["pid"] == server.pid for entry in mending.journal(folders))

    if not wait_for(ended, GRACE):
        server.send_signal(signal.SIGKILL)
        if not wait_for(ended, MARGIN):
            raise ServerFailed(f"{name} could not be ended. Run `labkit down` and `labkit up`.")


def start_again(folders: LabFolders, keeper: ProcessId, servers: Mapping[str, ProcessId]) -> dict[str, ProcessId]:
    """Ask the keeper for these servers, which have ended, by their names; the new processes. Raises `ServerFailed`."""
    restart(keeper, list(servers), requests=folders.requests)
    pids: dict[str, int] = {}

    def started() -> bool:
        last = {entry["server"]: entry["pid"] for entry in mending.journal(folders) if "status" not in entry}
        pids.update({name: last[name] for name, old in servers.items() if last.get(name, old.pid) != old.pid})
        return len(pids) == len(servers)

    answered = wait_for(started, MARGIN)
    folders.requests.unlink(missing_ok=True)
    if not answered:
        raise ServerFailed("The keeper did not start the server again. Run `labkit down` and `labkit up`.")
    return {name: identified(pid) for name, pid in pids.items()}
