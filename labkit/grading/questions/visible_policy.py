"""What students are given of a question about a policy: what its visible checks fail by, and the mistakes that these
show. The simulations are run as they are for the grade; what only hidden checks are about is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Self

from msgspec.structs import asdict

from labkit.grading.question_verdict import Feedback
from labkit.grading.questions.policy_question import PolicyQuestion
from labkit.grading.questions.policy_run import Decided, Load, draw_loads
from labkit.grading.questions.question import VISIBLE_KINDS
from labkit.grading.solution import Solution


@VISIBLE_KINDS.register
class VisiblePolicy(PolicyQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The visible checks of a question about a policy."""

    @classmethod
    def for_students(cls, question: PolicyQuestion) -> Self | None:
        """As `Question` says."""
        checks = question.visible_checks()
        if not checks:
            return None
        loads = draw_loads(Random(question.id))
        shown = tuple(
            known for known in question.mistakes if any(check.visible for check in question.broken_by(known, loads))
        )
        return cls(**(asdict(question) | {"checks": checks, "mistakes": shown}))

    def run(self, solution: Solution, loads: Sequence[Load]) -> tuple[list[Decided], list[Feedback]]:
        """As for all; without what the visible checks are not about."""
        decided, found = super().run(solution, loads)
        return decided, [feedback for feedback in found if feedback.mistake in self.listed]
