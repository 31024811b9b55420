"""Back-pressure at a dispatcher: a strategy decides who is admitted from Kafka, by what is not finished behind it.

Behind it is what waits for the dispatcher and what is in Celery. Before it tasks keep their place on Kafka.
What is spilled goes to the topic `<topic>.later`, as it was: a dispatcher or a bridge for that topic brings it back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labkit.backpressure import Action, AdmissionState, Strategy
from labkit.dispatch.intake import Intake
from labkit.errors import NotAcknowledged, TopicMismatch, TransportError
from labkit.logs.safe_logger import safe_logger
from labkit.measure.records import TurnedAway, TurnedAwayCounter
from labkit.measure.task_record import DONE, TaskRecord
from labkit.outage import Outage
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.topic import LATER, Topic
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ProducerClient, ProducerConfig, RecordMetadata

if TYPE_CHECKING:
    import pandas as pd

#: How often to look at what Celery has finished, in seconds.
LOOK_INTERVAL = 0.05
#: How old the number of tasks in Celery may be, in seconds: then it is counted again, and who was let in is sent.
MAX_AGE = 0.01
#: How long a spilled task may take to be acknowledged by Kafka, in seconds.
SPILL_TIMEOUT = 10.0
#: How long a class waits for admission when its tasks cannot be put aside, in seconds; then that is tried again.
SPILL_RETRY = 5.0

log = safe_logger("labkit.dispatcher")


class DispatcherAdmission:
    """Keeps the admission of one dispatcher; used from its thread.

    `finished` gives the records that came since it was last asked: for a strategy that goes by the latency, which
    counts from when a task was sent to Celery. `clock` gives seconds since the epoch, `measure` only measures.
    """

    def __init__(
        self,
        strategy: Strategy[Any],
        *,
        finished: Callable[[], list[TaskRecord]],
        clock: Callable[[], float] = time.time,
        measure: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = AdmissionState(strategy)
        self._finished = finished
        self._clock = clock
        self._measure = measure
        self._looked_at = self._shut_until = float("-inf")
        self._turned_away = TurnedAwayCounter()
        self._spill: dict[str, _SpillTopic] = {}
        self._spill_outages: dict[str, Outage] = {}
        #: by the name of its topic, until when a class is passed over
        self._put_off: dict[str, float] = {}
        self.reason = ""

    def admit(self, intakes: Mapping[str, Intake], taken: int, shed: dict[str, int]) -> float | None:
        """Let in who may come, in the order of arrival; after how many seconds to ask again, None if nobody waits.

        `intakes` in rank order; `taken`: how many tasks are in Celery, counted just now; in `shed` what is dropped or
        put aside is counted by class. A class whose tasks cannot be put aside waits for admission, which is said once.
        """
        now = self._measure()
        self._hear(now)
        while (found := _first_at_door(self._judged(intakes, now))) is not None:
            if now < self._shut_until:
                return self._shut_until - now
            rank, intake = found
            lines = [other.line for other in intakes.values()]
            waiting = [number for number, line in enumerate(lines) if len(line)]
            verdict = self._gate.judge(
                now,
                lag=taken + sum(len(line) for line in lines),
                rank=rank,
                lowest=max(waiting, default=None),
            )
            self.reason = verdict.reason
            if verdict.action is Action.WAIT:
                self._shut_until = now + verdict.seconds
                return verdict.seconds
            turned_away = self._carry_out(verdict.action, verdict.reason, intake, rank, list(intakes.values()))
            if turned_away is not None:
                shed[list(intakes)[turned_away]] += 1
            if self._measure() - now >= MAX_AGE:
                return 0.0
        until = [self._put_off.get(one.topic.name, now) for one in intakes.values() if one.line.at_door() is not None]
        return min(until) - now if until else None

    def turned_away(self) -> pd.DataFrame:
        """What was shed or spilled so far, counted by moment (see `labkit.measure.records`)."""
        return self._turned_away.frame()

    def close(self) -> None:
        """Let go of the connections."""
        for spill in self._spill.values():
            spill.close(SPILL_TIMEOUT)

    def _judged(self, intakes: Mapping[str, Intake], now: float) -> dict[int, Intake]:
        """Those that are not put off, by their rank."""
        return {
            rank: intake
            for rank, intake in enumerate(intakes.values())
            if self._put_off.get(intake.topic.name, now) <= now
        }

    def _hear(self, now: float) -> None:
        if now - self._looked_at >= LOOK_INTERVAL:
            self._looked_at = now
            for record in self._finished():
                if record.outcome == DONE:
                    # by two clocks, either of which may be set
                    self._gate.answered(max(0.0, record.finished_at - record.received_at))

    def _carry_out(self, action: Action, reason: str, intake: Intake, rank: int, intakes: list[Intake]) -> int | None:
        """The rank of the task that was turned away, if one was."""
        if action is Action.ADMIT or action is Action.SHED_LOWEST:
            intake.line.let_in()
        if action is Action.ADMIT:
            return None
        if action is Action.SHED_LOWEST:
            rank, intake = max((place, other) for place, other in enumerate(intakes) if len(other.line))
            item = intake.line.take_last()
        else:
            item = intake.line.take_at_door()
        if item is None:
            return None  # its partitions are being taken away
        if action is Action.SPILL:
            if not self._put_aside(intake, item):
                return None
        else:
            intake.attempts.shed(item, reason)
        self._turned_away.add(TurnedAway(at=self._clock(), action=action, priority=rank))
        return rank

    def _put_aside(self, intake: Intake, item: WorkItem) -> bool:
        """Whether it stands on the topic for later now; if not, its class is put off, or it is let in."""
        name = intake.topic.name
        outage = self._spill_outages.setdefault(
            name, Outage(log, name, f"{name}{LATER}", meanwhile="its tasks wait for admission")
        )
        try:
            if name not in self._spill:
                self._spill[name] = _SpillTopic(intake.topic)
            self._spill[name].write(item)
        except BaseException as error:
            intake.line.postpone(item, 0)
            spill = self._spill.pop(name, None)  # what it knows of the topic may be no longer true
            if spill is not None:
                spill.close(0.0)
            if isinstance(error, ValueError):  # no such record can be written; whoever takes it will say so
                intake.line.let_in()
            elif isinstance(error, TransportError):
                self._put_off[name] = self._measure() + SPILL_RETRY
                outage.begins(error)
            else:
                raise
            return False
        outage.ends()
        intake.attempts.spill(item, f"put aside to {name}{LATER}")
        return True


class _SpillTopic:
    """Writes to the topic for later, which is made if it is not there. Raises `TransportError`."""

    def __init__(self, topic: Topic) -> None:
        name = f"{topic.name}{LATER}"
        with Topics.of(topic) as topics:
            try:
                self._topic = topics.create(name, partitions=topic.partitions)
            except TopicMismatch:  # one of the two was grown
                self._topic = topics.get(name)
        self._client: ProducerClient = topic.transport.producer(ProducerConfig())

    def write(self, item: WorkItem) -> None:
        """Return when Kafka has the record, as it was."""
        answers: list[Exception | None] = []
        answered = threading.Event()

        def hear(_delivery: RecordMetadata | None, error: Exception | None) -> None:
            answers.append(error)
            answered.set()

        record = item.record
        self._client.send(
            self._topic.full_name,
            partition=record.partition % self._topic.partitions,
            key=record.key,
            value=record.value,
            headers=record.headers,
            timestamp_ms=record.timestamp_ms,
            on_delivery=hear,
        )
        if not answered.wait(SPILL_TIMEOUT) or answers[0] is not None:
            raise NotAcknowledged(f"A task could not be put aside to {self._topic.name}: {answers or 'no answer'}.")

    def close(self, timeout: float) -> None:
        """Let go of the connection, and of what is not acknowledged within so many seconds."""
        self._client.close(timeout)


def _first_at_door(intakes: Mapping[int, Intake]) -> tuple[int, Intake] | None:
    """Whose first task at admission has waited longest, with the rank of its class."""
    found = [
        (item.waits_since, rank, intake)
        for rank, intake in intakes.items()
        if (item := intake.line.at_door()) is not None
    ]
    if not found:
        return None
    _, rank, intake = min(found, key=lambda one: one[:2])
    return rank, intake
