"""How the brokers and the Redis of a lab are killed, and started again with their data under the supervisor.

The storage and the command of a broker stand here too: a restart finds both as the start has left them.
"""

from __future__ import annotations

import signal
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copytree, rmtree
from uuid import NAMESPACE_URL, uuid5

from labkit.errors import LabError, PortInUse, ServerFailed
from labkit.lab import diagnosis, probe
from labkit.lab.aot_cache import Kafka
from labkit.lab.condition import wait_for
from labkit.lab.folders import LabFolders, make_folder
from labkit.lab.kafka_server import aot_options, kafka_command, server_properties
from labkit.lab.probe import is_free
from labkit.lab.process_id import ProcessId
from labkit.lab.state import Broker, State, read_state, server_name
from labkit.lab.supervisor import MARGIN, ServerCommand, identified, restart
from labkit.settings import environment_for_java

#: Seconds that the servers of a lab with a name have to end by themselves.
GRACE = 15.0


def kept_state(folders: LabFolders) -> State:
    """What is noted about the lab, whose supervisor is there; raises `LabError` if it is not."""
    state = read_state(folders.state)
    if state is None or not state.supervisor.alive():
        raise LabError("The lab is not running, so none of its servers can be killed or started again.")
    return with_restarts(state, folders)


def with_restarts(state: State, folders: LabFolders) -> State:
    """What is noted, with the servers that the supervisor has started again since: who asked for it may be dead."""
    pids: dict[str, int] = {}
    for note in diagnosis.journal(folders):
        if note.status is None:
            pids[note.server] = note.pid
        elif pids.get(note.server) == note.pid:
            del pids[note.server]
    noted = state.servers()
    started = {name: identified(pid) for name, pid in pids.items() if name in noted and noted[name].pid != pid}
    count = len(state.brokers)
    return state.evolve(
        brokers=tuple(
            replace(one, process=started.get(server_name(one.node, count), one.process)) for one in state.brokers
        ),
        redis=started.get("redis", state.redis),
    )


def wait_for_end(folders: LabFolders, server: ProcessId, name: str) -> None:
    """Return when the supervisor knows that the server has ended: Linux shows a Java as ended while its last threads
    still are about to. One that takes too long is killed. Raises `ServerFailed`.
    """

    def ended() -> bool:
        return any(note.status is not None and note.pid == server.pid for note in diagnosis.journal(folders))

    if not wait_for(ended, GRACE):
        server.send_signal(signal.SIGKILL)
        if not wait_for(ended, MARGIN):
            raise ServerFailed(f"{name} could not be ended. Run `labkit down` and `labkit up`.")


def start_again(folders: LabFolders, supervisor: ProcessId, servers: Mapping[str, ProcessId]) -> dict[str, ProcessId]:
    """Ask the supervisor for these servers, which have ended, by their names; the new ones. Raises `ServerFailed`."""
    restart(supervisor, list(servers), requests=folders.requests)
    pids: dict[str, int] = {}

    def started() -> bool:
        last = {note.server: note.pid for note in diagnosis.journal(folders) if note.status is None}
        pids.update({name: last[name] for name, old in servers.items() if last.get(name, old.pid) != old.pid})
        return len(pids) == len(servers)

    answered = wait_for(started, MARGIN)
    folders.requests.unlink(missing_ok=True)
    if not answered:
        raise ServerFailed("The supervisor did not start the server again. Run `labkit down` and `labkit up`.")
    return {name: identified(pid) for name, pid in pids.items()}


def note_restarts(state: State, folders: LabFolders, *, timeout: float) -> State:
    """As `with_restarts`, written down when those servers are ready, as far as they live. Raises `ServerFailed`."""
    found = with_restarts(state, folders)
    if found == state:
        return state
    noted = state.servers()
    for broker in found.brokers:
        if broker.process not in noted.values() and broker.process.alive():
            probe.wait_for_return(broker.node, broker.port, broker.process, timeout=timeout)
    if found.redis is not None and found.redis != state.redis and found.socket is not None and found.redis.alive():
        probe.wait_for_redis(found.socket, alive=found.redis.alive, timeout=timeout)
    found.write(folders.state)
    return found


def broker_command(
    kafka: Kafka,
    folders: LabFolders,
    *,
    name: str,
    node: int,
    port: int,
    controller_ports: Sequence[int],
    grace: float,
    further: Mapping[str, str],
) -> ServerCommand:
    """The command that runs one node, whose storage and properties are written to these folders of its own."""
    for folder in (folders.root, folders.logs):
        make_folder(folder)
    _format(folders.kafka, kafka.template, node)
    text = server_properties(
        data=Path(folders.kafka.name),
        port=port,
        controller_port=controller_ports[node - 1],
        node=node,
        voters=controller_ports,
        further=further,
    )
    folders.properties.write_text(text, encoding="utf-8")
    _make_room(folders)
    argv = kafka_command(
        kafka.java,
        kafka.jars,
        properties=folders.properties,
        logs=folders.logs,
        temporary=folders.temporary,
        extra_options=[] if kafka.aot is None else aot_options(kafka.aot),
    )
    return ServerCommand(
        name=name,
        argv=argv,
        folder=folders.root,  # the properties name what Kafka stores from here
        output=folders.logs / "kafka.out",
        grace=grace,
        environment=environment_for_java(),
    )


