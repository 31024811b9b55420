"""The dead letters of the message API, in the form of `labkit.taskqueue.dead_letter`.

A letter is written, acknowledged by Kafka, and then forgotten in Redis. A crash in between writes it again, under the
same key: it is one letter. Letters go over a client of their own, which takes every record that a topic does; so one
that is refused is nothing to those who create messages.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import uuid4

from labkit.api.messages.topic_log import TopicLog
from labkit.errors import BrokerUnreachable, NotAcknowledged, TransportError, UnknownTopic
from labkit.taskqueue.dead_letter import encode_dead_letter, ensure_dead_topic, letter_batches, record_size
from labkit.taskqueue.engine.refused_letters import MAX_BYTES, MAX_LETTERS, STUCK_INTERVAL
from labkit.taskqueue.transport.contract import Record, TransactionClient

log = logging.getLogger("labkit.api")

#: How long letters that were refused are tried by themselves in one call, in seconds: the caller has a claim to renew.
SEND_TIME = 0.5
#: When nobody has handed it in again for so long after that, it is forgotten.
FORGOTTEN_AFTER = 300.0


class GivenUp(NamedTuple):
    """A record that is to become a dead letter: why, and how often it was delivered."""

    record: Record
    error: str
    deliveries: int

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset."""
        return self.record.partition, self.record.offset


class DeadLetterSender:
    """Writes the dead letters of one queue; `group` is the group that gives up. Used from one thread.

    A letter that is refused holds up no other: those of its batch are tried each by itself, then without what their
    records held. One that is refused even so is said, and tried again at the earliest after `STUCK_INTERVAL`. What has
    no time left within `SEND_TIME`, or before `stop` is set, is put off to the next call.
    """

    def __init__(
        self,
        topic: TopicLog,
        group: str,
        *,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.time,
        measure: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._group = f"api.{group}"  # also the name of who gives up
        self._transactional_id = topic.topic.full_group(f"{self._group}.{topic.name}.{uuid4().hex[:8]}")
        self._stop = stop or threading.Event()
        self._clock = clock
        self._measure = measure
        self._client: TransactionClient | None = None
        #: the places of the records whose letters were refused, and when each is tried again
        self._stuck: dict[tuple[int, int], float] = {}

    def send(self, given_up: Sequence[GivenUp]) -> list[bool]:
        """Write a letter for each; whether it is written, in order. What is not may be handed in again.

        Of those that are due one is tried at the least, unless `stop` is set.
        Raises `BrokerUnreachable`, and `UnknownTopic` if the topic of the queue is gone; some may be written then.
        """
        until = self._measure() + SEND_TIME
        written: set[tuple[int, int]] = set()
        due = [one for one in given_up if not self.is_stuck(one)]
        batches = letter_batches(due, lambda one: record_size(one.record), most=MAX_LETTERS, most_bytes=MAX_BYTES)
        for number, batch in enumerate(batches):
            if self._has_time(until, is_first=number == 0):
                written.update(self._send_batch(batch, until))
        for place in written:
            self._stuck.pop(place, None)
        return [one.place in written for one in given_up]

    def settle(self, given_up: Sequence[GivenUp]) -> list[GivenUp]:
        """As `send`; those that were put off, which are neither written nor refused."""
        sent = zip(given_up, self.send(given_up), strict=True)
        return [one for one, is_written in sent if not is_written and not self.is_stuck(one)]

    def is_stuck(self, one: GivenUp) -> bool:
        """Whether its letter was refused, and it is not the time to try it again."""
        return self._stuck.get(one.place, 0.0) > self._measure()

    def close(self) -> None:
        """Let go of the connection; the next letter opens another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _has_time(self, until: float, *, is_first: bool) -> bool:
        return not self._stop.is_set() and (is_first or self._measure() < until)

    def _send_batch(self, batch: Sequence[GivenUp], until: float) -> list[tuple[int, int]]:
        """The places of those that are written."""
        try:
            refusal = self._refusal_of(batch)
            if refusal is None:
                return [one.place for one in batch]
            log.warning("%d dead letters of %s are refused: %s", len(batch), self._topic.name, refusal)
            is_new = ensure_dead_topic(self._topic.topic)  # somebody may have deleted it
        except (BrokerUnreachable, UnknownTopic):
            self.close()  # it may hold a request that nobody will answer
            raise
        except TransportError as error:
            for one in batch:
                self._stick(one, error)
            return []
        # one that was by itself is refused again for what it holds, unless it had nowhere to go
        as_it_is = is_new or len(batch) > 1 or not isinstance(refusal, NotAcknowledged | ValueError)
        written = []
        for number, one in enumerate(batch):
            if self._has_time(until, is_first=number == 0) and self._send_alone(one, refusal, as_it_is=as_it_is):
                written.append(one.place)
        return written

    def _send_alone(self, one: GivenUp, refusal: Exception | None, *, as_it_is: bool) -> bool:
        if as_it_is:
            refusal = self._refusal_of([one])
        if refusal is not None:
            refusal = self._refusal_of([one], with_record=False)
        if refusal is not None:
            self._stick(one, refusal)
        return refusal is None

    def _refusal_of(self, batch: Sequence[GivenUp], *, with_record: bool = True) -> Exception | None:
        """Write these in one transaction; why they are refused, if they are. Raises `BrokerUnreachable`."""
        at = self._clock()
        letters = [
            encode_dead_letter(
                self._topic.topic,
                one.record,
                error=one.error,
                attempts=one.deliveries,
                worker=self._group,
                topic_id=self._topic.id,
                group=self._group,
                at=at,
                with_record=with_record,
            )
            for one in batch
        ]
        try:
            if self._client is None:
                self._client = self._topic.topic.transport.transactions(self._transactional_id)
            self._client.write(letters)
        except BrokerUnreachable:
            raise
        except (TransportError, ValueError) as error:
            return error
        return None

    def _stick(self, one: GivenUp, reason: Exception) -> None:
        now = self._measure()
        self._stuck = {place: at for place, at in self._stuck.items() if now < at + FORGOTTEN_AFTER}
        if one.place not in self._stuck:
            text = "The dead letter of offset %d of partition %d of %s cannot be written, and holds up no other: %s"
            log.error(text, one.record.offset, one.record.partition, self._topic.name, reason)
        self._stuck[one.place] = now + STUCK_INTERVAL
