"""What students are given of a question about a claim: its name, and whether there is anything that can be graded.

What is right follows from the student's id by functions that stay with the instructor, so nothing of that is told.
"""

from __future__ import annotations

from typing import Self

from msgspec.structs import asdict

from labkit.grading.question_verdict import Feedback, QuestionVerdict
from labkit.grading.questions.claim_question import ClaimQuestion
from labkit.grading.questions.question import VISIBLE_KINDS
from labkit.grading.solution import Solution


@VISIBLE_KINDS.register
class VisibleClaim(ClaimQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the cells leave a plain value under the name of the claim."""

    @classmethod
    def for_students(cls, question: ClaimQuestion) -> Self:
        """As `Question` says."""
        return cls(**(asdict(question) | {"checks": (), "mistakes": (), "runs": 1}))

    def judge(self, solution: Solution) -> QuestionVerdict:
        """As `Question` says: right if there is a value, which need not be right."""
        claim = self.claimed(solution)
        if isinstance(claim, Feedback):
            return QuestionVerdict(question=self.id, state="wrong", points=0, possible=0, feedback=(claim,))
        return QuestionVerdict.of_checks(self.id, (), ())