def kill_broker(folders: LabFolders, node: int) -> None:
    """SIGKILL the broker and return when it has ended; nothing happens if it has ended already.

    Raises `LabError` if there is no such broker, and `ServerFailed`.
    """
    _, (broker,) = _look_up_brokers(folders, [node])
    broker.process.send_signal(signal.SIGKILL)
    wait_for_end(folders, broker.process, f"The broker {node}")


def restart_brokers(folders: LabFolders, nodes: Sequence[int], *, timeout: float) -> State:
    """Start brokers again, with their data and ports, under the supervisor of the lab; what is running from then on.

    It returns when they have their places in the cluster. One that still runs is ended first, by SIGTERM.
    Only one process at a time may do this. Raises `LabError` if there is no such broker, `PortInUse`, `ServerFailed`.
    """
    state, brokers = _look_up_brokers(folders, nodes)
    for broker in brokers:
        broker.process.send_signal(signal.SIGTERM)
    for broker in brokers:
        wait_for_end(folders, broker.process, f"The broker {broker.node}")
        _wait_for_ports(broker, timeout)
        _make_room(folders.broker(broker.node))
    names = {server_name(broker.node, len(state.brokers)): broker for broker in brokers}
    processes = start_again(folders, state.supervisor, {name: broker.process for name, broker in names.items()})
    again = {broker.node: replace(broker, process=processes[name]) for name, broker in names.items()}
    state = state.evolve(brokers=tuple(again.get(broker.node, broker) for broker in state.brokers))
    state.write(folders.state)
    try:
        for broker in again.values():
            probe.wait_for_return(broker.node, broker.port, broker.process, timeout=timeout)
    except ServerFailed as failure:
        raise diagnosis.explain(failure, folders) from failure
    return state


def _look_up_brokers(folders: LabFolders, nodes: Sequence[int]) -> tuple[State, list[Broker]]:
    state = kept_state(folders)
    found = {broker.node: broker for broker in state.brokers}
    for node in nodes:
        if node not in found:
            raise LabError(f"The lab has no broker {node}. It has {', '.join(map(str, found))}.")
    return state, [found[node] for node in nodes]


def _wait_for_ports(broker: Broker, timeout: float) -> None:
    """While a broker is away, a program may have one of its ports for an outgoing connection, which soon ends."""
    for port in (broker.port, broker.controller_port):
        if not wait_for(partial(is_free, port), timeout):
            raise PortInUse(f"Port {port} of broker {broker.node} is in use by another program. End that one first.")


def put_away_log(log: Path) -> None:
    """Each run has its own log, so that an old failure is not taken for the reason of a new one; one run is kept."""
    with suppress(FileNotFoundError):
        log.replace(log.with_name(f"{log.name}.1"))


def _make_room(folders: LabFolders) -> None:
    put_away_log(folders.logs / "server.log")
    rmtree(folders.temporary, ignore_errors=True)  # a killed server leaves its unpacked libraries behind
    make_folder(folders.temporary)


def _format(data: Path, template: Path, node: int) -> None:
    """Copy the template where the node has no storage yet; a copy that was cut off is made anew."""
    if (data / "meta.properties").exists():
        return
    part = data.with_suffix(".part")
    for folder in (part, data):
        rmtree(folder, ignore_errors=True)
    copytree(template, part)
    if node > 1:
        _make_node(part / "meta.properties", node)
    part.replace(data)


def _make_node(meta: Path, node: int) -> None:
    """The template is that of node 1. Every node and every folder of records has an id of its own in a cluster."""
    folder_id = urlsafe_b64encode(uuid5(NAMESPACE_URL, f"labkit-broker-{node}").bytes).decode().rstrip("=")
    own = {"node.id": str(node), "directory.id": folder_id}
    lines = [line.partition("=") for line in meta.read_text(encoding="utf-8").splitlines()]
    meta.write_text("".join(f"{name}{sign}{own.get(name, value)}\n" for name, sign, value in lines), encoding="utf-8")


def kill_redis(folders: LabFolders) -> None:
    """SIGKILL Redis and return when it has ended; nothing happens if it has ended already.

    Raises `LabError` if the lab has none, and `ServerFailed`.
    """
    _, redis, _ = _look_up_redis(folders)
    redis.send_signal(signal.SIGKILL)
    wait_for_end(folders, redis, "Redis")


def restart_redis(folders: LabFolders, *, timeout: float) -> State:
    """Start Redis again under the supervisor of the lab, at its socket; what is running from then on.

    It returns when Redis has read its data and answers. One that still runs is ended first, by SIGTERM.
    Only one process at a time may do this. Raises `LabError` if the lab has none, and `ServerFailed`.
    """
    state, redis, socket = _look_up_redis(folders)
    redis.send_signal(signal.SIGTERM)
    wait_for_end(folders, redis, "Redis")
    put_away_log(folders.logs / "redis.log")
    again = start_again(folders, state.supervisor, {"redis": redis})["redis"]
    state = state.evolve(redis=again)
    state.write(folders.state)
    try:
        probe.wait_for_redis(socket, alive=again.alive, timeout=timeout)
    except ServerFailed as failure:
        raise diagnosis.explain(failure, folders) from failure
    return state


def _look_up_redis(folders: LabFolders) -> tuple[State, ProcessId, str]:
    state = kept_state(folders)
    if state.redis is None or state.socket is None:
        raise LabError("The lab has no Redis of its own.")
    return state, state.redis, state.socket
