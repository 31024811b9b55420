"""What students are given of a question about behaviour: its scenario, and what the visible checks fail by."""

from __future__ import annotations

from typing import Self

from msgspec.structs import asdict, replace

from labkit.grading.behaviour.mistakes import HINTS
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
        """As `Question` says. The checks list what is in no list of the question, too, since it fails them all."""
        listed = {mistake for check in question.checks for mistake in check.fails_by}
        everywhere = tuple(mistake for mistake in HINTS if mistake not in listed)
        checks = tuple(
            replace(check, fails_by=(*check.fails_by, *everywhere)) for check in question.checks if check.visible
        )
        return cls(**(asdict(question) | {"checks": checks})) if checks else None

    def run(self, solution: Solution) -> Played:
        """As for all; without what the visible checks are not about."""
        told = {mistake for check in self.checks for mistake in check.fails_by}
        found, timeline = super().run(solution)
        return Played([feedback for feedback in found if feedback.mistake in told], timeline)
