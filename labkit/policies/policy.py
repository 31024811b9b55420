"""What a policy sees, what it answers, and what a dispatcher remembers for it between two decisions.

A policy is a pure function of a `View` and the time. It knows nothing of Kafka, of Celery or of clocks, and remembers
nothing: what must be remembered between two decisions comes with the view, and a `Ledger` keeps it. So the very same
object decides in a simulation and on the live system.

The dispatcher asks again after each start and each shed task, until the answer is to do neither.
Seconds may count from any moment, as long as all of them count from the same one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from msgspec import Struct

from labkit.errors import SettingsError
from labkit.parameters import check_fields, check_names
from labkit.registry import LARGEST, SMALLEST, Registry

#: Why a class is held that waits for room only.
FULL = "the queue is full"


@check_names
@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityClass:
    """One class of tasks as it is configured. Raises `SettingsError` for a value that makes no sense.

    `weight`: what `weighted` serves it in proportion to. `share`: the part of all starts, from 0 to 1, that `quota`
    guarantees it. `relative_deadline`: within how many seconds of its arrival a task should begin, for
    `earliest_deadline`. `limit`: how many may wait to be started; what comes on top is shed. None: there is none.
    """

    name: str
    weight: float = 1.0
    share: float = 0.0
    relative_deadline: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        check_fields(self, ranges=False)
        if not self.name.strip():
            raise SettingsError("A class has a name; give it one that is not empty.")
        if not SMALLEST <= self.weight <= LARGEST:
            raise SettingsError(
                f"Class {self.name!r} has the weight {self.weight:g}; give it a number above 0, {LARGEST:g} at most."
            )
        if not 0 <= self.share <= 1:
            raise SettingsError(f"Class {self.name!r} has the share {self.share:g}; give it one from 0 to 1.")
        if self.relative_deadline is not None and not 0 <= self.relative_deadline <= LARGEST:
            raise SettingsError(
                f"Class {self.name!r} has the relative_deadline {self.relative_deadline:g}; make it 0 s or "
                f"more, {LARGEST:g} s at most, or leave it."
            )
        if self.limit is not None and not 0 <= self.limit <= LARGEST:
            raise SettingsError(
                f"Class {self.name!r} has the limit {self.limit}; make it 0 to {LARGEST:g} tasks, or leave it."
            )


class Backlog(Struct, frozen=True, kw_only=True):
    """What waits to be started in one class: how many tasks, and when the first of them arrived and is due.

    `arrived_at` is None if nothing waits; `deadline` also if the class has none. Both in seconds.
    """

    waiting: int
    arrived_at: float | None
    deadline: float | None


class ClassView(Struct, frozen=True, kw_only=True):
    """One class at the moment of a decision. Rank 0 is the most urgent one.

    The fields of its `PriorityClass` and of its `Backlog`, and its `credit` in the ledger: what a policy that shares
    out starts still owes it, in starts, and 0 when its wait began.
    """

    name: str
    rank: int
    waiting: int
    arrived_at: float | None
    deadline: float | None
    weight: float
    share: float
    limit: int | None
    credit: float


class View(Struct, frozen=True, kw_only=True):
    """All that a decision rests on.

    `classes` in rank order. `taken`: started and not finished, which is what waits in Celery and what is taken but not
    acknowledged; `capacity`: how much of that there may be. `last`: the class started last, None at the beginning.
    """

    classes: tuple[ClassView, ...]
    taken: int
    capacity: int
    last: str | None

    @property
    def full(self) -> bool:
        """Whether there is no room to start another task."""
        return self.taken >= self.capacity

    @property
    def backlogged(self) -> tuple[ClassView, ...]:
        """The classes in which a task waits, most urgent first."""
        return tuple(one for one in self.classes if one.waiting)

    @property
    def startable(self) -> tuple[ClassView, ...]:
        """The classes of which a task can be started now: those in which one waits, if there is room."""
        return () if self.full else self.backlogged


class Decision(Struct, frozen=True, kw_only=True):
    """What to do now.

    `start`: the class whose first task is to be started, or None. `held`: why, for each other class that waits.
    `shed`: the classes that are to drop their newest task, one each; none as long as something can be started.
    `credits`: what the ledger owes from then on, for the classes where it changes.
    """

    start: str | None
    held: Mapping[str, str]
    shed: tuple[str, ...] = ()
    credits: Mapping[str, float] = {}


class Policy(Protocol):
    """Which class is served next. Made by `make_policy`; its options are the fields of its class."""

    #: As in `labkit dispatch --policy`.
    name: ClassVar[str]

    def decide(self, view: View, now: float) -> Decision:
        """What to do at the time `now`, in seconds. Pure: the same view and time give the same decision."""
        ...


def start(view: View, chosen: ClassView, others: str, owed: Mapping[str, float] | None = None) -> Decision:
    """Start the first task of `chosen`; `others` says why the other classes that wait are held, `owed` what changes."""
    held = {one.name: others for one in view.classes if one.waiting and one is not chosen}
    return Decision(start=chosen.name, held=held, credits=owed or {})


def hold(view: View) -> Decision:
    """Start nothing, for lack of room if anything waits. Who has more waiting than its limit sheds the newest."""
    waiting = view.backlogged
    shed = tuple(one.name for one in waiting if one.limit is not None and one.waiting > one.limit)
    return Decision(start=None, held={one.name: FULL for one in waiting}, shed=shed)


#: The class of each policy by its name. Its docstring tells what it does, its fields are its options.
POLICIES: Registry[Policy] = Registry("policy", group="labkit.policies", methods=("decide",))


class Ledger:
    """The memory of one dispatcher, which makes the views its policy decides on.

    It lives as long as the dispatcher: a new one begins with nothing owed. A class with nothing to do is owed nothing,
    so nobody saves up for later.
    """

    def __init__(self, classes: Sequence[PriorityClass]) -> None:
        """`classes` in rank order, most urgent first. Raises `SettingsError` if they do not go together."""
        _must_go_together(classes)
        self.classes = tuple(classes)
        self._credits = dict.fromkeys((one.name for one in classes), 0.0)
        self._last: str | None = None

    def view(self, backlogs: Sequence[Backlog], *, taken: int, capacity: int) -> View:
        """The view of these backlogs, one per class in rank order. What is owed to a class without any lapses.

        Raises ValueError if there is not one backlog per class.
        """
        for known, backlog in zip(self.classes, backlogs, strict=True):
            if not backlog.waiting:
                self._credits[known.name] = 0.0
        views = (self._class_view(rank, backlog) for rank, backlog in enumerate(backlogs))
        return View(classes=tuple(views), taken=taken, capacity=capacity, last=self._last)

    def note(self, decision: Decision) -> None:
        """The decision has been carried out: what it started is on its way."""
        if decision.start is not None:
            self._last = decision.start
            self._credits.update(decision.credits)

    def _class_view(self, rank: int, backlog: Backlog) -> ClassView:
        known = self.classes[rank]
        return ClassView(
            name=known.name,
            rank=rank,
            waiting=backlog.waiting,
            arrived_at=backlog.arrived_at,
            deadline=backlog.deadline,
            weight=known.weight,
            share=known.share,
            limit=known.limit,
            credit=self._credits[known.name],
        )


def _must_go_together(classes: Sequence[PriorityClass]) -> None:
    if not classes:
        raise SettingsError("There is no priority class; name at least one.")
    twice = [name for name, times in Counter(one.name for one in classes).items() if times > 1]
    if twice:
        raise SettingsError(f"There are two priority classes named {twice[0]!r}; give each a name of its own.")
    shares = math.fsum(one.share for one in classes)
    if shares > 1:
        raise SettingsError(f"The shares of the classes add up to {shares:g}; nobody can be guaranteed more than all.")
