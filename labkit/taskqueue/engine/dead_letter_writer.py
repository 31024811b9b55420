"""Writes dead letters, each exactly once where the group can tell.

In a group, the dead letter and the commit that goes past its task are one transaction (KIP-98), from which a worker is
kept out that no longer owns the partition (KIP-447). So there is no moment at which one is written without the other.
If the end of a transaction was not seen, its partitions are in doubt: nothing is committed for them until the next
client with the same id has settled it, and the committed offsets tell whether it happened.

In a share group, the letter is written, then its record is rejected. The preview of confluent-kafka cannot put the two
into one transaction, so a worker that dies between them leaves both, and the task is tried again (at least once). A
second letter of the same record has the same key, so it replaces the first. The key holds the topic's id, for which the
broker is asked before each `write`; as long as it does not tell it, the letters wait.

What becomes of letters that the broker refuses is told by `labkit.taskqueue.engine.refused_letters`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from uuid import uuid4

from labkit.errors import (
    BrokerUnreachable,
    CommitRefused,
    Fenced,
    MetadataTooLarge,
    NotAcknowledged,
    TransportError,
    UnknownTopic,
)
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.dead_letter import dead_topic, encode_dead_letter, ensure_dead_topic
from labkit.taskqueue.engine.failure import describe
from labkit.taskqueue.engine.refused_letters import RefusedLetters
from labkit.taskqueue.engine.topic_identity import TopicIdentity
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import (
    Outgoing,
    Position,
    TopicPartition,
    TransactionClient,
)

#: How long to wait after the broker did not answer, in seconds.
RETRY_INTERVAL = 1.0
#: How long to wait then for an answer to something else, in seconds.
PROBE_TIMEOUT = 2.0

log = safe_logger("labkit.worker")

Positions = Mapping[TopicPartition, Position]


class DeadLetterWriter(ABC):
    """Writes the dead letters of one worker, over a client of its own that is there from the first one on.

    `wall_clock` gives seconds since the epoch, `clock` only measures.
    """

    #: what becomes of a letter that cannot be written, for people
    _CONSEQUENCE: str
    _identity: TopicIdentity

    def __init__(
        self,
        topic: Topic,
        *,
        worker: str,
        group: str,
        wall_clock: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._worker = worker
        self._group = group
        # two workers of one name, of two programs, would fence each other off
        self._transactional_id = topic.full_group(f"{group}.{worker}.{uuid4().hex[:8]}")
        self._wall_clock = wall_clock
        self._clock = clock
        self._client: TransactionClient | None = None
        # whether the last client could not be opened, since the broker did not answer
        self._is_shut = False
        self._not_before = 0.0
        self._refused = RefusedLetters(topic.name, worker, self._CONSEQUENCE, clock)

    def write(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """Write letters of these, a batch and some by themselves; what is through. The rest is to be handed in again.

        If the group has moved on, nothing is written, and the new owners see to it.
        """
        written: list[WorkItem] = []
        if (items or self.in_doubt) and self.may_write():
            try:
                written += self.settle()
                for batch in self._refused.batches(self._ready([item for item in items if item not in written])):
                    written += self._write_batch(batch)
            except TransportError as error:
                self._put_off(error)
        through = set(written)
        left = [item for item in items if item not in through]
        self._refused.keep(left)
        if self._refused.is_silent:
            self._refused.wait_for_answer(left)
        return written

    def may_write(self) -> bool:
        """Whether the time is over that is waited after the broker did not answer."""
        return self._clock() >= self._not_before

    @property
    def in_doubt(self) -> bool:
        """Whether it is open what became of a transaction."""
        return False

    def settle(self) -> list[WorkItem]:
        """See what became of a transaction whose end was not seen; what of it is through. Raises `TransportError`."""
        return []

    def stuck(self) -> list[WorkItem]:
        """Those of the last items whose letters cannot be written."""
        return self._refused.stuck()

    def close(self) -> None:
        """Let go of the connection; the next letter opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @abstractmethod
    def _send(self, letters: Sequence[Outgoing], positions: Positions) -> None:
        """One transaction; raises `TransportError`."""

    def _ready(self, items: list[WorkItem]) -> Iterable[WorkItem]:
        """Those of which it may be that they can be written now, in the order in which they are tried."""
        return items

    def _fit(self, items: list[WorkItem]) -> tuple[list[WorkItem], Positions]:
        """Those that can be written now, and what is committed with them."""
        return items, {}

    @abstractmethod
    def _is_open(self, items: list[WorkItem], refusal: TransportError | None) -> None:
        """It is not known whether these were written, or the broker has refused them for a reason of its own."""

    def _open(self) -> TransactionClient:
        """The client; a new one ends what the last one left open. Raises `TransportError`."""
        if self._client is None:
            ensure_dead_topic(self._topic)
            try:
                self._client = self._topic.transport.transactions(self._transactional_id)
            except BrokerUnreachable as error:
                self._is_shut = True
                self._unanswered(error)
                raise
            self._is_shut = False
        return self._client

    def _unanswered(self, error: BrokerUnreachable) -> None:
        """The broker did not answer; where it does to something else, that is for the letters alone.

        So it is also where no client can be opened: the last transaction has to end before, wherever it has written.
        """
        with suppress(TransportError):
            self._identity.ask(timeout=PROBE_TIMEOUT)
            self._refused.unanswered(error)

    def _write_batch(self, items: list[WorkItem]) -> list[WorkItem]:
        """Those that are written, all or none; raises `TransportError` if it is to be tried again as it is."""
        at = self._wall_clock()
        try:
            self._open()
        except (BrokerUnreachable, Fenced, UnknownTopic):
            raise
        except TransportError as error:
            self._refused.stick(items, f"the topic {dead_topic(self._topic.name)!r} cannot be used: {error}")
            return []
        items, positions = self._fit(items)
        if not items:
            return []
        try:
            self._send([self._letter(item, at) for item in items], positions)
        except (NotAcknowledged, ValueError) as error:
            self._refused.refuse(items, error)
            return []
        except (CommitRefused, MetadataTooLarge, UnknownTopic):
            raise  # nothing was written
        except TransportError as error:
            if isinstance(error, BrokerUnreachable):
                self._unanswered(error)
            self._is_open(items, None if isinstance(error, (BrokerUnreachable, Fenced)) else error)
            raise
        self._refused.answered()
        for item in items:
            place = item.record.offset, item.record.partition
            log.warning("%s: offset %d of partition %d is a dead letter now", self._worker, *place)
        return items

    def _letter(self, item: WorkItem, at: float) -> Outgoing:
        return encode_dead_letter(
            self._topic,
            item.record,
            error="" if item.error is None else describe(item.error),
            attempts=item.attempt,
            worker=self._worker,
            topic_id=self._topic_id_of(item),
            group=self._group,
            at=at,
            with_record=self._refused.with_record(item),
        )

    def _topic_id_of(self, item: WorkItem) -> str:
        """The id of the topic from which it came."""
        return item.topic_id

    def _put_off(self, error: TransportError) -> None:
        log.warning("%s: the dead letters have to wait: %s", self._worker, error)
        self.close()  # a new client ends what is left of the transaction
        self._not_before = self._clock() + RETRY_INTERVAL


