"""The topic `<topic>.later`, on which a class has put aside what waits for later."""

from __future__ import annotations

import threading

from labkit.errors import NotAcknowledged, TopicMismatch
from labkit.taskqueue.engine.requeue import send_copy
from labkit.taskqueue.topic import LATER, Topic
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ProducerClient, ProducerConfig, Record, RecordMetadata

#: How long a record may take to be acknowledged by Kafka, in seconds.
SPILL_TIMEOUT = 10.0


class SpillTopic:
    """The topic for later of this one, which is made if it is not there. One call at a time, from whatever thread.

    A call may take half a minute where Kafka does not answer: for the topic, for the client and for the record.
    """

    def __init__(self, topic: Topic) -> None:
        self._of = topic
        self._topic: Topic | None = None
        self._client: ProducerClient | None = None

    def write(self, record: Record) -> None:
        """Return when Kafka has the record, as it was.

        Raises `TransportError`, and ValueError for one that cannot be written. All is looked at anew then.
        """
        try:
            if self._topic is None:
                self._topic = self._get_or_create()
            if self._client is None:
                self._client = self._of.transport.producer(ProducerConfig())
            _send(self._client, self._topic, record)
        except BaseException:
            self._topic = None  # what it knows of the topic may be no longer true
            self.close(0.0)
            raise

    def close(self, timeout: float) -> None:
        """Let go of the connection, and of what is not acknowledged within so many seconds."""
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout)

    def _get_or_create(self) -> Topic:
        name = f"{self._of.name}{LATER}"
        with Topics.of(self._of) as topics:
            try:
                return topics.create(name, partitions=self._of.partitions)
            except TopicMismatch:  # one of the two was grown
                return topics.get(name)


def _send(client: ProducerClient, topic: Topic, record: Record) -> None:
    answers: list[Exception | None] = []
    answered = threading.Event()

    def hear(_delivery: RecordMetadata | None, error: Exception | None) -> None:
        answers.append(error)
        answered.set()

    partition = record.partition % topic.partitions
    send_copy(client, record, to=topic.full_name, partition=partition, on_delivery=hear)
    if not answered.wait(SPILL_TIMEOUT) or answers[0] is not None:
        raise NotAcknowledged(f"A task could not be put aside to {topic.name}: {answers or 'no answer'}.")
