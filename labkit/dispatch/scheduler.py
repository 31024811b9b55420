"""Which tasks of a dispatcher go to Celery next: the policy is asked, and its answers are carried out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from labkit.celery_app.capacity import Count
from labkit.celery_app.envelope import check_for_celery
from labkit.celery_app.kinds import handler_of
from labkit.dispatch.answer_watch import AnswerWatch
from labkit.dispatch.class_status import ClassCounts
from labkit.dispatch.intake import Intake
from labkit.errors import LabkitError, UnfitForCelery, UnknownKind
from labkit.policies import Decision, Ledger, Policy, View
from labkit.taskqueue.engine.failure import describe_with_place
from labkit.taskqueue.engine.work_item import WorkItem

#: How many tasks go to Celery at once, at most: what two dispatchers together may send too many.
BATCH = 50


class Scheduler:
    """Takes from the lines of the `intakes`, by the names of their classes in rank order, what its policy starts.

    What the policy sheds, and what Celery can do nothing with, ends here and is counted. Used from one thread, but for
    `use`. `measure` is the clock by which the intakes measure: one that is never set.
    """

    def __init__(
        self,
        intakes: Mapping[str, Intake],
        ledger: Ledger,
        policy: Policy,
        counts: ClassCounts,
        measure: Callable[[], float],
    ) -> None:
        self._intakes = intakes
        self._by = policy, ledger
        self._counts = counts
        self._measure = measure
        self._watch = AnswerWatch(measure)

    def look(self) -> None:
        """Say in the log if the policy does not decide; to be called again and again, from another thread."""
        self._watch.look(f"The policy {self._by[0].name!r}")

    def use(self, policy: Policy) -> None:
        """Decide by this policy from now on; what the one before owed lapses."""
        _, ledger = self._by
        self._by = policy, Ledger(ledger.classes)

    def choose(self, count: Count, *, is_full: bool) -> list[tuple[str, WorkItem]]:
        """Ask the policy until it starts and sheds nothing more, a batch at most.

        `is_full`: Celery granted less than was wanted. Otherwise what is granted says nothing of what came meanwhile.
        """
        chosen: list[tuple[str, WorkItem]] = []
        capacity = count.taken + count.granted
        policy, ledger = self._by
        for _ in range(BATCH):
            view = self._view(ledger, taken=count.taken + len(chosen), capacity=capacity)
            if view.full and view.backlogged and not is_full:
                break
            decision = self._watch.ask(_decision, policy, view, self._measure())
            self._counts.held = decision.held
            if decision.start is None:
                if chosen or not decision.shed:
                    break  # who was chosen does not wait while others are dropped
                self._drop(decision)
                continue
            item = self._intakes[decision.start].line.take_first()
            if item is None:
                break  # its partitions are being taken away
            if self._fits(decision.start, item):
                ledger.note(decision)
                chosen.append((decision.start, item))
        return chosen

    def _view(self, ledger: Ledger, *, taken: int, capacity: int) -> View:
        backlogs = [self._intakes[known.name].backlog(known) for known in ledger.classes]
        return ledger.view(backlogs, taken=taken, capacity=capacity)

    def _drop(self, decision: Decision) -> None:
        for name in decision.shed:
            intake = self._intakes[name]
            item = intake.line.take_last()
            if item is not None:
                intake.attempts.shed(item, f"more waited than {name!r} may have waiting")
                self._counts.shed[name] += 1

    def _fits(self, name: str, item: WorkItem) -> bool:
        """Whether Celery can do something with it; what it cannot becomes a dead letter."""
        intake = self._intakes[name]
        task = intake.attempts.begin(item)
        if task is not None:
            try:
                handler_of(task.kind)
                check_for_celery(task)
                return True
            except (UnknownKind, UnfitForCelery) as error:
                intake.attempts.refuse(item, error, deliveries=1)
                intake.line.done(item)
        self._counts.dead[name] += 1
        return False


def _decision(policy: Policy, view: View, now: float) -> Decision:
    """What it decides; raises `LabkitError` where one of somebody else's raises, or decides what cannot be done."""
    try:
        decision = policy.decide(view, now)
    except Exception as error:
        raise LabkitError(f"The policy {policy.name!r} raised {describe_with_place(error)}.") from error
    if not isinstance(decision, Decision):
        raise LabkitError(f"The policy {policy.name!r} returned a {type(decision).__name__}; give a Decision.")
    if not (isinstance(decision.held, Mapping) and isinstance(decision.shed, tuple | list)):
        raise LabkitError(f"The policy {policy.name!r} returned {decision!r:.200}; `held` is a dict, `shed` a tuple.")
    if not _can_be_owed(decision.credits, view):
        raise LabkitError(
            f"The policy {policy.name!r} returned the credits {decision.credits!r:.80}; give a number for each class."
        )
    waiting = {one.name for one in view.backlogged}
    for name in (*([] if decision.start is None else [decision.start]), *decision.shed):
        if name not in waiting:
            raise LabkitError(f"The policy {policy.name!r} chose the class {name!r}, in which no task waits.")
    return decision


def _can_be_owed(owed: object, view: View) -> bool:
    if not isinstance(owed, Mapping):
        return False
    if not owed:  # so it is for most policies
        return True
    known = {one.name for one in view.classes}
    return all(
        name in known and isinstance(credit, int | float) and math.isfinite(credit) for name, credit in owed.items()
    )
