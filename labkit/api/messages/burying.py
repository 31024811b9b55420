"""Dead letters of the message API, in the form of `labkit.taskqueue.dead_letters`.

A letter is written, acknowledged by Kafka, and then forgotten in Redis. A crash in between writes it again, under the
same key: it is one letter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from labkit.api.messages.sending import Letter, Sender
from labkit.api.messages.topic_log import TopicLog
from labkit.errors import NotAcknowledged
from labkit.taskqueue.dead_letters import bury
from labkit.taskqueue.transport.contract import Delivery, Record


class Burial:
    """Writes the dead letters of one queue; `group` is the group that gives up."""

    def __init__(self, topic: TopicLog, group: str, sender: Sender, *, clock: Callable[[], float] = time.time) -> None:
        self._topic = topic
        self._worker = f"api.{group}"
        self._sender = sender
        self._clock = clock

    def bury(self, records: Sequence[tuple[Record, str, int]]) -> None:
        """Write a letter for each record, with why it was given up and how often it was delivered.

        Raises `NotAcknowledged` if Kafka lacks one of them.
        """
        outcomes = self._sender.send_now([self._letter(*facts) for facts in records])
        for outcome in outcomes:
            if not isinstance(outcome, Delivery):
                raise NotAcknowledged(f"A dead letter of {self._topic.name} was not written: {outcome}") from outcome

    def _letter(self, record: Record, error: str, attempts: int) -> Letter:
        found = bury(self._topic.topic, record, error=error, attempts=attempts, worker=self._worker, at=self._clock())
        return Letter(found.topic, found.partition or 0, found.key, found.value or b"", found.headers)