class ShareDeadLetterWriter(DeadLetterWriter):
    """Writes letters for a worker of a share group, which rejects their records then."""

    _CONSEQUENCE = (
        "The record of such a letter is given back; before the last delivery that Kafka allows the worker stops."
    )

    def serve(self, identity: TopicIdentity) -> None:
        """Ask this one from which topic the letters are; to be called before the first letter."""
        self._identity = identity
        self._topic_id = ""

    def write(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """As in every writer; they are from the topic that bears the name now."""
        self._topic_id = ""
        return super().write(items)

    def _open(self) -> TransactionClient:
        if (
            not self._topic_id
        ):  # the broker does not tell it with a record, and takes no verdict where the topic is gone
            topic_id = self._identity.ask(timeout=RETRY_INTERVAL).topic_id
            if topic_id is None:  # or the broker that was asked lags behind
                raise UnknownTopic(f"The broker knows of no topic {self._topic.name!r}.")
            self._topic_id = topic_id
        return super()._open()

    def _topic_id_of(self, item: WorkItem) -> str:
        return item.topic_id or self._topic_id

    def _send(self, letters: Sequence[Outgoing], _positions: Positions) -> None:
        self._open().write(letters)

    def _is_open(self, items: list[WorkItem], refusal: TransportError | None) -> None:
        if refusal is not None:
            self._refused.refuse(items, refusal)
