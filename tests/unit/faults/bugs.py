"""The planted bugs: workers and producers with one mistake each, as people make them."""

from __future__ import annotations

from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import ConsumerClient, Record, RecordMetadata, TopicPartition
from tests.unit.faults.run import Replayer, Run, Sender
from tests.unit.faults.worker import Worker, place_of


class _LastReceived(Worker):
    """Remembers the offset after the last record that came: what `position()` says."""

    def take(self, records: list[Record]) -> None:
        super().take(records)
        for record in records:
            self.points[place_of(record)] = record.offset + 1

    def advance(self, place: TopicPartition) -> None:
        pass


class CommitsPosition(_LastReceived):
    """Commits `position()` now and then, with work in flight."""


class CommitsBeforeTheWork(_LastReceived):
    """Commits what it has received before it begins with it."""

    def take(self, records: list[Record]) -> None:
        super().take(records)
        if records:
            self.commit()


class DropsOnRebalance(Worker):
    """Drops what is in flight when it gives its partitions up, and commits it all the same."""

    def give_up(self, partitions: list[TopicPartition]) -> None:
        for place, offsets in self.received.items():
            self.points[place] = max([self.points[place], *(offset + 1 for offset in offsets)])
        self.commit_points()
        self.forget()


class AcksEachOnReceipt(Worker):
    """Commits each record on receipt, in the order in which some threads come to it."""

    def take(self, records: list[Record]) -> None:
        super().take(records)
        for record in sorted(records, key=lambda record: -record.offset):
            self.points[place_of(record)] = record.offset + 1
            self.commit_points()

    def commit(self) -> None:
        pass


class CommitsHighestFinished(Worker):
    """Commits the offset after the highest that is finished, whatever lies before it."""

    def advance(self, place: TopicPartition) -> None:
        self.points[place] = max([self.points[place], *(offset + 1 for offset in self.done[place])])


class RemembersTooMuch(Worker):
    """Commits as finished beyond the commit point what it has only begun."""

    def beyond(self, place: TopicPartition) -> set[int]:
        return self.done[place] | {record.offset for record in self.begun if place_of(record) == place}


class ForgetsToResume(Worker):
    """Pauses when it has enough in hand, and never resumes."""

    def resume(self) -> None:
        pass


class WorksSideBySide(Worker):
    """Works on the tasks of a key side by side."""

    def must_wait(self, record: Record, before: list[Record]) -> bool:
        return False


class RetriesLater(Worker):
    """Puts a failed task at the back of the queue and goes on with the next of its key; the second try succeeds."""

    def fail(self, record: Record) -> None:
        if self.attempts[record.partition, record.offset]:
            self.finish(record)
            return
        self.note("failed", record)
        self.attempts[record.partition, record.offset] += 1
        self.begun.remove(record)
        self.waiting.append(record)


class RetriesLaterInVain(RetriesLater):
    """Does so, but the second try fails too, and the task becomes a dead letter."""

    def fail(self, record: Record) -> None:
        if not self.attempts[record.partition, record.offset]:
            super().fail(record)
            return
        self.note("failed", record)
        self.dead_letter(record)
        self.through(record)


class SkipsOnPoll(Worker):
    """Its client asks for one record more than it may, and hands on as many as it may."""

    def wrap(self, client: ConsumerClient) -> ConsumerClient:
        return _OneTooMany(client)


class _OneTooMany:
    def __init__(self, client: ConsumerClient) -> None:
        self._client = client

    def poll(self, timeout: float, max_records: int) -> list[Record]:
        return self._client.poll(timeout, max_records + 1)[:max_records]


class SeeksBack(Worker):
    """Begins a few records before the commit point after every rebalance, to be on the safe side."""

    def take_over(self, partitions: list[TopicPartition]) -> None:
        super().take_over(partitions)
        for place in partitions:
            self.consumer.seek(place, max(0, self.points[place] - 3))


