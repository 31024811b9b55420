"""The brokers of a lab: their storage, their commands, and how they are killed and started again."""

from __future__ import annotations

import signal
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copytree, rmtree
from uuid import NAMESPACE_URL, uuid5

from labkit.errors import LabError, PortInUse, ServerFailed
from labkit.lab import mending, probe
from labkit.lab.again import kept_state, start_again, wait_for_end
from labkit.lab.folders import LabFolders, make_folder
from labkit.lab.kafka_cache import Kafka
from labkit.lab.kafka_server import aot_options, kafka_command, server_properties
from labkit.lab.keeping import ServerCommand
from labkit.lab.ports import is_free
from labkit.lab.state import Broker, State, server_name
from labkit.lab.waiting import wait_for


def broker_command(
    kafka: Kafka,
    folders: LabFolders,
    *,
    name: str,
    node: int,
    port: int,
    controller_ports: Sequence[int],
    grace: float,
) -> ServerCommand:
    """The command that runs one node, whose storage and properties are written to these folders of its own."""
    for folder in (folders.root, folders.logs):
        make_folder(folder)
    _format(folders.kafka, kafka.template, node)
    text = server_properties(
        data=folders.kafka, port=port, controller_port=controller_ports[node - 1], node=node, voters=controller_ports
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
    return ServerCommand(name=name, argv=argv, folder=folders.root, output=folders.logs / "kafka.out", grace=grace)


def kill_broker(folders: LabFolders, node: int) -> None:
    """SIGKILL the broker and return when it has ended; nothing happens if it has ended already.

    Raises `LabError` if there is no such broker, and `ServerFailed`.
    """
    _, (broker,) = _look_up(folders, [node])
    broker.process.send_signal(signal.SIGKILL)
    wait_for_end(folders, broker.process, f"The broker {node}")


def restart_brokers(folders: LabFolders, nodes: Sequence[int], *, timeout: float) -> State:
    """Start brokers again, with their data and ports, under the keeper of the lab; what is running from then on.

    It returns when they have their places in the cluster. One that still runs is ended first, by SIGTERM.
    Only one process at a time may do this. Raises `LabError` if there is no such broker, `PortInUse`, `ServerFailed`.
    """
    state, brokers = _look_up(folders, nodes)
    for broker in brokers:
        broker.process.send_signal(signal.SIGTERM)
    for broker in brokers:
        wait_for_end(folders, broker.process, f"The broker {broker.node}")
        _wait_for_ports(broker, timeout)
        _make_room(folders.broker(broker.node))
    names = {server_name(broker.node, len(state.brokers)): broker for broker in brokers}
    processes = start_again(folders, state.keeper, {name: broker.process for name, broker in names.items()})
    again = {broker.node: replace(broker, process=processes[name]) for name, broker in names.items()}
    state = state.evolve(brokers=tuple(again.get(broker.node, broker) for broker in state.brokers))
    state.write(folders.state)
    try:
        for broker in again.values():
            probe.wait_for_return(broker.node, broker.port, alive=broker.process.alive, timeout=timeout)
    except ServerFailed as failure:
        raise mending.explain(failure, folders) from failure
    return state


def _look_up(folders: LabFolders, nodes: Sequence[int]) -> tuple[State, list[Broker]]:
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
        _rename(part / "meta.properties", node)
    part.replace(data)


def _rename(meta: Path, node: int) -> None:
    """The template is that of node 1. Every node and every folder of records has an id of its own in a cluster."""
    folder_id = urlsafe_b64encode(uuid5(NAMESPACE_URL, f"labkit-broker-{node}").bytes).decode().rstrip("=")
    own = {"node.id": str(node), "directory.id": folder_id}
    lines = [line.partition("=") for line in meta.read_text(encoding="utf-8").splitlines()]
    meta.write_text("".join(f"{name}{sign}{own.get(name, value)}\n" for name, sign, value in lines), encoding="utf-8")
