"""A mistake that is recognised by what it does: the answer that it would give, or that its answers are not the same."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from labkit.grading.question_verdict import MAX_TEXT, Feedback
from labkit.grading.questions.question import Name, Sentence

#: Where the same arguments may get another answer than before.
Differs = Literal["between calls", "between processes"]


class KnownMistake(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the mistakes that students make: its name and what they are told; how it is known is one of `answer`, a
    function in the Python file that makes it too, and `differs`.
    """

    name: Name
    sentence: Sentence
    hint: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    answer: str = ""
    differs: Differs | None = None

    def feedback(self) -> Feedback:
        """What a student is told who has made it."""
        return Feedback(self.name, self.sentence, self.hint)