class KeepsOldProgress(Worker):
    """Keeps its own commit points over a rebalance and goes on from them when it has the partition again."""

    def __init__(self, run: Run, name: str) -> None:
        super().__init__(run, name)
        self.old: dict[TopicPartition, int] = {}

    def forget(self) -> None:
        self.old |= self.points
        super().forget()

    def take_over(self, partitions: list[TopicPartition]) -> None:
        super().take_over(partitions)
        self.points |= {place: self.old[place] for place in partitions if place in self.old}


class SwallowsErrors(Worker):
    """Takes a task that failed for done."""

    def dead_letter(self, record: Record) -> None:
        pass


class BuriesAgain(Worker):
    """Writes a dead letter before the commit, without a look whether it is there already."""

    def dead_letter(self, record: Record) -> None:
        self.send_dead_letter(record)


class RepeatsTheEffect(Worker):
    """Does the effect at every delivery: no `@once`."""

    def effect(self, task: Task) -> None:
        self.do_effect(task)


class MarksFirst(Worker):
    """Marks an effect as done before it has it, and sometimes does not come to have it."""

    def do_effect(self, task: Task) -> None:
        if self.run.rng.random() < 0.1:
            self.run.effects.add(task.id)
        else:
            super().do_effect(task)


class MixesUpResults(Worker):
    """Hands the result of one task in hand to another one, and the other way round."""

    def __init__(self, run: Run, name: str) -> None:
        super().__init__(run, name)
        self.instead: dict[str, str] = {}

    def finish(self, record: Record) -> None:
        task = Task.decode(record)
        others = [other for other in map(Task.decode, self.begun) if other.id != task.id and other.kind == task.kind]
        if others and task.id not in self.instead and others[0].id not in self.instead:
            self.instead |= {task.id: others[0].id, others[0].id: task.id}
        self.effect(task)
        self.note("finished", record, task=self.instead.get(task.id, task.id))
        self.through(record)


class BuriesTheFinished(Worker):
    """Writes a dead letter of some tasks that it has finished."""

    def finish(self, record: Record) -> None:
        super().finish(record)
        if self.run.rng.random() < 0.1:
            self.dead_letter(record)


class BuriesUnbegun(Worker):
    """Gives some tasks up when they come, though nobody has ever begun them."""

    def take(self, records: list[Record]) -> None:
        super().take(records)
        for record in list(self.waiting):
            if self.run.rng.random() < 0.05:
                self.waiting.remove(record)
                self.dead_letter(record)
                self.done[place_of(record)].add(record.offset)


class LosesReplays(Replayer):
    """Takes every letter away, and puts some of the tasks back."""

    def put_back(self, record: Record) -> None:
        if self.run.rng.random() < 0.5:
            super().put_back(record)


class ReusesIds(Sender):
    """Gives some tasks the id of the one before."""

    last = "task-0"

    def send(self, task: Task) -> None:
        if self.run.rng.random() < 0.1:
            task = task.evolve(id=self.last, kind="other work")
        self.last = task.id
        super().send(task)


class SendsAgain(Sender):
    """Takes some answers for lost and sends again, without idempotence."""

    def send(self, task: Task) -> None:
        if self.run.rng.random() < 0.2:
            self.hand_over(task, lambda delivery, error: None)
        super().send(task)


class BelievesItself(Sender):
    """Calls a task acknowledged when it is handed over, at the offset that it should get. Some are too large."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._ends = {place.partition: 0 for place in run.partitions}
        self._sent = 0

    def send(self, task: Task) -> None:
        self._sent += 1
        payload = "x" * 2_000_000 if self._sent % 20 == 0 else None
        super().send(task.evolve(payload=payload))

    def answered(self, task: Task, delivery: RecordMetadata | None) -> None:
        partition = delivery.partition if delivery else 0
        super().answered(task, RecordMetadata(partition, self._ends[partition]))
        self._ends[partition] += 1
