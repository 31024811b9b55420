"""The sender of records from an event loop: one thread hands them over, and one call per batch wakes the loop again.

It also writes the dead letters of the message API, in the form of `labkit.taskqueue.dead_letter`. A letter is written,
acknowledged by Kafka, and then forgotten in Redis. A crash in between writes it again, under the same key: it is one
letter.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from labkit.api.messages.topic_log import TopicLog
from labkit.errors import LabkitError, NotAcknowledged
from labkit.settings import Settings
from labkit.taskqueue.dead_letter import encode_dead_letter
from labkit.taskqueue.transport.contract import (
    Headers,
    ProducerClient,
    ProducerConfig,
    Record,
    RecordMetadata,
    Transport,
)

#: How much longer than the delivery timeout to wait for a producer that should have given up, in seconds.
PATIENCE = 2.0

#: How long the client waits to fill a batch, in ms. A request waits for its own messages, which come all at once.
LINGER_MS = 0


class OutgoingRecord(NamedTuple):
    """A record to be sent; `topic` as on the broker."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Headers


#: Where the broker has put a record, or why it has not acknowledged it.
Outcome = RecordMetadata | Exception


class RecordSender:
    """Sends records over one producer. Every record is acknowledged by all replicas, whatever the settings say.

    One thread has the producer. After a record was given up it makes a new one: that of kafka-python 3.0.12 may be
    stuck then, neither sending nor refusing what comes next.
    """

    def __init__(self, transport: Transport, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._transport = transport
        self._config = ProducerConfig(
            client_id="labkit-api",
            acks="all",
            retries=max(1, settings.retries),
            linger_ms=LINGER_MS,
            compression=settings.compression,
            delivery_timeout=settings.delivery_timeout,
        )
        self._patience = settings.delivery_timeout + PATIENCE
        self._clock = clock
        self._client: ProducerClient | None = transport.producer(self._config)
        self._stuck = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="labkit-api-sender")

    async def send(self, letters: Sequence[OutgoingRecord]) -> list[Outcome]:
        """Send all and return when each is acknowledged or given up; their outcomes in order.

        When it is cancelled, what is under way is given up with the next call, or when this is closed.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        batch = _PendingBatch(len(letters), lambda: loop.call_soon_threadsafe(_finish, done))
        self._thread.submit(self._hand_over, letters, batch)
        try:
            async with asyncio.timeout(self._patience):
                await done
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self._stuck = True
            raise
        return self._outcomes(batch)

    def send_now(self, letters: Sequence[OutgoingRecord]) -> list[Outcome]:
        """The same from a thread."""
        done = threading.Event()
        batch = _PendingBatch(len(letters), done.set)
        self._thread.submit(self._hand_over, letters, batch)
        done.wait(self._patience)
        return self._outcomes(batch)

    def close(self) -> None:
        """Wait for what is under way and let go of the connection."""
        self._thread.shutdown()
        if self._client is not None:
            self._client.close(0.0 if self._stuck else self._config.delivery_timeout)

    def _outcomes(self, batch: _PendingBatch) -> list[Outcome]:
        outcomes = batch.outcomes.copy()
        # what an old producer refused when it was closed says nothing of the new one
        if batch.client is self._client and not all(isinstance(outcome, RecordMetadata) for outcome in outcomes):
            self._stuck = True
        return outcomes

    def _hand_over(self, letters: Sequence[OutgoingRecord], batch: _PendingBatch) -> None:
        now_ms = int(self._clock() * 1000)
        try:
            client = batch.client = self._living()
        except LabkitError as error:
            for index in range(len(letters)):
                batch.settle(index, None, error)
            return
        for index, (topic, partition, key, value, headers) in enumerate(letters):
            settle = partial(batch.settle, index)
            try:
                client.send(
                    topic,
                    partition=partition,
                    key=key,
                    value=value,
                    headers=headers,
                    timestamp_ms=now_ms,
                    on_delivery=settle,
                )
            except LabkitError as error:
                settle(None, error)

    def _living(self) -> ProducerClient:
        """The producer, a new one if the last has given a record up; raises `BrokerUnreachable`."""
        if self._client is not None and self._stuck:
            client, self._client = self._client, None
            client.close(0.0)
        if self._client is None:
            self._client = self._transport.producer(self._config)
            self._stuck = False
        return self._client


class _PendingBatch:
    """Collects the outcomes of one batch and calls `whole` after the last. `client` is the producer that has it."""

    client: ProducerClient | None = None

    def __init__(self, size: int, whole: Callable[[], object]) -> None:
        self.outcomes: list[Outcome] = [NotAcknowledged("The producer did not answer.")] * size
        self._left = size
        self._lock = threading.Lock()
        self._whole = whole

    def settle(self, index: int, delivery: RecordMetadata | None, error: Exception | None) -> None:
        self.outcomes[index] = delivery or error or RuntimeError("neither acknowledged nor refused")
        with self._lock:
            self._left -= 1
            whole = self._left == 0
        if whole:
            self._whole()


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():  # else whoever waited has been cancelled
        done.set_result(None)


class DeadLetterSender:
    """Writes the dead letters of one queue; `group` is the group that gives up."""

    def __init__(
        self, topic: TopicLog, group: str, sender: RecordSender, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._topic = topic
        self._group = f"api.{group}"  # also the name of who gives up
        self._sender = sender
        self._clock = clock

    def send(self, records: Sequence[tuple[Record, str, int]]) -> None:
        """Write a letter for each record, with why it was given up and how often it was delivered.

        Raises `NotAcknowledged` if Kafka lacks one of them.
        """
        outcomes = self._sender.send_now([self._letter(*facts) for facts in records])
        for outcome in outcomes:
            if not isinstance(outcome, RecordMetadata):
                raise NotAcknowledged(f"A dead letter of {self._topic.name} was not written: {outcome}") from outcome

    def _letter(self, record: Record, error: str, attempts: int) -> OutgoingRecord:
        found = encode_dead_letter(
            self._topic.topic,
            record,
            error=error,
            attempts=attempts,
            worker=self._group,
            group=self._group,
            at=self._clock(),
        )
        return OutgoingRecord(found.topic, found.partition or 0, found.key, found.value or b"", found.headers)
