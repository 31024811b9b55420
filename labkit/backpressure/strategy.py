"""What a strategy against a growing queue sees and what it answers: its agreement with whoever keeps admission.

A strategy is a pure function of a `QueueView`, of its own state and of the time. It knows nothing of Kafka, of Celery
or of clocks; its state is handed in and out, and an `AdmissionState` keeps it. So the very same object decides in a
simulation and on the live system, at the producer, at the worker or where tasks are admitted.

Seconds may count from any moment, as long as all of them count from the same one.
"""

from __future__ import annotations

from enum import StrEnum
from threading import TIMEOUT_MAX
from typing import Any, ClassVar, Final, Generic, Protocol, Self, TypeVar

from msgspec import Struct

from labkit.errors import LabkitError, NotAccepted
from labkit.registry import Registry

#: What a strategy remembers from one judgement to the next: a frozen struct, or None if there is nothing.
S = TypeVar("S")


class Action(StrEnum):
    """What is to happen to the task at admission.

    `ADMIT`: let it in. `WAIT`: it and what is behind it wait, and the strategy is asked again. `REFUSE`: its sender is
    told. `SHED_NEWEST`: drop it. `SHED_LOWEST`: let it in, and drop the newest of the lowest class that waits. `SPILL`:
    put it on a topic for later.
    """

    ADMIT = "admit"
    WAIT = "wait"
    REFUSE = "refuse"
    SHED_NEWEST = "shed_newest"
    SHED_LOWEST = "shed_lowest"
    SPILL = "spill"


class QueueView(Struct, frozen=True, kw_only=True):
    """All that a judgement rests on, besides the state and the time.

    `lag`: how many tasks are behind admission and not finished, waiting or in work, as Kafka counts it. `rank`: the
    class of the task at admission; 0 is the most urgent. `lowest`: the largest rank of those that wait behind admission
    and are not begun, None if none waits. `answered`: how many tasks were finished since the last judgement, and
    `latency`: how many seconds they took on average from being let in, None if there was none.
    """

    lag: int
    rank: int = 0
    lowest: int | None = None
    answered: int = 0
    latency: float | None = None


class AdmissionDecision(Struct, frozen=True, kw_only=True):
    """What to do with the task, why, and for `Action.WAIT` after how many `seconds`, above 0, to ask again."""

    action: Action
    reason: str = ""
    seconds: float = 0.0

    def or_raise(self) -> Self:
        """This verdict; a refusal is raised as `NotAccepted`, for the sender to hear of it."""
        if self.action is Action.REFUSE:
            raise NotAccepted(f"The task was not accepted: {self.reason}. Send it again later, or raise the limit.")
        return self


class Strategy(Protocol[S]):
    """What to do where a queue grows. Made by `make_strategy`; its options are the fields of its class."""

    #: As in `labkit produce --backpressure` and `labkit dispatch --admission`.
    name: ClassVar[str]

    def begin(self) -> S:
        """The state at the beginning."""
        ...

    def judge(self, sight: QueueView, state: S, now: float) -> tuple[AdmissionDecision, S]:
        """What to do with the task at admission at the time `now`, in seconds, and the state from then on. Pure."""
        ...


#: The verdict of which there is nothing more to say.
ADMITTED: Final = AdmissionDecision(action=Action.ADMIT)


def wait(seconds: float, reason: str) -> AdmissionDecision:
    """Ask again in so many seconds, for this reason."""
    return AdmissionDecision(action=Action.WAIT, reason=reason, seconds=seconds)


def too_many(sight: QueueView, limit: float) -> str:
    """The reason for turning a task away where there is a limit."""
    return f"{sight.lag:,} tasks are not finished, and the limit is {limit:,g}"


#: The class of each strategy by its name. Its docstring tells what it does, its fields are its options.
STRATEGIES: Registry[Strategy[Any]] = Registry("strategy", group="labkit.strategies", methods=("begin", "judge"))


class AdmissionState(Generic[S]):
    """The memory of one admission, live or simulated. One thread at a time may use it."""

    def __init__(self, strategy: Strategy[S]) -> None:
        self.strategy = strategy
        #: What the strategy remembers; for `aimd` it holds the limit of the moment.
        self.state: S = strategy.begin()
        self._answers = 0
        self._latencies = 0.0

    def answered(self, latency: float) -> None:
        """A task was finished, `latency` seconds after it was let in."""
        self._answers += 1
        self._latencies += latency

    def judge(self, now: float, *, lag: int, rank: int = 0, lowest: int | None = None) -> AdmissionDecision:
        """What to do with the task at admission at the time `now`; the other arguments are those of `QueueView`.

        The verdict must be carried out: a task that is admitted counts as let in. Raises `LabkitError` where a strategy
        of somebody else's answers what cannot be carried out; its state is as before then.
        """
        sight = QueueView(
            lag=lag,
            rank=rank,
            lowest=lowest,
            answered=self._answers,
            latency=self._latencies / self._answers if self._answers else None,
        )
        answer = self.strategy.judge(sight, self.state, now)
        if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], AdmissionDecision)):
            raise LabkitError(
                f"The strategy {self.strategy.name!r} returned {answer!r:.80}; give an AdmissionDecision and the state "
                "from then on."
            )
        verdict, state = answer
        _must_be_possible(self.strategy.name, verdict, sight)
        self._answers, self._latencies, self.state = 0, 0.0, state
        return verdict


def _must_be_possible(name: str, verdict: AdmissionDecision, sight: QueueView) -> None:
    seconds = verdict.seconds
    if verdict.action is Action.ADMIT:  # so it is for nearly all tasks
        return
    if not isinstance(verdict.action, Action):  # a text that equals one would be carried out as another
        raise LabkitError(f"The strategy {name!r} decided {verdict.action!r:.80}; give an Action, as Action.ADMIT.")
    if not isinstance(verdict.reason, str):
        raise LabkitError(f"The strategy {name!r} gave {verdict.reason!r:.80} as its reason; give a text.")
    if verdict.action is Action.WAIT and not (isinstance(seconds, int | float) and 0 < seconds <= TIMEOUT_MAX):
        raise LabkitError(f"The strategy {name!r} says to wait {seconds!r:.80} s; give a number above 0.")
    if verdict.action is Action.SHED_LOWEST and sight.lowest is None:
        raise LabkitError(f"The strategy {name!r} decided 'shed_lowest' where no task waits that could be dropped.")
