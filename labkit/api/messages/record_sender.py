"""The sender of records from an event loop: one thread hands them over, and one call per batch wakes the loop again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from labkit.errors import LabkitError, NotAcknowledged
from labkit.settings import Settings
from labkit.taskqueue.transport.contract import (
    Headers,
    ProducerClient,
    ProducerConfig,
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
    stuck then, neither sending nor refusing what comes next. What others have given to the old one is still waited for.
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
        self._stuck = self._void = False
        #: they let go of former producers
        self._closing: list[threading.Thread] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="labkit-api-sender")

    async def send(self, letters: Sequence[OutgoingRecord]) -> list[Outcome]:
        """Send all and return when each is acknowledged or given up; their outcomes in order.

        When it is cancelled, what is under way may be acknowledged all the same.
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

    def discard(self) -> None:
        """Give up what is under way, at once: it is for a topic that is gone, and must not get onto the next of that
        name. What others have under way is not acknowledged then.
        """
        self._void = True
        self._thread.submit(self._living)

    def close(self) -> None:
        """Wait for what is under way and let go of the connections; for what a former producer has, not for long."""
        self._thread.shutdown()
        if self._client is not None:
            self._client.close(0.0 if self._stuck else self._config.delivery_timeout)
        for thread in self._closing:
            thread.join(PATIENCE)

    def _outcomes(self, batch: _PendingBatch) -> list[Outcome]:
        outcomes = batch.outcomes.copy()
        # what an old producer refused says nothing of the new one, and what none has taken says nothing of any
        if batch.client is self._client and any(isinstance(outcome, NotAcknowledged) for outcome in outcomes):
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
        if self._client is not None and self._void:
            client, self._client = self._client, None
            client.close(0.0)
        if self._client is not None and self._stuck:
            # it flushes, so that records of others which are under way there are not purged
            flushed = threading.Thread(target=self._client.close, args=(self._config.delivery_timeout,), daemon=True)
            self._closing = [thread for thread in self._closing if thread.is_alive()] + [flushed]
            self._client = None
            flushed.start()
        if self._client is None:
            self._stuck = self._void = False
            self._client = self._transport.producer(self._config)
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
