"""The grader's own client of a submission's broker. Whatever lies there may be the submission's, made to do harm: so no
answer is larger than it may be, and one that cannot be read is told by an error of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import kafka.errors as kafka_errors
from kafka.admin import KafkaAdminClient

from labkit.errors import HistoryUnreadable
from labkit.lab.connection import Connection
from labkit.resource import Resource
from labkit.taskqueue.transport.kafka_python.client import ask, connect
from labkit.taskqueue.transport.kafka_python.overrides import ask_broker
from labkit.taskqueue.transport.values import Timeouts

#: How large an answer may be, in bytes; a larger one breaks the connection.
LARGEST_ANSWER = 4 * 1024 * 1024
#: A broker that is gone is seen by its process. One that does not answer in this time, on a computer that has much else
#: to do, would be taken for one that the submission has broken.
TIMEOUTS = Timeouts(connect=60.0, request=60.0)

Answer = TypeVar("Answer")


class BoundedClient(Resource):
    """Asks the broker. Raises `TransportError` when it does not answer, or too much, and `HistoryUnreadable`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._admin = connect(
            KafkaAdminClient,
            connection,
            TIMEOUTS,
            client_id="labkit-grader",
            receive_message_max_bytes=LARGEST_ANSWER,
        )

    def ask(self, request: Callable[[KafkaAdminClient], Answer]) -> Answer:
        """What kafka-python's own client of an administrator is told."""
        try:
            return ask(self._admin, lambda: request(self._admin), self._connection, TIMEOUTS)
        except (struct.error, ValueError, LookupError, TypeError) as error:
            raise HistoryUnreadable(f"What the broker holds cannot be read: {error!r}") from error

    def tell(
        self, message: Any, pick: Callable[[Any], Any], *, group: str | None = None, allowed: Collection[int] = ()
    ) -> Any:
        """What `pick` finds in the answer to a message of Kafka's protocol, of the group's coordinator if one is named.

        An error that it tells by its code is raised, but for those that are allowed.
        """

        def request(admin: KafkaAdminClient) -> Any:
            found = pick(ask_broker(admin, message, group=group))
            if found.error_code == kafka_errors.NotLeaderForPartitionError.errno:
                raise kafka_errors.LeaderNotAvailableError  # so soon after the topic was made: it is asked again
            if found.error_code and found.error_code not in allowed:
                raise kafka_errors.for_code(found.error_code)
            return found

        return self.ask(request)

    def close(self) -> None:
        """Let go of the sockets."""
        self._admin.close()
