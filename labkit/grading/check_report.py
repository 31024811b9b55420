"""What a student is told of the visible checks, in plain words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from labkit.grading.question_verdict import DIGITS, Feedback, QuestionVerdict
from labkit.grading.questions import Question

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: How wide the lines are, in characters: nbgrader's Validate cuts longer ones off.
WIDTH = 80


class CheckedQuestion(Struct, frozen=True, kw_only=True):
    """A question with the verdict on its visible checks; `points` is what it is worth with the hidden ones."""

    question: Question
    verdict: QuestionVerdict
    points: float

    @property
    def passed(self) -> bool:
        """Whether all visible checks hold."""
        return self.verdict.state == "right"

    def figure(self) -> Figure | None:
        """Who had which task when; nothing where the question is about something else."""
        if self.verdict.timeline is None:
            return None
        from labkit.grading.timeline_figure import draw_timeline

        return draw_timeline(self.verdict.timeline, title=f"{self.question.id}: {self.question.title}")

    def lines(self) -> Iterator[str]:
        """What is told of it."""
        yield f"{self.question.id}: {self.question.title}"
        if self.verdict.state == "not run":
            yield "  not run"
        for check, holds in zip(self.question.checks, self.verdict.holds, strict=False):
            yield from _wrapped(f"{'passed' if holds else 'failed'}: {check.name} ({_points(check.points)})", 2)
        for feedback in self.verdict.feedback:
            yield from feedback_lines(feedback)
        yield from _wrapped(self._sum(), 2)

    def _sum(self) -> str:
        visible = sum(check.points for check in self.question.checks)
        hidden = round(self.points - visible, DIGITS)
        if not visible:
            there = f"{self.question.defines} is there, and can be graded. " if self.passed else ""
            return f"{there}Whether it is right ({_points(hidden)}) is found out when your work is graded."
        later = f", and {hidden:g} more by what is looked at when your work is graded" if hidden else ""
        return f"{self.verdict.points:g} of {_points(visible)} so far{later}."


class CheckReport(Struct, frozen=True, kw_only=True):
    """What came of the checks of a notebook; `where` the code was run and `taken` which code it was are sentences."""

    where: str
    taken: str
    questions: tuple[CheckedQuestion, ...]
    notes: tuple[Feedback, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all visible checks of all questions hold."""
        return all(checked.passed for checked in self.questions)

    def figures(self) -> dict[str, Figure]:
        """The pictures of what happened, by question; of those where there was something to see."""
        drawn = ((checked.question.id, checked.figure()) for checked in self.questions)
        return {name: figure for name, figure in drawn if figure is not None}

    def __str__(self) -> str:
        lines = [*_wrapped(self.where), *_wrapped(self.taken)]
        for checked in self.questions:
            lines += ["", *checked.lines()]
        if self.notes:
            lines += ["", *(line for note in self.notes for line in feedback_lines(note))]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def feedback_lines(feedback: Feedback) -> Iterator[str]:
    """One thing that went wrong, in lines of up to `WIDTH` characters."""
    place = ", ".join(filter(None, (feedback.who, None if feedback.at is None else f"after {feedback.at:.1f} s")))
    yield from _wrapped(f"{feedback.sentence}{f' ({place})' if place else ''}", 2)
    if feedback.hint:
        yield from _wrapped(f"Hint: {feedback.hint}", 4)


def _wrapped(text: str, indent: int = 0) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        text, WIDTH, initial_indent=space, subsequent_indent=space, break_long_words=False, break_on_hyphens=False
    )


def _points(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"
