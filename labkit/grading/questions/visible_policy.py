"""What students are given of a question about a policy: what its visible checks fail by, and the mistakes that these
show. The simulations are run as they are for the grade; what only hidden checks are about is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Self

from msgspec.structs import asdict, replace

from labkit.grading.question_verdict import Feedback
from labkit.grading.questions.policy_question import PolicyQuestion
from labkit.grading.questions.policy_run import HINTS, Decided, Load, draw_loads
from labkit.grading.questions.question import VISIBLE_KINDS
from labkit.grading.solution import Solution


@VISIBLE_KINDS.register
class VisiblePolicy(PolicyQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The visible checks of a question about a policy."""

    @classmethod
    def for_students(cls, question: PolicyQuestion) -> Self | None:
        """As `Question` says. The checks list what is in no list of the question, too, since it fails them all."""
        listed = {mistake for check in question.checks for mistake in check.fails_by}
        everywhere = tuple(mistake for mistake in HINTS if mistake not in listed)
        visible = tuple(check for check in question.checks if check.visible)
        if not visible:
            return None
        loads = draw_loads(Random(question.id))
        shown = tuple(
            known for known in question.mistakes if any(check in visible for check in question.broken_by(known, loads))
        )
        checks = tuple(replace(check, fails_by=(*check.fails_by, *everywhere)) for check in visible)
        return cls(**(asdict(question) | {"checks": checks, "mistakes": shown}))

    def run(self, solution: Solution, loads: Sequence[Load]) -> tuple[list[Decided], list[Feedback]]:
        """As for all; without what the visible checks are not about."""
        decided, found = super().run(solution, loads)
        told = {mistake for check in self.checks for mistake in check.fails_by}
        return decided, [feedback for feedback in found if feedback.mistake in told]
