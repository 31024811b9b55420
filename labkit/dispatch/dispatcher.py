"""The dispatcher: takes tasks of several classes from Kafka, and hands them to Celery as a policy decides.

    Kafka topic per class → Intake → WaitingLine ─┐
    Kafka topic per class → Intake → WaitingLine ─┴→ policy, as long as there is room → Sender → Celery

A class that is held keeps its place in Kafka: nothing is committed that is not in Celery. The offset is committed
after Celery's broker has the task. A dispatcher that dies in between leaves a task that is sent again, and whoever
performs it recognises it (`labkit.celery_app.performer`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from labkit.celery_app.capacity import Capacity, Count
from labkit.celery_app.envelope import Envelope
from labkit.dispatch.celery_sender import CelerySender
from labkit.dispatch.class_status import ClassCounts, ClassStatus
from labkit.dispatch.dispatcher_admission import DispatcherAdmission
from labkit.dispatch.intake import Intake, wait_until_joined
from labkit.dispatch.scheduler import BATCH, Scheduler
from labkit.errors import LabkitError, RedisUnreachable, WorkerFailed
from labkit.logs.safe_logger import safe_logger
from labkit.measure.records import turned_away_frame
from labkit.measure.task_record import TaskRecord
from labkit.outage import Outage
from labkit.policies import Ledger, Policy, PriorityClass
from labkit.process.child_process import STOP_TIMEOUT
from labkit.process.signals import held_back
from labkit.resource import Resource, end_all
from labkit.settings import Settings, load_settings
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import MAX_IN_FLIGHT, WorkerConfig
from labkit.taskqueue.groups.group_kind import must_be_joinable
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.worker_group.members import ThreadMember, stop_members

if TYPE_CHECKING:
    import pandas as pd

#: How often the room in Celery is looked at while tasks wait for it, in seconds.
SAMPLE_INTERVAL = 0.005
#: How long to wait before Redis is tried again, in seconds.
RETRY_INTERVAL = 0.5
#: How long the dispatchers of a group may take to share the partitions, in seconds.
JOIN_TIMEOUT = 30.0

#: No room is needed by those who do not look for it.
_BOUNDLESS = Count(granted=BATCH, unacknowledged=0, concurrency=0, reserved=0, waiting=(), limit=0)

log = safe_logger("labkit.dispatcher")


class Dispatcher(Resource, checked=True):
    """One dispatcher; several of one `group` share the work. A context manager: joined inside, left after.

    `topics` are those of the classes, in rank order, the most urgent first. Without a `room` nobody looks how full
    Celery is: that is the bridge. With an `admission` a strategy says who gets in. `on_record` gets the records of what
    is shed, put aside or a dead letter; what was handed to Celery has its record there. `clock` gives seconds since the
    epoch, `measure` only measures: how long a task has waited.
    """

    def __init__(
        self,
        topics: Sequence[Topic],
        classes: Sequence[PriorityClass],
        policy: Policy,
        sender: CelerySender,
        *,
        room: Capacity | None = None,
        admission: DispatcherAdmission | None = None,
        group: str,
        name: str,
        on_record: Callable[[TaskRecord], object] = lambda record: None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        measure: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = settings or load_settings()
        self.name = name
        self._sender = sender
        self._room = room
        self._admission = admission
        self._group = group
        self._clock = clock
        self._measure = measure
        ledger = Ledger(classes)
        self._counts = ClassCounts(one.name for one in classes)
        self._changed = threading.Event()
        self._leaving = threading.Event()
        self._stop = threading.Event()
        self._crash: BaseException | None = None
        self._outage = Outage(log, name, "Redis", meanwhile="the tasks wait in Kafka")
        self.count = _BOUNDLESS
        self._intakes = {
            known.name: self._intake(topic, known, rank, on_record, settings)
            for rank, (topic, known) in enumerate(zip(topics, classes, strict=True))
        }
        self._chooser = Scheduler(self._intakes, ledger, policy, self._counts, measure)
        self._members = [ThreadMember(intake) for intake in self._intakes.values()]
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Self:
        """Join the groups; returns when the partitions are shared out.

        Raises `DeadTopicRefused` if a topic cannot have dead letters, `OtherGroupKind` if there is a share group of the
        name.
        """
        for name, intake in self._all:
            must_be_joinable(intake.topic, group_of(self._group, name))
        self._thread.start()
        for member in self._members:
            member.start()
        self.wait_until_balanced()
        return self

    def wait_until_balanced(self, *, timeout: float = JOIN_TIMEOUT) -> None:
        """Return when this dispatcher has its share of the partitions of each class; raises `DeadlineExceeded`."""
        groups = {group_of(self._group, name): intake for name, intake in self._all}
        wait_until_joined(groups, self.check, timeout=timeout)

    def status(self) -> list[ClassStatus]:
        """How each class stands, in rank order."""
        return [self._counts.status(name, topic=one.topic.name, waiting=len(one.line)) for name, one in self._all]

    def turned_away(self) -> pd.DataFrame:
        """What was shed or put aside at admission so far (see `labkit.measure.records`)."""
        return turned_away_frame(()) if self._admission is None else self._admission.turned_away()

    def use(self, policy: Policy) -> None:
        """Decide by this policy from now on; what the one before owed lapses."""
        self._chooser.use(policy)

    def check(self) -> None:
        """Raise `WorkerFailed` if it could not go on; say in the log if its policy or strategy does not answer."""
        if self._crash is not None:
            raise WorkerFailed(f"{self.name} could not go on: {self._crash}") from self._crash
        self._chooser.look()
        if self._admission is not None:
            self._admission.look()
        for member in self._members:
            if not member.alive() and not self._leaving.is_set():
                member.join()
                raise WorkerFailed(f"{member.name} ended although nobody asked it to.")

    def stop(self) -> None:
        """Finish what is being handed over, commit and leave, in bounded time whatever one part does.

        Raises `WorkerFailed` if an intake has failed, or a thread is left behind. A second Ctrl-C is held back.
        """
        self._leaving.set()
        if self._thread.ident is None:
            return
        with held_back():
            failures = stop_members([*self._members], STOP_TIMEOUT)
            self._stop.set()
            self._changed.set()
            self._thread.join(STOP_TIMEOUT)
            ends = [] if self._admission is None else [self._admission.close]
            if self._thread.is_alive():  # and may be at it to send
                left = f"{self.name} did not stop within {STOP_TIMEOUT:g} s, and its thread is left behind."
                failures.append(WorkerFailed(left))
            else:
                ends.append(self._sender.close)
            end_all(*ends)
            if failures:
                raise WorkerFailed(" ".join(map(str, failures))) from failures[0]

    def close(self) -> None:
        """As `stop`."""
        self.stop()

    @property
    def _all(self) -> list[tuple[str, Intake]]:
        return list(self._intakes.items())

    def _intake(
        self,
        topic: Topic,
        known: PriorityClass,
        rank: int,
        on_record: Callable[[TaskRecord], object],
        settings: Settings,
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
            on_record=lambda record: on_record(replace(record, priority=rank)),  # as in the records of Celery's workers
            clock=self._clock,
            measure=self._measure,
        )
        intake.tell(self._changed.set)
        intake.line.has_admission = self._admission is not None
        return intake

    def _run(self) -> None:
        try:
            pause: float | None = None
            while not self._stop.is_set():
                self._changed.wait(pause)
                self._changed.clear()
                pause = self._turn()
        except BaseException as error:  # the thread's last word; `check` raises it
            self._crash = error
            if not isinstance(error, LabkitError):  # one of those says all by itself
                log.exception("%s could not go on", self.name)
            self._put_back()  # the intakes wait for what is in hand

    def _turn(self) -> float | None:
        """Hand over what may be; after how many seconds to look again, None if only when something comes."""
        try:
            at_door = self._admit()
            waiting = sum(len(intake.line) for intake in self._intakes.values() if intake.line.head() is not None)
            wanted = min(BATCH, waiting)
            count = self._reserve(wanted)
            chosen = self._chooser.choose(count, is_full=count.granted < wanted)
            self._hand_over(chosen)
        except RedisUnreachable as error:
            self._put_back()
            self._outage.begins(error)
            self._stop.wait(RETRY_INTERVAL)
            return 0.0
        self._outage.ends()
        if chosen:
            return 0.0  # with the next reservation this one ends
        return SAMPLE_INTERVAL if waiting else at_door

    def _admit(self) -> float | None:
        """Let in who may come; after how many seconds to ask again, None if nobody waits for admission."""
        if self._admission is None:
            return None
        self._admission.take_in(self._intakes, self._counts.shed)
        if not any(intake.line.at_door() for intake in self._intakes.values()):
            return None
        count = _BOUNDLESS if self._room is None else self._room.count()
        return self._admission.admit(self._intakes, sum(count.waiting) + count.unacknowledged, self._counts.shed)

    def _reserve(self, wanted: int) -> Count:
        if self._room is None:
            return _BOUNDLESS
        self.count = self._room.reserve(wanted)
        return self.count

    def _hand_over(self, chosen: Sequence[tuple[str, WorkItem]]) -> None:
        if not chosen:
            return
        now = self._clock()
        self._sender.send([self._envelope(name, item, now) for name, item in chosen])
        for name, item in chosen:
            self._intakes[name].attempts.hand_on(item)
            self._counts.sent[name] += 1

    def _put_back(self) -> None:
        for intake in self._intakes.values():
            intake.line.put_back()

    def _envelope(self, name: str, item: WorkItem, at: float) -> Envelope:
        assert item.task is not None
        rank = list(self._intakes).index(name)
        topic, group = self._intakes[name].topic, group_of(self._group, name)
        where = {"topic": topic.name, "topic_prefix": topic.prefix, "group": group}
        return Envelope.of(item, item.task, **where, rank=rank, at=at)


def group_of(group: str, name: str) -> str:
    """The consumer group of the dispatchers for one class: each class has its own, so that one does not hold others."""
    return f"{group}.{name}"
