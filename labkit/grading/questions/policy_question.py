"""Questions about a policy: the student's function decides, step by step, in simulations that are run outside.

    kind = "policy"
    calls = "decide"                # the function: see `labkit.policies.Policy.decide`
    every = 4                       # while both classes wait, one of so many starts is promised to low
    …
    [[checks]]
    name = "low does not starve"
    fails_by = ["low starves"]      # names of labkit/grading/questions/policy_run.py; the first is what it is about
    …
    [[mistakes]]
    name = "strict priority"
    policy = "strict"               # a policy of labkit that makes this mistake, with its options and weights
    sentence = "…"

The function gets the view as JSON holds it, and is to return the decision so: a cell of the notebook may translate. A
mistake that is in no list fails every check. A known mistake is named where the function starts the very same tasks as
the policy that makes it, or shares them out as unfairly by its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from labkit.errors import KernelEnded, SettingsError
from labkit.grading.question_verdict import MAX_TEXT, Feedback, QuestionVerdict
from labkit.grading.questions.mistake_question import MistakeCheck, MistakeQuestion
from labkit.grading.questions.policy_run import (
    HINTS,
    NOT_DECIDED,
    UNFAIR,
    AskedPolicy,
    Decided,
    Load,
    PolicyFailed,
    changes_in,
    draw_loads,
    faults_in,
    plain_arguments,
    play,
    share_alike,
    slow,
)
from labkit.grading.questions.question import QUESTION_KINDS, Name, Sentence
from labkit.grading.sandbox.kernel import Answer
from labkit.grading.solution import Solution
from labkit.policies import Policy, View, make_policy


class KnownPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy of labkit that is a mistake here: its name there, what it is called here, and what students are told."""

    name: Name
    sentence: Sentence
    hint: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    policy: str
    options: dict[str, float] = {}
    weights: dict[str, float] = {}

    def feedback(self) -> Feedback:
        """What a student is told whose function decides like it."""
        return Feedback(self.name, self.sentence, self.hint)

    def decided(self, loads: Sequence[Load]) -> list[Decided]:
        """What it decides. Raises `SettingsError` where there is no such policy."""
        decided: list[Decided] = []
        play(make_policy(self.policy, **self.options), loads, decided, self.weights)
        return decided


@QUESTION_KINDS.register
class PolicyQuestion(MistakeQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is next?"""

    name: ClassVar[str] = "policy"
    hints: ClassVar[Mapping[str, str]] = HINTS

    calls: Name
    every: Annotated[int, Meta(ge=2, le=6)]  # with less for low, the loads are too short to tell one too few
    mistakes: tuple[KnownPolicy, ...] = ()

    @property
    def defines(self) -> str:
        """The function."""
        return self.calls

    def inspect(self) -> None:
        """As for all; every policy can be made."""
        super().inspect()
        self.unique("mistake", (mistake.name for mistake in self.mistakes))
        for known in self.mistakes:
            try:
                make_policy(known.policy, **known.options)
            except SettingsError as error:
                raise self.bad(f"the mistake {known.name!r} has no policy. {error}") from error

    def judge(self, solution: Solution) -> QuestionVerdict:
        """The verdict on what the function decided."""
        loads = draw_loads(solution.rng(self.id))
        try:
            solution.ready()
            decided, found = self.run(solution, loads)
        except KernelEnded as ended:
            return QuestionVerdict.not_run(self.id, self.points, Feedback("not run", str(ended)))
        seen = {feedback.mistake for feedback in found}
        known = self._known(decided, loads, seen) if seen else []
        failed = [check.feedback() for check in self.checks if check.fails_by[0] in seen]
        return QuestionVerdict.of_checks(self.id, self.shares(seen), [*known, *found, *failed])

    def run(self, solution: Solution, loads: Sequence[Load]) -> tuple[list[Decided], list[Feedback]]:
        """What it decides until it fails, and what is wrong with it, the causes first. Of one that decides otherwise
        when it is asked again, nothing else is certain. It is asked again in another process, which remembers nothing
        of the first one. Raises `KernelEnded` if the submission has used up its time before.
        """
        end, asked = solution.clock() + self.timeout, 0

        def ask(view: View, now: float) -> Answer:
            nonlocal asked
            left, asked = end - solution.clock(), asked + 1
            if left <= 0:
                raise PolicyFailed(slow(asked, self.timeout))
            try:
                return solution.call(self.calls, plain_arguments(view, now), timeout=left)
            except KernelEnded as ended:
                late = solution.clock() >= end
                failed = slow(asked, self.timeout) if late else Feedback(NOT_DECIDED, str(ended))
                raise PolicyFailed(failed) from ended

        policy: Policy = AskedPolicy(ask)
        decided: list[Decided] = []
        try:
            play(policy, loads, decided)
            paused = solution.clock()
            solution.afresh()
            solution.ready()
            end += solution.clock() - paused
            return decided, changes_in(decided, policy) or faults_in(decided, loads, self.every)
        except PolicyFailed as failed:
            return decided, [failed.feedback]

    def broken_by(self, known: KnownPolicy, loads: Sequence[Load]) -> list[MistakeCheck]:
        """The checks that this mistake fails."""
        seen = {feedback.mistake for feedback in faults_in(known.decided(loads), loads, self.every)}
        return [check for check in self.checks if not seen.isdisjoint(check.fails_by)]

    def _known(self, decided: Sequence[Decided], loads: Sequence[Load], seen: set[str]) -> list[Feedback]:
        """The mistake that explains every start, else the one that shares them out as unfairly."""
        made = [(known, known.decided(loads)) for known in self.mistakes]
        starts = [one.start for one in decided]
        same = [known for known, theirs in made if [one.start for one in theirs] == starts]
        if not same and seen & UNFAIR:
            same = [known for known, theirs in made if known.weights and share_alike(decided, theirs)]
        return [known.feedback() for known in same][:1]
