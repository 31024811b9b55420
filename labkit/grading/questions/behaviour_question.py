"""Questions of how code behaves: it is run against a broker while things are done to it, and judged by what happened.

    kind = "behaviour"
    scenario = "worker"                       # another one of SCENARIOS, or module:name of your own
    calls = "work_on_tasks"                   # the function

    [[checks]]
    name = "commits after the work"
    points = 2
    mistake = "A task was committed before it was done."
    fails_by = ["commit before the work"]     # names of labkit/grading/behaviour/mistakes.py

A mistake that is in no list fails every check: what was not tried is not praised. Where one of its list fails it, the
check's own sentence is told too, after what says more.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta
from msgspec.structs import replace

from labkit.errors import (
    BrokerFailed,
    DeadlineExceeded,
    HistoryUnreadable,
    KernelEnded,
    LabkitError,
    SettingsError,
    TransportError,
    UnknownTopic,
)
from labkit.grading.behaviour.behaviour_run import BehaviourRun, RunCut
from labkit.grading.behaviour.bounded_client import BoundedClient
from labkit.grading.behaviour.mistakes import ABUSE, HINTS, TOPIC_GONE, told
from labkit.grading.behaviour.run_history import run_timeline
from labkit.grading.behaviour.scenario import find_scenario
from labkit.grading.question_verdict import Feedback, QuestionVerdict
from labkit.grading.questions.mistake_question import MistakeQuestion
from labkit.grading.questions.question import QUESTION_KINDS, Name
from labkit.grading.run_timeline import RunTimeline
from labkit.grading.solution import GradingBroker, Solution

#: What a submission's broker may do wrong; and so many are tried.
BROKER_FAULTS = (TransportError, BrokerFailed, DeadlineExceeded, HistoryUnreadable)
BROKERS = 2
_FAILED = "ended, or did not answer, while this code ran, and one without it did answer. So nothing could be graded."

log = logging.getLogger("labkit.grading")


class Played(NamedTuple):
    """What went wrong in a run, and what happened in it."""

    found: list[Feedback]
    timeline: RunTimeline | None = None


@QUESTION_KINDS.register
class BehaviourQuestion(MistakeQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function that is called in a scenario. `grows_to`: the topic gets so many partitions while the group works."""

    name: ClassVar[str] = "behaviour"
    hints: ClassVar[Mapping[str, str]] = HINTS

    scenario: str
    calls: Name
    partitions: Annotated[int, Meta(ge=1, le=16)] = 2
    grows_to: Annotated[int, Meta(ge=2, le=32)] | None = None

    @property
    def defines(self) -> str:
        """The function."""
        return self.calls

    def inspect(self) -> None:
        """Raises `BadAssignment` also for a scenario or a mistake that there is not."""
        super().inspect()
        try:
            find_scenario(self.scenario)
        except SettingsError as error:
            raise self.bad(str(error).removesuffix(".")) from error

    def judge(self, solution: Solution) -> QuestionVerdict:
        """The verdict, from a run on the submission's broker. Raises `BrokerFailed` and what else is nobody's fault."""
        try:
            solution.ready()
        except KernelEnded as ended:
            return QuestionVerdict.not_run(self.id, self.points, Feedback("not run", str(ended)))
        found, timeline = self.run(solution)
        seen = {feedback.mistake for feedback in found}
        named = [check.feedback() for check in self.checks if not seen.isdisjoint(check.fails_by)]
        return replace(QuestionVerdict.of_checks(self.id, self.shares(seen), [*found, *named]), timeline=timeline)

    def run(self, solution: Solution) -> Played:
        """All that goes wrong in a run, the causes first.

        A broker that fails may be the machine's fault or the submission's. So it is tried on another one; and if that
        fails too, while a third one without the submission does not, it was the submission. Raises `BrokerFailed` and
        `TransportError` if that one does.
        """
        rng = solution.rng(self.id)
        for _ in range(BROKERS):
            run = BehaviourRun(
                solution,
                solution.broker(),
                rng,
                function=self.calls,
                partitions=self.partitions,
                grows_to=self.grows_to,
                timeout=self.timeout,
            )
            try:
                return self._play(run)
            except BROKER_FAULTS as error:
                if said := _explanation(run.broker, error):
                    return Played(told([*run.found, said]))
                log.warning(
                    "the broker of a submission of %s failed in question %s: %s", solution.student, self.id, error
                )
            solution.renew_broker()
        _must_answer(solution.broker())
        return Played([Feedback(ABUSE, f"{BROKERS} brokers in turn {_FAILED}", HINTS[ABUSE])])

    def _play(self, run: BehaviourRun) -> Played:
        with run:
            with suppress(RunCut):  # what it has found says why
                find_scenario(self.scenario)(run)
            found, sink = run.judge(), run.sink
            workers = (worker.name for worker in run.workers)
            timeline = run_timeline(run.tasks, sink.effects(), sink.marks(), workers=workers, end=sink.now())
            return Played(found, timeline)


def _explanation(broker: GradingBroker, error: LabkitError) -> Feedback | None:
    """What the submission is known to have done to its broker, for which that fails so."""
    with suppress(BrokerFailed):
        if (used_up := broker.used_up()) is not None:
            return Feedback(ABUSE, used_up, HINTS[ABUSE])
    if isinstance(error, UnknownTopic):
        return Feedback(TOPIC_GONE, "The topic of the tasks is not there any more.", HINTS[TOPIC_GONE])
    return None


def _must_answer(broker: GradingBroker) -> None:
    with BoundedClient(broker.connection):  # it has an answer when it is connected
        pass
