"""Questions of how code behaves: it is run against a broker while things are done to it, and judged by what happened.

    kind = "behaviour"
    scenario = "worker"                       # or "producer" or "group": see labkit/grading/behaviour
    calls = "work_on_tasks"                   # the function

    [[checks]]
    name = "commits after the work"
    points = 2
    mistake = "A task was committed before it was done."
    fails_by = ["commit before the work"]     # names of labkit/grading/behaviour/mistakes.py

A mistake that is in no list fails every check: what was not tried is not praised.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, ClassVar

from msgspec import Meta

from labkit.errors import KernelEnded, TransportError
from labkit.grading.behaviour.behaviour_run import BehaviourRun, RunCut
from labkit.grading.behaviour.group_scenario import play_group
from labkit.grading.behaviour.mistakes import HINTS, told
from labkit.grading.behaviour.producer_scenario import play_producer
from labkit.grading.behaviour.worker_scenario import play_worker
from labkit.grading.question_verdict import Feedback, QuestionVerdict
from labkit.grading.questions.question import QUESTION_KINDS, Check, Name, Question
from labkit.grading.solution import Solution

#: What is played, by name.
SCENARIOS: dict[str, Callable[[BehaviourRun], None]] = {
    "producer": play_producer,
    "worker": play_worker,
    "group": play_group,
}


class BehaviourCheck(Check, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check that fails by these mistakes."""

    fails_by: Annotated[tuple[str, ...], Meta(min_length=1)]


@QUESTION_KINDS.register
class BehaviourQuestion(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function that is called in a scenario. `grows_to`: the topic gets so many partitions while the group works."""

    name: ClassVar[str] = "behaviour"

    scenario: str
    calls: Name
    partitions: Annotated[int, Meta(ge=1, le=16)] = 2
    grows_to: Annotated[int, Meta(ge=2, le=32)] | None = None
    checks: Annotated[tuple[BehaviourCheck, ...], Meta(min_length=1)]

    def inspect(self) -> None:
        """Raises `BadAssignment` also for a scenario or a mistake that there is not."""
        super().inspect()
        if self.scenario not in SCENARIOS:
            raise self.bad(f"there is no scenario {self.scenario!r}; there are {', '.join(SCENARIOS)}")
        for check in self.checks:
            for mistake in check.fails_by:
                if mistake not in HINTS:
                    raise self.bad(f"no mistake has the name {mistake!r}; there are {', '.join(HINTS)}")

    def judge(self, solution: Solution) -> QuestionVerdict:
        """The verdict, from a run on the submission's broker. Raises `BrokerFailed` and what else is nobody's fault."""
        try:
            solution.ready()
        except KernelEnded as ended:
            return QuestionVerdict.not_run(self.id, self.points, Feedback("not run", str(ended)))
        found = self.run(solution)
        listed = {mistake for check in self.checks for mistake in check.fails_by}
        seen = {feedback.mistake for feedback in found}
        points = [(check.points, seen.isdisjoint(check.fails_by) and seen <= listed) for check in self.checks]
        return QuestionVerdict.of_checks(self.id, points, found)

    def run(self, solution: Solution) -> list[Feedback]:
        """All that goes wrong in a run, the causes first."""
        run = BehaviourRun(
            solution,
            solution.broker(),
            solution.rng(self.id),
            function=self.calls,
            partitions=self.partitions,
            grows_to=self.grows_to,
            timeout=self.timeout,
        )
        try:
            with run:
                with suppress(RunCut):  # what it has found says why
                    SCENARIOS[self.scenario](run)
                return run.judge()
        except TransportError as error:
            run.failure(error)
            return told(run.found)
