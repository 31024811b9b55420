"""The questions of assignments, by kind: each a small file that declares it, judged outside of the sandbox."""

from labkit.grading.questions.question import QUESTION_KINDS, VISIBLE_KINDS, Check, Question, read_question

__all__ = ["QUESTION_KINDS", "VISIBLE_KINDS", "Check", "Question", "read_question"]

QUESTION_KINDS.discover(__path__, __name__)
