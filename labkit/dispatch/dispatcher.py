"""The dispatcher: takes tasks of several classes from Kafka, and hands them to Celery as a policy decides.

    Kafka topic per class → Intake → WaitingLine ─┐
    Kafka topic per class → Intake → WaitingLine ─┴→ policy, as long as there is room → Sender → Celery

A class that is held keeps its place in Kafka: nothing is committed that is not in Celery. The offset is committed
after Celery's broker has the task. A dispatcher that dies in between leaves a task that is sent again, and whoever
performs it recognises it (`labkit.dispatch.performing`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from msgspec import Struct

from labkit.dispatch.envelope import Envelope
from labkit.dispatch.intake import Intake
from labkit.dispatch.kinds import handler_of
from labkit.dispatch.room import Count, Room
from labkit.dispatch.sender import Sender
from labkit.errors import RedisUnreachable, UnknownKind, WorkerFailed
from labkit.measure.records import TaskRecord
from labkit.policies import Backlog, Decision, Ledger, Policy, PriorityClass, View
from labkit.settings import Settings, load_settings
from labkit.taskqueue.engine.config import MAX_IN_FLIGHT, WorkerConfig
from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.engine.work import Work
from labkit.taskqueue.members import ThreadMember
from labkit.taskqueue.standing import standing
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.waiting import wait_until

#: How many tasks go to Celery at once, at most: what two dispatchers together may send too many.
BATCH = 50
#: How often the room in Celery is looked at while tasks wait for it, in seconds.
SAMPLE_INTERVAL = 0.01
#: How long to wait before Redis is tried again, in seconds.
RETRY_INTERVAL = 0.5
#: How long the dispatchers of a group may take to share the partitions, in seconds.
JOIN_TIMEOUT = 30.0

#: No room is needed by those who do not look for it.
_BOUNDLESS = Count(granted=BATCH, unacknowledged=0, processes=0, reserved=0, waiting=(), limit=0)

log = logging.getLogger("labkit.dispatcher")


class ClassStatus(Struct, frozen=True, kw_only=True):
    """One class, as its dispatcher sees it: `waiting` have come from Kafka, `sent` went to Celery, `held` says why
    the next one waits (empty if it does not)."""

    name: str
    topic: str
    waiting: int
    sent: int
    shed: int
    dead: int
    held: str


class Dispatcher:
    """One dispatcher; several of one `group` share the work. A context manager: joined inside, left after.

    `topics` are those of the classes, in rank order, the most urgent first. Without a `room` nobody looks how full
    Celery is: that is the bridge. `on_record` gets the records of what is shed or a dead letter; what was handed to
    Celery has its record there. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        topics: Sequence[Topic],
        classes: Sequence[PriorityClass],
        policy: Policy,
        sender: Sender,
        *,
        room: Room | None = None,
        group: str,
        name: str,
        on_record: Callable[[TaskRecord], object] = lambda record: None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        settings = settings or load_settings()
        self.name = name
        self._policy = policy
        self._sender = sender
        self._room = room
        self._group = group
        self._clock = clock
        self._ledger = Ledger(classes)
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._held: Mapping[str, str] = {}
        self._sent = dict.fromkeys((one.name for one in classes), 0)
        self._shed = dict.fromkeys(self._sent, 0)
        self._dead = dict.fromkeys(self._sent, 0)
        self._crash: BaseException | None = None
        self._away = False
        self.count = _BOUNDLESS
        self._intakes = {
            known.name: self._intake(topic, known, on_record, settings)
            for topic, known in zip(topics, classes, strict=True)
        }
        self._members = [ThreadMember(intake) for intake in self._intakes.values()]
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Self:
        """Join the groups; returns when the partitions are shared out."""
        self._thread.start()
        for member in self._members:
            member.start()
        self.wait_until_balanced()
        return self

    def wait_until_balanced(self, *, timeout: float = JOIN_TIMEOUT) -> None:
        """Return when this dispatcher has its share of the partitions of each class; raises `DeadlineExceeded`."""
        stands = [(intake, standing("group", intake.topic, group_of(self._group, name))) for name, intake in self._all]
        try:
            for intake, stand in stands:
                wait_until(
                    lambda intake=intake, stand=stand: self._balanced(intake, stand),  # type: ignore[misc]
                    timeout=timeout,
                    what=f"{intake.name} was to get its partitions",
                )
        finally:
            for _, stand in stands:
                stand.close()

    def status(self) -> list[ClassStatus]:
        """How each class stands, in rank order."""
        return [
            ClassStatus(
                name=name,
                topic=intake.topic.name,
                waiting=len(intake.line),
                sent=self._sent[name],
                shed=self._shed[name],
                dead=self._dead[name],
                held=self._held.get(name, ""),
            )
            for name, intake in self._all
        ]

    def check(self) -> None:
        """Raise `WorkerFailed` if the dispatcher could not go on."""
        if self._crash is not None:
            raise WorkerFailed(f"{self.name} could not go on: {self._crash}") from self._crash
        for member in self._members:
            if not member.alive() and not self._stop.is_set():
                member.join()
                raise WorkerFailed(f"{member.name} ended although nobody asked it to.")

    def stop(self) -> None:
        """Finish what is being handed over, commit and leave."""
        for member in self._members:
            member.ask_to_stop()
        for member in self._members:
            member.join()
        self._stop.set()
        self._changed.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._sender.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _all(self) -> list[tuple[str, Intake]]:
        return list(self._intakes.items())

    def _intake(
        self, topic: Topic, known: PriorityClass, on_record: Callable[[TaskRecord], object], settings: Settings
    ) -> Intake:
        intake = Intake(
            topic,
            name=f"{self.name}.{known.name}",
            group=group_of(self._group, known.name),
            work=Work(),
            config=WorkerConfig(
                order="none",
                max_in_flight=max(MAX_IN_FLIGHT, 2 * (known.limit or 0)),
                session_timeout=settings.session_timeout,
            ),
            on_record=on_record,
            clock=self._clock,
        )
        intake.tell(self._changed.set)
        return intake

    def _balanced(self, intake: Intake, stand: object) -> bool:
        self.check()
        mine = {intake.name: intake.status().partitions}
        return stand.is_balanced(mine, killed=())  # type: ignore[attr-defined, no-any-return]

    def _run(self) -> None:
        try:
            pause: float | None = None
            while not self._stop.is_set():
                self._changed.wait(pause)
                self._changed.clear()
                pause = self._turn()
        except BaseException as error:  # the thread's last word; `check` raises it
            self._crash = error
            log.exception("%s could not go on", self.name)

    def _turn(self) -> float | None:
        """Hand over what may be; after how many seconds to look again, None if only when something comes."""
        waiting = sum(len(intake.line) for intake in self._intakes.values())
        try:
            count = self._reserve(min(BATCH, waiting))
            chosen = self._choose(count)
            self._hand_over(chosen)
        except RedisUnreachable as error:
            if not self._away:
                log.warning("%s waits for Redis, and the tasks wait in Kafka: %s", self.name, error)
            self._away = True
            self._stop.wait(RETRY_INTERVAL)
            return 0.0
        if self._away:
            log.warning("%s goes on: Redis answers again", self.name)
            self._away = False
        if chosen:
            return 0.0  # with the next reservation this one ends
        return SAMPLE_INTERVAL if waiting else None

    def _reserve(self, wanted: int) -> Count:
        if self._room is None:
            return _BOUNDLESS
        self.count = self._room.reserve(wanted)
        return self.count

    def _choose(self, count: Count) -> list[tuple[str, Item]]:
        """Ask the policy until it starts and sheds nothing more, or a batch is full."""
        chosen: list[tuple[str, Item]] = []
        capacity = count.taken + count.granted
        while len(chosen) < BATCH:
            view = self._view(taken=count.taken + len(chosen), capacity=capacity)
            decision = self._policy.decide(view, self._clock())
            self._held = decision.held
            self._drop(decision)
            if decision.start is None:
                if not decision.shed:
                    break
                continue
            item = self._intakes[decision.start].line.take_first()
            if item is None:
                break  # its partitions are being taken away
            if self._fits(decision.start, item):
                self._ledger.note(decision)
                chosen.append((decision.start, item))
        return chosen

    def _view(self, *, taken: int, capacity: int) -> View:
        backlogs = [
            _backlog(intake, known) for intake, known in zip(self._intakes.values(), self._ledger.classes, strict=True)
        ]
        return self._ledger.view(backlogs, taken=taken, capacity=capacity)

    def _drop(self, decision: Decision) -> None:
        for name in decision.shed:
            intake = self._intakes[name]
            item = intake.line.take_last()
            if item is not None:
                intake.attempts.shed(item, f"more waited than {name!r} may have waiting")
                self._shed[name] += 1

    def _fits(self, name: str, item: Item) -> bool:
        """Whether Celery can do something with it; what it cannot becomes a dead letter."""
        intake = self._intakes[name]
        task = intake.attempts.begin(item)
        if task is not None:
            try:
                handler_of(task.kind)
                return True
            except UnknownKind as error:
                intake.attempts.refuse(item, error, deliveries=1)
                intake.line.done(item)
        self._dead[name] += 1
        return False

    def _hand_over(self, chosen: Sequence[tuple[str, Item]]) -> None:
        if not chosen:
            return
        now = self._clock()
        try:
            self._sender.send([self._envelope(name, item, now) for name, item in chosen])
        except RedisUnreachable:
            for name, intake in self._all:
                intake.line.put_back([item for of, item in chosen if of == name])
            raise
        for name, item in chosen:
            self._intakes[name].attempts.hand_on(item)
            self._sent[name] += 1

    def _envelope(self, name: str, item: Item, at: float) -> Envelope:
        assert item.task is not None
        rank = list(self._intakes).index(name)
        return Envelope.of(item, item.task, topic=self._intakes[name].topic.name, rank=rank, at=at)


def group_of(group: str, name: str) -> str:
    """The consumer group of the dispatchers for one class: each class has its own, so that one does not hold others."""
    return f"{group}.{name}"


def _backlog(intake: Intake, known: PriorityClass) -> Backlog:
    waiting, head = len(intake.line), intake.line.head()
    if head is None or not waiting:
        return Backlog(waiting=0, arrived_at=None, deadline=None)
    arrived = head.record.timestamp_ms / 1000
    due = None if known.relative_deadline is None else arrived + known.relative_deadline
    return Backlog(waiting=waiting, arrived_at=arrived, deadline=due)
