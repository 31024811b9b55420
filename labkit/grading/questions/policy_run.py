"""A policy's run under the simulated clock: what a student's function decides, step by step, and what is wrong with it.

There are two classes, `high` and `low`. The tasks come in three ways: in a rush in which both wait all the time, so few
that places stay empty, and low ones after a long time without any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import ClassVar, NamedTuple

from msgspec import Struct, ValidationError, to_builtins

from labkit.grading.question_verdict import Feedback, quoted
from labkit.grading.sandbox.kernel import Answer, CodeError, Returned
from labkit.policies import Decision, Policy, PriorityClass, View
from labkit.typed_values import typed

#: The classes, in rank order.
HIGH, LOW = "high", "low"
#: How many starts a class may be behind or ahead of what was promised.
SLACK = 2.0
#: Two policies share out starts alike if in their first so many, at least, low has had as many, to this difference.
FEWEST, MOST, DIFFERENCE = 16, 40, 1
#: Every so many of the decisions, the function is asked again.
ASKED_AGAIN = 7

NOT_DECIDED = "no decision"
NOBODY_WAITS = "starts what does not wait"
SHEDS = "sheds tasks"
SLOW = "waits or sleeps"
BEYOND = "starts beyond the room"
STARVES = "low starves"
TOO_LITTLE = "low gets too little"
HIGH_STARVES = "high starves"
TOO_MUCH = "high pays too much"
LEFT = "tasks never started"
EMPTY = "room left empty"
CHANGES = "another answer each time"

#: Those by which a class gets other starts than were promised.
UNFAIR = {STARVES, TOO_LITTLE, HIGH_STARVES, TOO_MUCH}

#: The mistakes by name, in the order in which they are told, and what may help.
HINTS: dict[str, str] = {
    NOT_DECIDED: "Return what start(view, chosen, why) or hold(view) makes, in every case.",
    NOBODY_WAITS: "view.startable has the classes of which a task can be started now.",
    SHEDS: "No class here has a limit, so no task is to be dropped.",
    SLOW: "It is asked again when something has changed: where nothing can be started, return hold(view) at once.",
    BEYOND: "Where view.full, nothing is to be started: return hold(view).",
    LEFT: "hold(view) is for a view of which view.startable is empty: where nothing runs, nobody asks again.",
    STARVES: "Count what was started since the last low task, and keep the count in `credits`.",
    TOO_LITTLE: "Of so many starts all but one may be high ones: count from 0 when low has had its turn.",
    HIGH_STARVES: "High is the urgent class: low has its turn, and high all others.",
    TOO_MUCH: "Start low when it is its turn, and high in all other cases.",
    EMPTY: "As long as view.startable is not empty, start one of those classes.",
    CHANGES: "Use `view` and `now` alone: what must be remembered goes into `credits` and comes back as `credit`.",
}


class Load(NamedTuple):
    """Tasks that come: their ranks, when each comes, and how long each takes, both in seconds."""

    rank: list[int]
    scheduled_at: list[float]
    service: list[float]
    capacity: int


class Decided(NamedTuple):
    """What was decided on a view: the class that was started, or none."""

    view: View
    now: float
    start: str | None

    @property
    def both_wait(self) -> bool:
        """Whether a task of each class waited."""
        return len(self.view.backlogged) == len(self.view.classes)


class SaidDecision(Struct, frozen=True, kw_only=True):
    """What is taken of a decision as the function has returned it. A credit is of any size, as JSON has it."""

    start: str | None
    shed: tuple[str, ...] = ()
    credits: dict[str, int | float] = {}

    def owed(self) -> dict[str, float]:
        """The credits of the classes. Raises ValueError if one of them is no finite number."""
        owed = {}
        for name in self.credits.keys() & {HIGH, LOW}:
            try:
                owed[name] = float(self.credits[name])
            except OverflowError:
                owed[name] = math.inf
            if not math.isfinite(owed[name]):
                raise ValueError(f"the credit of {name} is {quoted(self.credits[name])}")
        return owed


class PolicyFailed(Exception):
    """The function has not decided, so the run is over."""

    def __init__(self, feedback: Feedback) -> None:
        super().__init__(feedback)
        self.feedback = feedback


class AskedPolicy:
    """Keeps `Policy`, by asking the student's function, of whose word only what starts and what is owed is taken."""

    name: ClassVar[str] = "asked"

    def __init__(self, ask: Callable[[View, float], Answer]) -> None:
        self._ask = ask

    def decide(self, view: View, now: float) -> Decision:
        """As `Policy` says. Raises `PolicyFailed`."""
        answer = self._ask(view, now)
        if not isinstance(answer, Returned):
            said = answer.last_line if isinstance(answer, CodeError) else answer.why
            where = f" in line {answer.line}" if isinstance(answer, CodeError) and answer.line is not None else ""
            mistake = SLOW if said.startswith(TimeoutError.__name__) else NOT_DECIDED  # so the cell that calls it says
            raise _failed(mistake, f"With {_words(view)} it did not decide{where}: {said}")
        try:
            decision = typed(answer.value, SaidDecision)
            owed = decision.owed()
        except ValidationError:
            raise _failed(NOT_DECIDED, f"With {_words(view)} it returned {quoted(answer.value)}.") from None
        except ValueError as error:
            raise _failed(NOT_DECIDED, f"With {_words(view)} it decided, and {error}.") from None
        if decision.start is not None and decision.start not in {one.name for one in view.backlogged}:
            raise _failed(NOBODY_WAITS, f"With {_words(view)} it started {quoted(decision.start)}.")
        if decision.shed:
            raise _failed(SHEDS, f"With {_words(view)} it dropped a task.")
        return Decision(start=decision.start, held={}, credits=owed)


