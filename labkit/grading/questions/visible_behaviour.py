"""What students are given of a question about behaviour: its scenario, and what the visible checks fail by."""

from __future__ import annotations

from typing import Self

from msgspec.structs import asdict

from labkit.grading.questions.behaviour_question import BehaviourQuestion, Played
from labkit.grading.questions.question import VISIBLE_KINDS
from labkit.grading.solution import Solution


@VISIBLE_KINDS.register
class VisibleBehaviour(BehaviourQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The visible checks of a question about behaviour. The whole scenario is played; what only hidden checks are about
    is not told.
    """

    @classmethod
    def for_students(cls, question: BehaviourQuestion) -> Self | None:
        """As `Question` says."""
        checks = question.visible_checks()
        return cls(**(asdict(question) | {"checks": checks})) if checks else None

    def run(self, solution: Solution) -> Played:
        """As for all; without what the visible checks are not about."""
        found, timeline = super().run(solution)
        return Played([feedback for feedback in found if feedback.mistake in self.listed], timeline)
