"""Questions that are judged by what goes wrong in a run: each check names the mistakes by which it fails."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from labkit.grading.questions.question import Check, Question


class MistakeCheck(Check, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check that fails by these mistakes."""

    fails_by: Annotated[tuple[str, ...], Meta(min_length=1)]


class MistakeQuestion(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What such kinds have. A mistake that is in no list fails every check: what was not tried is not praised."""

    #: The mistakes that there are, and what may help.
    hints: ClassVar[Mapping[str, str]] = {}

    checks: Annotated[tuple[MistakeCheck, ...], Meta(min_length=1)]

    def inspect(self) -> None:
        """As for all; every mistake has a name that there is."""
        super().inspect()
        for check in self.checks:
            for mistake in check.fails_by:
                if mistake not in self.hints:
                    raise self.bad(f"no mistake has the name {mistake!r}; there are {', '.join(self.hints)}")

    @property
    def listed(self) -> set[str]:
        """The mistakes in the lists of its checks."""
        return {mistake for check in self.checks for mistake in check.fails_by}

    def shares(self, seen: Collection[str]) -> list[tuple[float, bool]]:
        """Of each check its points, and whether it holds where these mistakes were seen."""
        known = self.listed.issuperset(seen)
        return [(check.points, known and not set(check.fails_by).intersection(seen)) for check in self.checks]

    def visible_checks(self) -> tuple[MistakeCheck, ...]:
        """The checks for students: they list what is in no list of the question, too, since it fails them all."""
        everywhere = tuple(mistake for mistake in self.hints if mistake not in self.listed)
        return tuple(replace(check, fails_by=(*check.fails_by, *everywhere)) for check in self.checks if check.visible)
