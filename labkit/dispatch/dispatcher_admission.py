"""Back-pressure at a dispatcher: a strategy decides who is admitted from Kafka, by what is not finished behind it.

Behind it is what waits for the dispatcher and what is in Celery. Before it tasks keep their place on Kafka.
What is spilled goes to the topic `<topic>.later`, as it was: a dispatcher or a bridge for that topic brings it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from labkit.backpressure import Action, Strategy
from labkit.dispatch.answer_watch import AnswerWatch
from labkit.dispatch.intake import Intake
from labkit.dispatch.spill_topic import SPILL_TIMEOUT, SpillTopic
from labkit.errors import TransportError
from labkit.logs.safe_logger import safe_logger
from labkit.measure.records import TurnedAway, TurnedAwayCounter
from labkit.measure.task_record import DONE, TaskRecord
from labkit.outage import Outage
from labkit.resource import end_all
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.guarded_admission import GuardedAdmission
from labkit.taskqueue.record_format import copied
from labkit.taskqueue.timeouts import on_a_thread
from labkit.taskqueue.topic import LATER

if TYPE_CHECKING:
    import pandas as pd

#: How often to look at what Celery has finished, in seconds.
LOOK_INTERVAL = 0.05
#: How old the number of tasks in Celery may be, in seconds: then it is counted again, and who was let in is sent. So
#: long at most it is waited for a task that is being put aside.
MAX_AGE = 0.01
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
        self._gate = GuardedAdmission(strategy)
        self._watch = AnswerWatch(measure)
        self._finished = finished
        self._clock = clock
        self._measure = measure
        self._looked_at = self._shut_until = float("-inf")
        self._turned_away = TurnedAwayCounter()
        #: these too by the name of the topic of a class: where it puts tasks aside, and what it does just now
        self._spill_topics: dict[str, SpillTopic] = {}
        self._spills: dict[str, _Spill] = {}
        self._spill_outages: dict[str, Outage] = {}
        #: by the name of its topic, until when a class is passed over
        self._put_off: dict[str, float] = {}
        self.reason = ""

    def admit(self, intakes: Mapping[str, Intake], taken: int, shed: dict[str, int]) -> float | None:
        """Let in who may come, in the order of arrival; after how many seconds to ask again, None if nobody waits.

        `intakes` in rank order; `taken`: how many tasks are in Celery, counted just now; in `shed` what is dropped or
        put aside is counted by class. A class waits for admission while one of its tasks is being put aside, and where
        none can be, which is said once.
        """
        now = self._measure()
        self._hear(now)
        while (found := _first_at_door(self._judged(intakes, now))) is not None:
            if now < self._shut_until:
                return self._shut_until - now
            rank, intake = found
            lines = [other.line for other in intakes.values()]
            waiting = [number for number, line in enumerate(lines) if len(line)]
            verdict = self._watch.ask(
                self._gate.judge,
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
            self.take_in(intakes, shed)
            if self._measure() - now >= MAX_AGE:
                return 0.0
        names = [one.topic.name for one in intakes.values() if one.line.at_door() is not None]
        until = [self._put_off.get(name, now) for name in names if name not in self._spills]
        return min(until) - now if until else None

    def take_in(self, intakes: Mapping[str, Intake], shed: dict[str, int]) -> None:
        """See what has become of what is being put aside; `shed` as for `admit`. To be called again and again, also
        while nobody is at the door: a rebalance waits for it, and the line of its class tells (`on_change`).
        """
        for name, spill in list(self._spills.items()):
            if not spill.write.done():
                continue
            if self._stands_there(spill):
                self._turned_away.add(TurnedAway(at=self._clock(), action=Action.SPILL, priority=spill.rank))
                shed[list(intakes)[spill.rank]] += 1
            del self._spills[name]  # not before: where its record cannot be left now, it is not written again

    def look(self) -> None:
        """Say in the log if the strategy does not answer; to be called again and again, from another thread."""
        self._watch.look(f"The strategy {self._gate.strategy.name!r}")

    def turned_away(self) -> pd.DataFrame:
        """What was shed or spilled so far, counted by moment (see `labkit.measure.records`)."""
        return self._turned_away.frame()

    def close(self) -> None:
        """Let go of the connections; who still writes does so at its end."""
        idle = []
        for name, topic in self._spill_topics.items():
            spill = self._spills.get(name)
            if spill is None:
                idle.append(topic)
            else:
                spill.write.add_done_callback(partial(_let_go, topic))
        end_all(*(partial(topic.close, SPILL_TIMEOUT) for topic in idle))

    def _judged(self, intakes: Mapping[str, Intake], now: float) -> dict[int, Intake]:
        """Those that are neither put off nor putting aside, by their rank."""
        return {
            rank: intake
            for rank, intake in enumerate(intakes.values())
            if self._put_off.get(intake.topic.name, now) <= now and intake.topic.name not in self._spills
        }

    def _hear(self, now: float) -> None:
        if now - self._looked_at >= LOOK_INTERVAL:
            self._looked_at = now
            for record in self._finished():
                if record.outcome == DONE:
                    # by two clocks, either of which may be set
                    self._gate.answered(max(0.0, record.finished_at - record.received_at))

    def _carry_out(self, action: Action, reason: str, intake: Intake, rank: int, intakes: list[Intake]) -> int | None:
        """The rank of the task that was turned away, if one was; what is to be put aside is not yet."""
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
            self._put_aside(intake, item, rank)
            return None
        intake.attempts.shed(item, reason)
        self._turned_away.add(TurnedAway(at=self._clock(), action=action, priority=rank))
        return rank

    def _put_aside(self, intake: Intake, item: WorkItem, rank: int) -> None:
        """Have it written on a thread: where Kafka does not answer, only the tasks of its class wait for that."""
        topic = self._spill_topics.setdefault(intake.topic.name, SpillTopic(intake.topic))
        write = on_a_thread(partial(topic.write, copied(item.record, item.topic_id)))
        self._spills[intake.topic.name] = _Spill(intake, item, rank, write)
        if write not in wait([write], MAX_AGE).done:  # mostly it takes a millisecond
            write.add_done_callback(lambda _: intake.line.on_change())

    def _stands_there(self, spill: _Spill) -> bool:
        """Whether it stands on the topic for later now; if not, its class is put off, or it is let in."""
        line, item, name = spill.intake.line, spill.item, spill.intake.topic.name
        outage = self._spill_outages.setdefault(
            name, Outage(log, name, f"{name}{LATER}", meanwhile="its tasks wait for admission")
        )
        error = spill.write.exception()
        if error is None:
            outage.ends()
            spill.intake.attempts.spill(item, f"put aside to {name}{LATER}")
            return True
        line.postpone(item, 0)
        if isinstance(error, ValueError):  # no such record can be written; whoever takes it will say so
            if line.at_door() is item:
                line.let_in()
        elif isinstance(error, TransportError):
            self._put_off[name] = self._measure() + SPILL_RETRY
            outage.begins(error)
        else:
            raise error
        return False


class _Spill(NamedTuple):
    """A task that is being put aside; when Kafka has it, `write` is done."""

    intake: Intake
    item: WorkItem
    rank: int
    write: Future[None]


def _let_go(topic: SpillTopic, _written: Future[None]) -> None:
    topic.close(SPILL_TIMEOUT)


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
