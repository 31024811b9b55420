"""Back-pressure at the producer: a strategy decides whether a task is sent, by how far the group lags behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from labkit.backpressure import Action, AdmissionDecision, Strategy
from labkit.errors import BrokerUnreachable, LabkitError, SettingsError, UnknownTopic
from labkit.logs.safe_logger import safe_logger
from labkit.measure.records import TurnedAway, TurnedAwayCounter
from labkit.outage import Outage
from labkit.parameters import check_methods
from labkit.taskqueue.guarded_admission import GuardedAdmission
from labkit.taskqueue.repeated_question import RepeatedQuestion
from labkit.taskqueue.topics import Topic, Topics

if TYPE_CHECKING:
    import pandas as pd

log = safe_logger("labkit.producer")

#: How old what is known of the lag may be, in seconds.
MAX_AGE = 0.05

#: For the end of these the client waits too, up to a limit.
AWAY = (BrokerUnreachable, UnknownTopic)

#: What these do is done behind admission, where a producer has no hand in it.
ONLY_AT_ADMISSION = (Action.SHED_LOWEST, Action.SPILL)


@check_methods
class ProducerAdmission:
    """Judges each task before a producer sends it; may be used from several threads.

    The lag is that of `group` on the topic, asked for every `MAX_AGE` seconds on a thread; what was let in since it was
    asked for counts as not finished. While Kafka does not answer, or the topic is away, the lag that was known last
    counts, with all that is let in on top of it: nobody waits longer than a moment, and it is said once.
    Call `answered` with the latency of what is finished, in seconds, for a strategy that goes by it. `wall_clock` gives
    seconds since the epoch. Raises `SettingsError` for a strategy that only a dispatcher can carry out.
    """

    def __init__(
        self,
        strategy: Strategy[Any],
        topic: Topic,
        *,
        group: str = "worker_group",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if strategy.name in ONLY_AT_ADMISSION:
            raise SettingsError(
                f"The strategy {strategy.name!r} is for a dispatcher: a producer cannot reach what it has sent. "
                "Use it with `labkit dispatch --admission`, or take another one here."
            )
        self._gate = GuardedAdmission(strategy)
        self._topic = topic
        self._group = group
        self._topics = Topics.of(topic)
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._let_in = 0
        self._question = RepeatedQuestion(self._look, max_age=MAX_AGE, passing=AWAY, clock=clock)
        self._turned_away = TurnedAwayCounter()
        who = f"The admission to {topic.name}"
        self._outage = Outage(log, who, "Kafka", meanwhile="the lag that was known last counts")

    def judge(self, rank: int = 0) -> AdmissionDecision:
        """What to do with the next task; one that is admitted counts as sent. Raises `TransportError`, and
        `LabkitError` where a strategy of somebody else's fails, or decides what a producer cannot do.

        Where the lag was never known, it is waited for, as long as the client of Kafka does; what it says is raised.
        """
        known, trouble = self._question.look(needed=True)
        if trouble is None:
            self._outage.ends()
        elif known is None:
            raise trouble.with_traceback(None)
        else:
            self._outage.begins(trouble)
        assert known is not None
        with self._lock:
            lag = known.lag + self._let_in - known.let_in
            verdict = self._gate.judge(self._clock(), lag=lag, rank=rank)
            if verdict.action in ONLY_AT_ADMISSION:  # or the task would be lost, and be told to be elsewhere
                raise LabkitError(
                    f"The strategy {self._gate.strategy.name!r} decided {verdict.action.value!r}, which a producer "
                    "cannot do: it cannot reach what it has sent. Use it with `labkit dispatch --admission`."
                )
            if verdict.action is Action.ADMIT:
                self._let_in += 1
            elif verdict.action is not Action.WAIT:
                self._turned_away.add(TurnedAway(at=self._wall_clock(), action=verdict.action, priority=rank))
            return verdict

    def answered(self, latency: float) -> None:
        """A task was finished, `latency` seconds after it should have been sent."""
        with self._lock:
            self._gate.answered(latency)

    def turned_away(self) -> pd.DataFrame:
        """What was refused or dropped so far, counted by moment (see `labkit.measure.records`)."""
        with self._lock:
            return self._turned_away.frame()

    def close(self) -> None:
        """Let go of the connection, as the end of its `Producer` does; who judges again opens another.

        A question that Kafka does not answer ends some seconds later, on its thread, and then lets go.
        """
        self._question.close(self._topics.close)

    def _look(self) -> _Lag:
        let_in = self._let_in
        return _Lag(sum(place.lag for place in self._topics.lag(self._topic.name, group=self._group)), let_in)


class _Lag(NamedTuple):
    """How far the group is behind, and how many tasks had been let in when that was asked for."""

    lag: int
    let_in: int
