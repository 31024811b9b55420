"""The verdict on one question of one submission: the points, and what went wrong, in words.

It is made outside of the sandbox, crosses processes and is stored as JSON. What it quotes from a student is cut off and
can be printed, so no verdict is large, whatever was handed in.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from labkit.grading.run_timeline import RunTimeline

#: What came of a question: "not run" is one that nobody has answered or whose answer could not be run, and "by hand"
#: one that waits for a person.
State = Literal["right", "partial", "wrong", "not run", "by hand"]

#: The longest name of a mistake, and the longest text in feedback, in characters.
MAX_NAME, MAX_TEXT = 80, 600
#: So much feedback of one question is kept; what comes first matters most.
MAX_FEEDBACK = 20

#: Points are added up as floats, and 0.1 + 0.2 is meant to be 0.3.
DIGITS = 6

_CUT = " […]"

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 3, 8, 8, 80


class Feedback(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that went wrong: its name, for statistics, and a sentence with a hint, for the student.

    Where it happened to a task, `task` says to which, `who` by whom and `at` when, in seconds from the beginning of the
    question's run. Texts are cut off, and what cannot be printed is replaced.
    """

    mistake: str
    sentence: str
    hint: str = ""
    task: str | None = None
    who: str | None = None
    at: float | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "mistake", printable(self.mistake, MAX_NAME))
        force_setattr(self, "sentence", printable(self.sentence))
        force_setattr(self, "hint", printable(self.hint))
        for name, text in (("task", self.task), ("who", self.who)):
            force_setattr(self, name, None if text is None else printable(text, MAX_NAME))


class QuestionVerdict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a question has brought: `points` of `possible`, and the feedback, what matters most first. `holds` says
    which of its checks hold, in their order, where they were tried, and `timeline` what happened in a run.
    """

    question: str
    state: State
    points: Annotated[float, Meta(ge=0)]
    possible: Annotated[float, Meta(ge=0)]
    feedback: tuple[Feedback, ...] = ()
    holds: tuple[bool, ...] = ()
    timeline: RunTimeline | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "feedback", self.feedback[:MAX_FEEDBACK])

    @classmethod
    def of_checks(cls, question: str, points: Iterable[tuple[float, bool]], feedback: Iterable[Feedback]) -> Self:
        """The verdict on a question whose checks bring so many points each, if they hold; two pieces of feedback that
        say the same count once.
        """
        listed = list(points)
        possible = round(sum(worth for worth, _ in listed), DIGITS)
        got = round(sum(worth for worth, holds in listed if holds), DIGITS)
        all_hold = all(holds for _, holds in listed)
        state: State = "right" if all_hold else "partial" if got > 0 else "wrong"
        return cls(
            question=question,
            state=state,
            points=got,
            possible=possible,
            feedback=tuple(dict.fromkeys(feedback)),
            holds=tuple(holds for _, holds in listed),
        )

    @classmethod
    def not_run(cls, question: str, possible: float, feedback: Feedback) -> Self:
        """The verdict on a question that has no answer which could be run."""
        return cls(question=question, state="not run", points=0, possible=possible, feedback=(feedback,))

    @classmethod
    def by_hand(cls, question: str, possible: float) -> Self:
        """A question that a person is to grade."""
        return cls(question=question, state="by hand", points=0, possible=possible)


def printable(text: str, longest: int = MAX_TEXT) -> str:
    """The text on one line, cut off, without what no terminal or page should be given."""
    cut = text if len(text) <= longest else text[: longest - len(_CUT)] + _CUT
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "�" for letter in cut)


def quoted(value: object) -> str:
    """A value that came out of the sandbox, as Python would write it, shortened."""
    return printable(_SHORT.repr(value), 200)
