"""The writer of outcomes: a record in Redis for each attempt, and a dead letter on Kafka for a task that is given up.

Written twice, they are one letter, since both have the same key. The letter goes first: a record that says "dead"
promises it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from uuid import uuid4

from labkit.celery_app.capacity import connect
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.record_stream import RecordStream
from labkit.celery_app.task_starts import TaskStarts
from labkit.errors import NotAcknowledged, TaskNotEncodable, TransportError, UnknownTopic
from labkit.lab import attach_lab
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import DEAD, FAILED, TaskRecord
from labkit.settings import Settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.dead_letter import encode_dead_letter, ensure_dead_topic
from labkit.taskqueue.topics import Topic, Topics
from labkit.taskqueue.transport.contract import Headers, Outgoing, Record, TransactionClient

log = safe_logger("labkit.celery")

#: For so long a topic must be missed before it counts as deleted, in seconds: it may be made anew just now, or the
#: broker that was asked lags behind.
GONE_AFTER = 5.0
#: After so many seconds without a look, that a topic was missed says nothing any more.
FORGOTTEN_AFTER = 60.0
#: How long a letter may take before those behind it wait no more and are written later, in seconds.
LONGEST_TURN = 1.0


class OutcomeWriter:
    """Writes the outcomes of one worker, from all of its processes and threads. `count` counts them, by outcome."""

    def __init__(self, url: str, settings: Settings, starts: TaskStarts, count: Callable[[str], object]) -> None:
        self._settings = settings
        self._starts = starts
        self._count = count
        self._records = RecordStream(connect(url), settings)
        self._letters: dict[int, _DeadLetters] = {}

    def write(self, envelope: Envelope, record: TaskRecord) -> None:
        """Write the letter if there is to be one, then the record; after a `LabkitError` it is to be done again."""
        if record.outcome == DEAD:
            # a client of Kafka does not survive a fork
            letters = self._letters.setdefault(os.getpid(), _DeadLetters(self._settings))
            letters.write(envelope, record)
        # a failure ends no count of starts: its message may come again in place of the next attempt
        self._records.note(record, instead_of=None if record.outcome == FAILED else self._starts.key(envelope))
        self._count(record.outcome)

    def close(self) -> None:
        """Let go of the connections of this process."""
        letters = self._letters.pop(os.getpid(), None)
        if letters is not None:
            letters.close()


class _DeadLetters:
    """Writes dead letters for all threads of one process over one client, and where the last one of a topic could not
    be written, over a client of that topic's own: it keeps that client waiting, and no other topic's letters.
    """

    def __init__(self, settings: Settings, measure: Callable[[], float] = time.monotonic) -> None:
        self._make = partial(_LetterClient, settings, measure)
        self._common = self._make()
        self._apart: dict[tuple[str | None, str], _LetterClient] = {}

    def write(self, envelope: Envelope, last: TaskRecord) -> None:
        """Write the letter; raises `TransportError`, also where the one before it takes too long."""
        topic = envelope.topic_prefix, envelope.topic
        client = self._apart.get(topic, self._common)
        with client.turn():
            try:
                client.write(envelope, last)
                self._apart.pop(topic, None)
            except UnknownTopic:
                raise  # nothing was waited for
            except BaseException:
                # what it left open is settled under its id: let nobody else wait for that
                if client is self._common:
                    self._apart[topic], self._common = client, self._make()
                elif topic not in self._apart:  # another thread has had that client before, and its topic has it now
                    self._apart[topic] = self._make()
                raise
            finally:
                if client is not self._common:  # nobody closes it later
                    client.close()

    def close(self) -> None:
        """Let go of the connections. Raises `TransportError` where a letter takes too long."""
        with self._common.turn():
            self._common.close()


class _LetterClient:
    """Writes dead letters, one after the other, over one transactional client. All is done in one's `turn`.

    Its transactional id is its own: two clients with one id would fence each other.
    """

    def __init__(self, settings: Settings, measure: Callable[[], float]) -> None:
        self._settings = settings
        self._measure = measure
        #: when a topic was missed first and last
        self._missed: dict[str, tuple[float, float]] = {}
        self._id = f"celery.{uuid4().hex}"
        self._lock = threading.Lock()
        #: when the turn began that somebody has
        self._began: float | None = None
        self._open = ExitStack()
        self._topics: Topics | None = None
        self._prefix = ""
        self._client: TransactionClient | None = None
        self._ensured: set[str] = set()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Inside, it is nobody else's. Raises `TransportError` where another's turn takes too long."""
        began = self._began
        wait = LONGEST_TURN if began is None else began + LONGEST_TURN - self._measure()
        if not self._lock.acquire(timeout=max(wait, 0.0)):
            raise TransportError("A dead letter before this one is not acknowledged yet, and others are not to wait.")
        self._began = self._measure()
        try:
            yield
        finally:
            self._began = None
            self._lock.release()

    def write(self, envelope: Envelope, last: TaskRecord) -> None:
        """Write the letter; raises `TransportError`."""
        try:
            self._write(envelope, last)
        except BaseException:
            self.close()  # a client that may wait for an answer is made anew, which settles what it left
            raise

    def _write(self, envelope: Envelope, last: TaskRecord) -> None:
        try:
            topic = self._topic_of(envelope)
        except UnknownTopic as error:
            if not self._is_gone(self._full_name(envelope)):
                raise
            log.error("task %s leaves no dead letter: %s", envelope.task.id, error)  # to try again would not help
            return
        if topic.full_name not in self._ensured:
            ensure_dead_topic(topic)
            self._ensured.add(topic.full_name)
        if self._client is None:
            self._client = self._open.enter_context(closing(topic.transport.transactions(topic.full_group(self._id))))
        try:
            self._client.write([_letter(topic, envelope, last)])
        except (NotAcknowledged, TaskNotEncodable, ValueError) as error:
            log.warning("the dead letter of task %s is written without its record: %s", envelope.task.id, error)
            self._client.write([_letter(topic, envelope, last, with_record=False)])

    def _topic_of(self, envelope: Envelope) -> Topic:
        """The topic from which the task came, also where that is a program's own; raises `UnknownTopic`."""
        if self._topics is None:
            lab = self._open.enter_context(attach_lab(settings=self._settings))
            self._prefix = lab.connection.topic_prefix
            self._topics = self._open.enter_context(connect_kafka(lab, prefix=""))
        full_name = self._full_name(envelope)
        found = self._topics.describe(full_name)
        self._missed.pop(full_name, None)
        prefix = full_name.removesuffix(envelope.topic)
        return Topic(name=envelope.topic, partitions=found.partitions, transport=self._topics.transport, prefix=prefix)

    def _is_gone(self, full_name: str) -> bool:
        """Note that the topic was missed; whether that has been so for long enough."""
        now = self._measure()
        first, last = self._missed.get(full_name, (now, now))
        if now - last > FORGOTTEN_AFTER:  # it may have been there meanwhile
            first = now
        self._missed[full_name] = first, now
        return now - first >= GONE_AFTER

    def _full_name(self, envelope: Envelope) -> str:
        return (self._prefix if envelope.topic_prefix is None else envelope.topic_prefix) + envelope.topic

    def close(self) -> None:
        """Let go of the connections; the next letter makes them anew."""
        open_, self._open = self._open, ExitStack()
        self._topics = self._client = None
        self._ensured.clear()
        open_.close()


def _content(envelope: Envelope) -> tuple[bytes | None, bytes, Headers]:
    """Key, value and headers of its record; raises `TaskNotEncodable`."""
    foreign = envelope.foreign
    return envelope.task.encode() if foreign is None else (foreign.key, foreign.value, foreign.headers)


def _letter(topic: Topic, envelope: Envelope, last: TaskRecord, *, with_record: bool = True) -> Outgoing:
    key, value, headers = _content(envelope) if with_record else (None, b"", ())
    record = Record(
        topic=envelope.topic,
        partition=envelope.partition,
        offset=envelope.offset,
        key=key,
        value=value,
        headers=headers,
        timestamp_ms=round(envelope.produced_at * 1000),
    )
    return encode_dead_letter(
        topic,
        record,
        error=last.error or "",
        attempts=last.attempt,
        worker=last.worker,
        topic_id=envelope.topic_id,
        group=envelope.group,
        at=last.finished_at,
        with_record=with_record,
    )