class _NotedPolicy:
    name: ClassVar[str] = "noted"

    def __init__(self, policy: Policy, decided: list[Decided]) -> None:
        self._policy, self._decided = policy, decided

    def decide(self, view: View, now: float) -> Decision:
        decision = self._policy.decide(view, now)
        self._decided.append(Decided(view, now, decision.start))
        return decision


def draw_loads(rng: Random) -> list[Load]:
    """The three loads."""
    rush = [(rng.uniform(0, 0.1), 0) for _ in range(12)] + [(rng.uniform(0, 28), 0) for _ in range(68)]
    rush += [(rng.uniform(0, 0.1), 1) for _ in range(14)] + [(rng.uniform(0, 15), 1) for _ in range(12)]
    calm = [(rng.uniform(0, 40), rank) for rank in [0] * 20 + [1] * 14]
    calm += [(45.0 + rng.random(), 1) for _ in range(6)] + [(60.0 + rng.random(), 0) for _ in range(6)]
    late = [(rng.uniform(0, 1), 0) for _ in range(20)] + [(rng.uniform(0, 30), 0) for _ in range(60)]
    late += [(16.0 + rng.uniform(0, 0.1), 1) for _ in range(10)]
    return [_load(tasks, rng) for tasks in (rush, calm, late)]


def play(
    policy: Policy, loads: Sequence[Load], decided: list[Decided], weights: dict[str, float] | None = None
) -> None:
    """Let the policy decide for each load; what it decides is added to the list, also where it raises in the middle."""
    from labkit.simulate.dispatch import simulate_dispatch  # pandas takes its time, and few need it

    classes = [PriorityClass(name=name, weight=(weights or {}).get(name, 1.0)) for name in (HIGH, LOW)]
    for load in loads:
        simulate_dispatch(
            _NotedPolicy(policy, decided),
            classes,
            rank=load.rank,
            scheduled_at=load.scheduled_at,
            service=load.service,
            servers=load.capacity,
            capacity=load.capacity,
        )


