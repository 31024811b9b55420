"""Share groups over confluent-kafka, which is a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent.share_consumer import ConfluentShareConsumer
from labkit.taskqueue.transport.contract import TopicPartition
from labkit.taskqueue.transport.share import ShareClient, ShareConfig

if TYPE_CHECKING:
    from labkit.taskqueue.transport.confluent.share_admin import ShareGroupAdmin


class ConfluentShareGroups:
    """See `labkit.taskqueue.transport.share.ShareGroups`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._admin: ShareGroupAdmin | None = None

    def consumer(self, config: ShareConfig) -> ShareClient:
        """A new member, connected."""
        return ConfluentShareConsumer(self._connection, config)

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with the partitions they read."""
        return self._asking().members(group)

    def lag(self, group: str, topic: str) -> dict[int, int]:
        """How many records of each partition have neither been accepted nor given up."""
        return self._asking().lag(group, topic)

    def close(self) -> None:
        """Let go of the sockets."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _asking(self) -> ShareGroupAdmin:
        if self._admin is None:
            # it imports kafka-python, which workers do without
            from labkit.taskqueue.transport.confluent.share_admin import ShareGroupAdmin

            self._admin = ShareGroupAdmin(self._connection)
        return self._admin
