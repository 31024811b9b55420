"""A run in memory: topic, log of events, recording clients. Everything is stepped by hand on a clock handed in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from labkit.faults import Event, History
from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import (
    ConsumerClient,
    ConsumerConfig,
    OnAssignment,
    Position,
    ProducerConfig,
    Record,
    RecordMetadata,
    TopicPartition,
)
from labkit.taskqueue.transport.memory import MemoryTransport

TOPIC, DEAD, GROUP = "t", "t.dead", "g"
#: The last header of a dead letter: its record's key.
KEY = "dead-key"
SESSION, MAX_POLL_INTERVAL = 6.0, 300.0
EVERYTHING = 1_000_000


class Run:
    """One run: a cluster in memory, its clock, and what everybody wrote down."""

    def __init__(self, seed: int, partitions: int = 2) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self.transport = MemoryTransport(clock=lambda: self.now)
        self.partitions = [TopicPartition(TOPIC, number) for number in range(partitions)]
        self.admin = self.transport.admin()
        self.admin.create_topic(TOPIC, partitions=partitions)
        self.admin.create_topic(DEAD, partitions=1)
        self.producer = self.transport.producer(ProducerConfig())
        self.effects: set[str] = set()
        self._events: list[Event] = []
        self._numbers: Counter[str] = Counter()

    def note(self, what: str, by: str, **fields: object) -> None:
        self._events.append(Event(what=what, by=by, seq=self._numbers[by], at=self.now, **fields))
        self._numbers[by] += 1

    def note_record(self, what: str, by: str, record: Record, **fields: object) -> None:
        task = Task.decode(record)
        told = {"task": task.id, "key": task.key, "partition": record.partition, "offset": record.offset}
        self.note(what, by, **(told | fields))

    def history(self) -> History:
        """What was written down, and what stands on the topic now."""
        for record in self.read(self.partitions):
            self.note_record("written", "log", record, content=Task.decode(record).kind)
        return History(self._events)

    def read(self, partitions: Sequence[TopicPartition]) -> list[Record]:
        reader = self.transport.consumer(ConsumerConfig())
        reader.assign(partitions)
        records = reader.poll(0, EVERYTHING)
        reader.close()
        return records

    def dead_places(self) -> set[bytes | None]:
        return {record.key for record in self.letters()}

    def letters(self) -> list[Record]:
        """The dead letters that have not been taken away."""
        last = {record.key: record for record in self.read([TopicPartition(DEAD, 0)])}
        return [record for record in last.values() if record.value is not None]

    def write(self, topic: str, record: Record, value: bytes | None) -> None:
        """Put a record there, with the key and the headers of this one."""
        self.producer.send(
            topic,
            partition=0 if topic == DEAD else record.partition,
            key=record.key,
            value=value,
            headers=record.headers,
            timestamp_ms=None,
            on_delivery=lambda delivery, error: None,
        )

    def is_empty(self) -> bool:
        committed = self.admin.committed(GROUP, TOPIC)
        ends = self.admin.end_offsets(TOPIC)
        return all(end == 0 or (p in committed and committed[p].offset == end) for p, end in ends.items())


class RecordingConsumer:
    """A consumer that writes down what it is assigned, what it receives and what it commits."""

    def __init__(self, run: Run, name: str, wrap: Callable[[ConsumerClient], ConsumerClient]) -> None:
        self._run = run
        self._name = name
        self._memory = run.transport.consumer(
            ConsumerConfig(group=GROUP, client_id=name, session_timeout=SESSION, max_poll_interval=MAX_POLL_INTERVAL)
        )
        self._inner = wrap(self._memory)
        self.committed, self.seek, self.assignment = self._memory.committed, self._memory.seek, self._memory.assignment
        self.pause, self.resume = self._memory.pause, self._memory.resume
        self.close, self.crash = self._memory.close, self._memory.crash

    def subscribe(self, *, on_assigned: OnAssignment, on_revoked: OnAssignment) -> None:
        def assigned(partitions: Sequence[TopicPartition]) -> None:
            for place, position in self.committed(partitions).items():
                offset = 0 if position is None else position.offset
                self._run.note("assigned", self._name, partition=place.partition, offset=offset)
            on_assigned(partitions)

        self._memory.subscribe([TOPIC], on_assigned=assigned, on_revoked=on_revoked)

    def poll(self, max_records: int) -> list[Record]:
        records = self._inner.poll(0, max_records)
        for record in records:
            self._run.note_record("received", self._name, record)
        return records

    def commit(self, positions: Mapping[TopicPartition, Position], beyond: Mapping[TopicPartition, set[int]]) -> None:
        self._memory.commit(positions)
        for place, position in positions.items():
            after = tuple(sorted(beyond.get(place, ())))
            self._run.note("committed", self._name, partition=place.partition, offset=position.offset, beyond=after)


class Sender:
    """A correct producer that writes down what the broker answers."""

    name = "producer"

    def __init__(self, run: Run) -> None:
        self.run = run

    def send(self, task: Task) -> None:
        self.run.note("sent", self.name, task=task.id)
        self.hand_over(task, lambda delivery, error: self.answered(task, delivery))

    def hand_over(self, task: Task, answer: Callable[[RecordMetadata | None, Exception | None], None]) -> None:
        key, value, headers = task.encode()
        self.run.producer.send(
            TOPIC, partition=None, key=key, value=value, headers=headers, timestamp_ms=None, on_delivery=answer
        )

    def answered(self, task: Task, delivery: RecordMetadata | None) -> None:
        if delivery is None:
            self.run.note("refused", self.name, task=task.id)
        else:
            self.run.note("acknowledged", self.name, task=task.id, partition=delivery.partition, offset=delivery.offset)


class Replayer:
    """Puts all dead letters back on their topic, and takes them away."""

    name = "replayer"

    def __init__(self, run: Run) -> None:
        self.run = run

    def replay(self) -> None:
        for letter in self.run.letters():
            partition, offset = map(int, (letter.key or b"").split(b"/"))
            *headers, (_, key) = letter.headers
            task = Task.decode(letter)
            self.put_back(letter._replace(key=key, partition=partition, headers=tuple(headers)))
            self.run.write(DEAD, letter, None)
            self.run.note("replayed", self.name, task=task.id, partition=partition, offset=offset)

    def put_back(self, record: Record) -> None:
        self.run.write(TOPIC, record, record.value)
