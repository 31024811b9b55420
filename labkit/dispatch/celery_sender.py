"""Handing tasks to Celery: a batch at a time, over one connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kombu.exceptions import BatchPublishError, OperationalError
from redis import RedisError

from labkit.celery_app.application import LEVELS, QUEUE
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.message_headers import SERIALIZER
from labkit.celery_app.performer import sending_name
from labkit.redis_state import labkit_error

if TYPE_CHECKING:
    from celery import Celery

#: How long Celery's broker may take to answer, in seconds.
ANSWER_TIMEOUT = 5.0


class CelerySender:
    """Sends to the queue of one Celery application. Used from one thread."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Any = None
        self._producer: Any = None

    def send(self, envelopes: Sequence[Envelope]) -> None:
        """Return when Celery's broker has them all: the task's id is that of the Celery task, its rank the priority.

        Raises `RedisUnreachable` if the broker is away: then any of them may be there or not, and they are to be sent
        again; and `RedisRefused` where that would not help. Raises `UnknownKind`, before any is sent.
        """
        messages = [(sending_name(envelope.task.kind), envelope) for envelope in envelopes]
        try:
            self._send(messages)
        except (OperationalError, BatchPublishError, RedisError, OSError) as error:
            self.close()
            raise labkit_error(error, f"Celery's broker did not take {len(envelopes)} tasks") from error

    def close(self) -> None:
        """Let go of the connection; the next `send` opens another."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.release()

    def _send(self, messages: Iterable[tuple[str, Envelope]]) -> None:
        producer = self._open()
        with producer.batch():
            for name, envelope in messages:
                self._app.send_task(
                    name,
                    (envelope.to_json(),),
                    task_id=envelope.task.id,
                    priority=min(envelope.rank, LEVELS - 1),
                    queue=QUEUE,
                    serializer=SERIALIZER,
                    producer=producer,
                    retry=False,
                )

    def _open(self) -> Any:
        if self._producer is None:
            # no tries of its own, and no endless wait: whoever sends knows when to try again
            self._connection = self._app.connection_for_write(
                transport_options={"max_retries": 0, "socket_timeout": ANSWER_TIMEOUT}
            )
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
        return self._producer
