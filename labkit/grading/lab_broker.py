"""The broker of the student's own lab, for checks before the work is handed in: it stays, and what a run made goes."""

from __future__ import annotations

import logging

from labkit.errors import LabkitError
from labkit.grading.check_errors import NotChecked
from labkit.lab import attach_lab
from labkit.lab.connection import Connection
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport import connect_transport

log = logging.getLogger("labkit.grading")


class LabBroker:
    """Keeps `SpareBroker`. Raises `NotChecked` unless it is one broker on this machine that asks for no password: the
    sandbox has a way to one port.
    """

    def __init__(self, connection: Connection) -> None:
        host, _, port = connection.bootstrap_servers.rpartition(":")
        if host not in ("127.0.0.1", "localhost") or connection.security_protocol != "PLAINTEXT":
            raise NotChecked(
                "How code behaves is looked at on a lab of one broker on this machine, and here it is "
                f"{connection.bootstrap_servers}. Start one by `labkit up`, without LABKIT_BOOTSTRAP_SERVERS."
            )
        self.connection = connection
        self.port = int(port)

    def used_up(self) -> str | None:
        """Nothing: it is the student's own."""
        return None

    def clear(self, topic: str, group: str) -> None:
        """Delete both; what cannot be deleted stays, and is nobody's."""
        with Topics(connect_transport(self.connection, "kafka-python")) as topics:
            for delete, name in ((topics.delete, topic), (topics.forget_group, group)):
                try:
                    delete(name)
                except LabkitError as error:  # student code may have deleted it, or made it what it cannot be
                    log.info("%s could not be deleted: %s", name, error)

    def is_usable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """It stays."""


class RunningLab:
    """Keeps `BrokerSource`: the lab that runs when a question asks for a broker."""

    def take(self) -> LabBroker:
        """Its broker. Raises `LabNotRunning` if there is none, and what `LabBroker` raises."""
        return LabBroker(attach_lab().connection)
