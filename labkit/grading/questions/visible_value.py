"""What students are given of a question about values: the calls of its visible checks, and what came of them.

The model answer is a function, and so is each known mistake. Their code stays with the instructor; of each, the release
has the outcomes of the visible calls, which is all that is needed to judge those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from json import dumps
from random import Random
from types import ModuleType
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import asdict, replace

from labkit.grading.questions.known_mistake import KnownMistake
from labkit.grading.questions.question import VISIBLE_KINDS
from labkit.grading.questions.value_question import (
    Arguments,
    Call,
    Raised,
    ValueCheck,
    ValueQuestion,
    explains,
    outcome,
)
from labkit.grading.sandbox.kernel import CodeError, Returned
from labkit.grading.solution import Solution


class VisibleOutcome(Struct, frozen=True, omit_defaults=True):
    """What came of a call: a plain value, or the class of an error."""

    value: Any = None
    error: str = ""

    @classmethod
    def of(cls, function: Callable[..., Any], arguments: Arguments) -> Self:
        """What comes of this call."""
        came = outcome(function, arguments)
        return cls(error=came.error) if isinstance(came, Raised) else cls(value=came)


@VISIBLE_KINDS.register
class VisibleValue(
    ValueQuestion, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"function_name": "function"}
):
    """The visible checks of a question about values. `outcomes` has those of each function, in order of the calls."""

    outcomes: dict[str, tuple[VisibleOutcome, ...]]

    @classmethod
    def for_students(cls, question: ValueQuestion) -> Self | None:
        """As `Question` says. A visible check that draws has drawn once for all. A known mistake is left out if it does
        no visible call wrong, or if another one does the same: the visible calls are few, and nobody is to be told of
        a mistake that is another's.
        """
        module, rng = question.code(), Random(question.id)
        checks = tuple(
            replace(check, cases=tuple(question.asked(module, check, rng)), draws=0)
            for check in question.checks
            if check.visible
        )
        if not checks:
            return None
        calls = _calls(checks)

        def outcomes_of(name: str) -> tuple[VisibleOutcome, ...]:
            function = question.function(module, name)
            return tuple(VisibleOutcome.of(function, arguments) for arguments in calls)

        right = outcomes_of("answer")
        made = {mistake.answer: outcomes_of(mistake.answer) for mistake in question.mistakes if mistake.answer}
        several = [right, *made.values()]
        shown = {name: outcomes for name, outcomes in made.items() if several.count(outcomes) == 1}
        own = {
            "checks": checks,
            "mistakes": tuple(mistake for mistake in question.mistakes if _is_shown(mistake, shown)),
            "outcomes": {"answer": right, **shown},
        }
        return cls(**(asdict(question) | own))

    def known(self, module: ModuleType, solution: Solution, calls: Sequence[Call]) -> KnownMistake | None:
        """As for all questions about values; but few calls may be explained by chance, so answers that change come
        first, and a mistake has to explain every call.
        """
        if not any(isinstance(call.got, Returned | CodeError) for call in calls):
            return None
        for mistake in sorted(self.mistakes, key=lambda mistake: mistake.differs is None):
            if mistake.differs is not None:
                if self.differs(mistake, solution, calls):
                    return mistake
            elif explains(self.function(module, mistake.answer), calls, self.tolerance):
                return mistake
        return None

    def code(self) -> ModuleType:
        """Functions that recall what came of the visible calls."""
        module, calls = ModuleType(self.id), [dumps(arguments) for arguments in _calls(self.checks)]
        for name, outcomes in self.outcomes.items():
            setattr(module, name, _recalling(dict(zip(calls, outcomes, strict=True))))
        return module


def _calls(checks: Sequence[ValueCheck]) -> list[Arguments]:
    return [arguments for check in checks for arguments in check.cases]


def _is_shown(mistake: KnownMistake, shown: Mapping[str, object]) -> bool:
    return mistake.differs is not None or mistake.answer in shown


def _recalling(outcomes: Mapping[str, VisibleOutcome]) -> Callable[..., Any]:
    def recall(*arguments: Any) -> Any:
        came = outcomes[dumps(list(arguments))]
        if came.error:
            raise type(came.error, (Exception,), {})
        return came.value

    return recall
