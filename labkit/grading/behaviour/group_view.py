"""A consumer group as its broker sees it: what is committed, who its members are, and members taken out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka.admin import KafkaAdminClient, MemberToRemove

from labkit.faults import COMMITS_TOPIC, Event, group_commits
from labkit.lab.connection import Connection
from labkit.resource import Resource
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport import connect_transport
from labkit.taskqueue.transport.kafka_python.client import ask, connect
from labkit.taskqueue.transport.values import Timeouts


class GroupView(Resource):
    """The group of this name on the topic of this name. Raises `TransportError` when the broker does not answer."""

    def __init__(self, connection: Connection, group: str, topic: str) -> None:
        self.group, self.topic = group, topic
        self._connection = connection
        self._timeouts = Timeouts()
        self._transport = connect_transport(connection, "kafka-python", timeouts=self._timeouts)
        self._client = connect(KafkaAdminClient, connection, self._timeouts, client_id="labkit-grader")
        try:
            self._admin = self._transport.admin()
        except BaseException:
            self._client.close()
            raise

    def committed(self) -> dict[int, int]:
        """By partition, the offset that is committed; nothing where none is."""
        return {number: place.offset for number, place in self._admin.committed(self.group, self.topic).items()}

    def has(self, address: str) -> bool | None:
        """Whether it has members that come from this address; None if it is one of those whose members kafka-python
        cannot ask for: those of KIP-848.
        """
        found = self._ask(lambda: self._client.list_groups(types_filter=["consumer"]))
        if any(group["group_id"] == self.group for group in found):
            return None
        return address in self.members()

    def members(self) -> dict[str, list[str]]:
        """By the address that they come from, the ids of the members."""
        found: dict[str, list[str]] = {}
        for member in self._describe().get("members") or ():
            found.setdefault(str(member["client_host"]).lstrip("/"), []).append(str(member["member_id"]))
        return found

    def remove(self, address: str) -> None:
        """Take all members out that come from this address: what happens to dead ones when their session is over."""
        members = [MemberToRemove(member_id=name) for name in self.members().get(address, ())]
        if members:
            self._ask(lambda: self._client.remove_group_members(self.group, members))

    def commits(self) -> list[Event]:
        """All commits of the group for the topic, in the broker's order."""
        written = read_topic(self._transport, COMMITS_TOPIC)
        return group_commits(written, group=self.group, topic=self.topic, beyond=False)

    def close(self) -> None:
        """Let go of the sockets."""
        self._admin.close()
        self._client.close()

    def _describe(self) -> dict[str, Any]:
        return dict(self._ask(lambda: self._client.describe_groups([self.group]))[self.group])

    def _ask(self, request: Callable[[], Any]) -> Any:
        return ask(request, self._connection, self._timeouts)
