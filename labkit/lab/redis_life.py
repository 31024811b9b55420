"""How the Redis of a lab is killed and started again with its data."""

from __future__ import annotations

import signal

from labkit.errors import LabError, ServerFailed
from labkit.lab import mending, probe
from labkit.lab.again import kept_state, start_again, wait_for_end
from labkit.lab.brokers import put_away_log
from labkit.lab.folders import LabFolders
from labkit.lab.process import ProcessId
from labkit.lab.state import State


def kill_redis(folders: LabFolders) -> None:
    """SIGKILL Redis and return when it has ended; nothing happens if it has ended already.

    Raises `LabError` if the lab has none, and `ServerFailed`.
    """
    _, redis, _ = _look_up(folders)
    redis.send_signal(signal.SIGKILL)
    wait_for_end(folders, redis, "Redis")


def restart_redis(folders: LabFolders, *, timeout: float) -> State:
    """Start Redis again under the keeper of the lab, at its socket; what is running from then on.

    It returns when Redis has read its data and answers. One that still runs is ended first, by SIGTERM.
    Only one process at a time may do this. Raises `LabError` if the lab has none, and `ServerFailed`.
    """
    state, redis, socket = _look_up(folders)
    redis.send_signal(signal.SIGTERM)
    wait_for_end(folders, redis, "Redis")
    put_away_log(folders.logs / "redis.log")
    again = start_again(folders, state.keeper, {"redis": redis})["redis"]
    state = state.evolve(redis=again)
    state.write(folders.state)
    try:
        probe.wait_for_redis(socket, alive=again.alive, timeout=timeout)
    except ServerFailed as failure:
        raise mending.explain(failure, folders) from failure
    return state


def _look_up(folders: LabFolders) -> tuple[State, ProcessId, str]:
    state = kept_state(folders)
    if state.redis is None or state.socket is None:
        raise LabError("The lab has no Redis of its own.")
    return state, state.redis, state.socket
