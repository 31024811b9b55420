"""A correct worker in small: several tasks at once, one after the other within a key, commits after the work.

It is stepped by hand; which of the tasks in hand ends next is drawn. The planted bugs are subclasses of it.
"""

from __future__ import annotations

import json
from collections import Counter

from labkit.errors import CommitRefused
from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import ConsumerClient, Position, Record, TopicPartition
from tests.unit.faults.run import DEAD, KEY, RecordingConsumer, Run

BATCH, IN_HAND, SIDE_BY_SIDE, ATTEMPTS = 4, 6, 3, 2
POISON = "poison"


def place_of(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


class Worker:
    def __init__(self, run: Run, name: str) -> None:
        self.run = run
        self.name = name
        self.points: dict[TopicPartition, int] = {}
        self.received: dict[TopicPartition, list[int]] = {}
        self.done: dict[TopicPartition, set[int]] = {}
        self.waiting: list[Record] = []
        self.begun: list[Record] = []
        self.attempts: Counter[tuple[int, int]] = Counter()
        self.consumer = RecordingConsumer(run, name, self.wrap)
        self.consumer.subscribe(on_assigned=self.take_over, on_revoked=self.give_up)

    def wrap(self, client: ConsumerClient) -> ConsumerClient:
        return client

    def step(self) -> None:
        self.hold_back()
        self.take(self.consumer.poll(BATCH))
        self.begin()
        if self.begun:
            self.end(self.run.rng.choice(self.begun))
        if self.run.rng.random() < 0.3:
            self.commit()

    # --- the group

    def take_over(self, partitions: list[TopicPartition]) -> None:
        for place, position in self.consumer.committed(partitions).items():
            self.points[place] = 0 if position is None else position.offset
            self.done[place] = set(json.loads(position.metadata or "[]")) if position else set()
            self.received[place] = []

    def give_up(self, partitions: list[TopicPartition]) -> None:
        while self.begun:
            self.end(self.begun[0])
        self.commit()
        self.forget()

    def forget(self) -> None:
        self.waiting, self.begun = [], []
        for kept in (self.points, self.received, self.done):
            kept.clear()

    def hold_back(self) -> None:
        if len(self.waiting) + len(self.begun) >= IN_HAND:
            self.consumer.pause(list(self.consumer.assignment()))
        elif len(self.waiting) + len(self.begun) <= IN_HAND // 2:
            self.resume()

    def resume(self) -> None:
        self.consumer.resume(list(self.consumer.assignment()))

    # --- the work

    def take(self, records: list[Record]) -> None:
        for record in records:
            self.received[place_of(record)].append(record.offset)
            if record.offset not in self.done[place_of(record)]:
                self.waiting.append(record)

    def begin(self) -> None:
        before: list[Record] = list(self.begun)
        for record in list(self.waiting):
            if len(self.begun) < SIDE_BY_SIDE and not self.must_wait(record, before):
                self.waiting.remove(record)
                self.begun.append(record)
                self.note("started", record)
            before.append(record)

    def must_wait(self, record: Record, before: list[Record]) -> bool:
        return any((other.partition, other.key) == (record.partition, record.key) for other in before)

    def end(self, record: Record) -> None:
        if Task.decode(record).kind == POISON:
            self.fail(record)
        else:
            self.finish(record)

    def finish(self, record: Record) -> None:
        self.effect(Task.decode(record))
        self.note("finished", record)
        self.through(record)

    def fail(self, record: Record) -> None:
        self.note("failed", record)
        self.attempts[record.partition, record.offset] += 1
        if self.attempts[record.partition, record.offset] < ATTEMPTS:
            self.note("started", record)
            return
        self.dead_letter(record)
        self.through(record)

    def through(self, record: Record) -> None:
        self.begun.remove(record)
        self.done[place_of(record)].add(record.offset)

    def effect(self, task: Task) -> None:
        if task.id not in self.run.effects:
            self.do_effect(task)

    def do_effect(self, task: Task) -> None:
        self.run.effects.add(task.id)
        self.run.note("effect", self.name, task=task.id, key=task.id)

    def dead_letter(self, record: Record) -> None:
        if self.origin(record) not in self.run.dead_places():
            self.send_dead_letter(record)

    def send_dead_letter(self, record: Record) -> None:
        self.run.producer.send(
            DEAD,
            partition=0,
            key=self.origin(record),
            value=record.value,
            headers=(*record.headers, (KEY, record.key or b"")),
            timestamp_ms=None,
            on_delivery=lambda delivery, error: self.note("dead", record),
        )

    @staticmethod
    def origin(record: Record) -> bytes:
        return f"{record.partition}/{record.offset}".encode()

    # --- the commit

    def commit(self) -> None:
        for place in self.points:
            self.advance(place)
        self.commit_points()

    def advance(self, place: TopicPartition) -> None:
        while self.received[place] and self.received[place][0] in self.done[place]:
            offset = self.received[place].pop(0)
            self.done[place].discard(offset)
            self.points[place] = offset + 1

    def commit_points(self) -> None:
        beyond = {place: self.beyond(place) for place in self.points}
        positions = {place: Position(point, json.dumps(sorted(beyond[place]))) for place, point in self.points.items()}
        try:
            if positions:
                self.consumer.commit(positions, beyond)
        except CommitRefused:
            pass  # another worker has the partition, and repeats what was not committed

    def beyond(self, place: TopicPartition) -> set[int]:
        return self.done[place]

    # --- the end

    def crash(self) -> None:
        self.consumer.crash()

    def stop(self) -> None:
        self.consumer.close()

    def note(self, what: str, record: Record, **fields: object) -> None:
        attempt = self.attempts[record.partition, record.offset] + 1
        self.run.note_record(what, self.name, record, attempt=attempt, **fields)