def faults_in(decided: Sequence[Decided], loads: Sequence[Load], every: int) -> list[Feedback]:
    """What is wrong with these decisions, where one of `every` starts is promised to low while both classes wait."""
    found = []
    for one in decided:
        if one.start is not None and one.view.full:
            found.append(_told(BEYOND, f"With {_words(one.view)} it started a {one.start} task."))
            break
    left = sum(len(load.rank) for load in loads) - sum(one.start is not None for one in decided)
    if left:
        found.append(_told(LEFT, f"{left} tasks were never started, although all that ran had come to its end."))
    found += _unfair(decided, every)
    for one in decided:
        if one.start is None and one.view.startable:
            found.append(_told(EMPTY, f"With {_words(one.view)} it started nothing."))
            break
    return found


def changes_in(decided: Sequence[Decided], policy: Policy) -> list[Feedback]:
    """Whether the policy decides otherwise when it is asked again, in another order. Raises `PolicyFailed`."""
    for one in reversed(decided[::ASKED_AGAIN]):
        if (again := policy.decide(one.view, one.now).start) != one.start:
            said = f"With {_words(one.view)} it started {one.start or 'nothing'}, and when asked again"
            return [_told(CHANGES, f"{said} {again or 'nothing'}.")]
    return []


def share_alike(decided: Sequence[Decided], others: Sequence[Decided]) -> bool:
    """Whether low has had as many of the first starts for which both classes waited, whoever began."""
    counts = []
    for one in (decided, others):
        starts = next((run for run in _shared_starts(one) if len(run) >= FEWEST), [])
        counts.append(list(accumulate(start.start == LOW for start in starts[:MOST])))
    return all(counts) and all(abs(mine - theirs) <= DIFFERENCE for mine, theirs in zip(*counts, strict=False))


def slow(asked: int, timeout: float) -> Feedback:
    """What is told where the time is over."""
    said = f"It was asked {asked} times, and had not decided all within {timeout:g} s: a policy decides at once."
    return _told(SLOW, said)


def plain_arguments(view: View, now: float) -> list[object]:
    """The view and the time, as JSON can hold them."""
    return [to_builtins(view), now]


def _unfair(decided: Sequence[Decided], every: int) -> list[Feedback]:
    found: dict[str, Feedback] = {}
    for starts in _shared_starts(decided):
        for first in range(len(starts)):
            low = 0
            for count, one in enumerate(starts[first:], start=1):
                low += one.start == LOW
                mistake = _unfairness(count, low, every)
                if mistake is not None and mistake not in found:
                    said = f"Of {count} starts in a row while both classes waited, low had {low}"
                    found[mistake] = _told(mistake, f"{said}; one of every {every} was promised.")
    for starving, behind in ((STARVES, TOO_LITTLE), (HIGH_STARVES, TOO_MUCH)):
        if starving in found:
            found.pop(behind, None)
    return list(found.values())


def _unfairness(count: int, low: int, every: int) -> str | None:
    """A class starves that gets less than half of what was promised, with half of the slack."""
    promised = count / every
    if promised - low > SLACK:
        return STARVES if promised / 2 - low > SLACK / 2 else TOO_LITTLE
    if low - promised > SLACK:
        return HIGH_STARVES if (count - promised) / 2 - (count - low) > SLACK / 2 else TOO_MUCH
    return None


def _shared_starts(decided: Sequence[Decided]) -> Iterator[list[Decided]]:
    """The starts between which both classes waited all the time."""
    starts: list[Decided] = []
    for one in decided:
        if not one.both_wait:
            yield starts
            starts = []
        elif one.start is not None:
            starts.append(one)
    yield starts


def _load(tasks: list[tuple[float, int]], rng: Random) -> Load:
    tasks.sort()
    service = [rng.uniform(0.5, 1.5) for _ in tasks]
    return Load([rank for _, rank in tasks], [round(at, 3) for at, _ in tasks], service, capacity=2)


def _words(view: View) -> str:
    waiting = " and ".join(f"{one.waiting} {one.name}" for one in view.classes)
    return f"{waiting} tasks waiting and {view.taken} of {view.capacity} places taken"


def _told(mistake: str, sentence: str) -> Feedback:
    return Feedback(mistake, sentence, HINTS[mistake])


def _failed(mistake: str, sentence: str) -> PolicyFailed:
    return PolicyFailed(_told(mistake, sentence))
