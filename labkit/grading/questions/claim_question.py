"""Questions about a claim: a number, or the data of a plot, that the student's cell leaves under a name.

    kind = "claim"
    claim = "share_moved"       # the name
    runs = 100
    …
    [[checks]]
    name = "share"
    deviations = 4              # how far it may be from the mean, in standard deviations of what was measured
    …

`measure(rng, student)` in the Python file measures or simulates it once, as a number or as lists and dicts of numbers.
The grader does so `runs` times, outside of the sandbox: the mean is what is expected, and the noise in it makes the
tolerance. Where there is no noise, the claim has to be exact. A known mistake measures in its own way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import fmean, pstdev
from types import ModuleType
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from labkit.errors import KernelEnded
from labkit.grading.question_verdict import Feedback, QuestionVerdict, quoted
from labkit.grading.questions.known_mistake import KnownMistake
from labkit.grading.questions.question import QUESTION_KINDS, Check, Question
from labkit.grading.questions.tolerance import is_number
from labkit.grading.sandbox.kernel import CodeError, Returned, Unfit
from labkit.grading.sandbox.kernel_program import plain
from labkit.grading.solution import Solution

#: Rounding of floats is no error, relative to the number.
ROUNDING = 1e-9
#: How many parts of a claim are looked at, and how much of a key: a claim may hold more than memory does, written out.
MOST_PARTS, LONGEST_KEY = 10_000, 100

#: The parts of a claim, by where they stand in it: `.share`, `[2]`.
Parts = dict[str, object]


class ClaimCheck(Check, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check of the claim, or of the part of it at a place such as `.before`; `least` is a tolerance that counts even
    where there is less noise.
    """

    part: str = ""
    deviations: Annotated[float, Meta(gt=0)] = 4.0
    least: Annotated[float, Meta(ge=0)] = 0.0


class Measured(Struct, frozen=True):
    """What many runs have brought, part by part: the mean and the standard deviation of numbers, and other values."""

    numbers: dict[str, tuple[float, float]]
    others: Parts

    def has(self, part: str) -> bool:
        """Whether anything was measured there."""
        return any(_within(place, part) for place in (*self.numbers, *self.others))

    def allows(self, claim: Parts, check: ClaimCheck) -> bool:
        """Whether each part of the claim that the check is about is within the tolerance."""
        said = {place: value for place, value in claim.items() if _within(place, check.part)}
        wanted = [place for place in (*self.numbers, *self.others) if _within(place, check.part)]
        return said.keys() == set(wanted) and all(self._holds(place, said[place], check) for place in wanted)

    def _holds(self, place: str, value: object, check: ClaimCheck) -> bool:
        if place in self.numbers:
            return self._near(value, *self.numbers[place], check)
        return type(value) is type(self.others[place]) and value == self.others[place]

    @staticmethod
    def _near(value: object, mean: float, deviation: float, check: ClaimCheck) -> bool:
        tolerance = max(check.deviations * deviation, check.least, ROUNDING * abs(mean))
        if not is_number(value):
            return False
        return mean - tolerance <= value <= mean + tolerance  # type: ignore[operator]  # it is a number


@QUESTION_KINDS.register
class ClaimQuestion(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Is that so?"""

    name: ClassVar[str] = "claim"

    claim: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    runs: Annotated[int, Meta(ge=1, le=10_000)] = 100
    checks: tuple[ClaimCheck, ...]
    mistakes: tuple[KnownMistake, ...] = ()

    @property
    def defines(self) -> str:
        """The name of the claim."""
        return self.claim

    def inspect(self) -> None:
        """As for all; every function is there."""
        super().inspect()
        self.unique("mistake", (mistake.name for mistake in self.mistakes))
        module = self.code()
        self.function(module, "measure")
        for mistake in self.mistakes:
            if not mistake.answer or mistake.differs is not None:
                raise self.bad(f"the mistake {mistake.name!r} needs an answer; a claim cannot differ")
            self.function(module, mistake.answer)

    def judge(self, solution: Solution) -> QuestionVerdict:
        """The verdict on the claim."""
        claim = self.claimed(solution)
        if isinstance(claim, Feedback):
            return QuestionVerdict.of_checks(self.id, ((check.points, False) for check in self.checks), [claim])
        module, parts = self.code(), dict(islice(parts_of(claim.value), MOST_PARTS))
        measured = self._measured(module, "measure", solution)
        for check in self.checks:
            if not measured.has(check.part):
                raise self.bad(f"measure has no part {check.part!r}, which the check {check.name!r} is about")
        holds = [(check, measured.allows(parts, check)) for check in self.checks]
        failed = [check for check, held in holds if not held]
        known = self._known(module, solution, parts, failed)
        feedback = [known.feedback()] if known is not None else []
        said = f"{self.claim} is {quoted(claim.value)}."
        feedback += [Feedback(check.name, f"{check.mistake} {said}", check.hint) for check in failed]
        return QuestionVerdict.of_checks(self.id, ((check.points, held) for check, held in holds), feedback)

    def _known(
        self, module: ModuleType, solution: Solution, parts: Parts, failed: Sequence[ClaimCheck]
    ) -> KnownMistake | None:
        """The mistake that explains the whole claim, else the first one that explains what is wrong in it."""
        for some in (self.checks, failed) if failed else ():
            for mistake in self.mistakes:
                measured = self._measured(module, mistake.answer, solution)
                if all(measured.allows(parts, check) for check in some):
                    return mistake
        return None

    def claimed(self, solution: Solution) -> Returned | Feedback:
        """What is claimed, or why there is no such value."""
        try:
            solution.ready()
            answer = solution.read(self.claim, timeout=self.timeout)
        except KernelEnded as error:
            return Feedback("no value", str(error))
        match answer:
            case Returned():
                return answer
            case CodeError():
                return Feedback("no value", f"The cells leave nothing by the name of {self.claim}: {answer.last_line}")
            case Unfit(why):
                return Feedback("no value", f"{self.claim}: {why}")

    def _measured(self, module: ModuleType, name: str, solution: Solution) -> Measured:
        function, rng = self.function(module, name), solution.rng(self.id)
        runs = [dict(parts_of(plain(function(rng, solution.student)))) for _ in range(self.runs)]
        if any(run.keys() != runs[0].keys() for run in runs):
            raise self.bad(f"{name} measures something else each time")
        numbers: dict[str, tuple[float, float]] = {}
        for place, value in runs[0].items():
            if is_number(value):
                values = [float(run[place]) for run in runs]  # type: ignore[arg-type]  # a number, like the first
                numbers[place] = fmean(values), pstdev(values)
        return Measured(numbers, {place: value for place, value in runs[0].items() if place not in numbers})


def _within(place: str, part: str) -> bool:
    return not part or place == part or place.startswith((f"{part}.", f"{part}["))


def parts_of(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """What a plain value is made of, each with its place; an empty list or dict is a part too.

    Of a long key its beginning names the place: a value may have many parts, each with all keys above it.
    """
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from parts_of(part, f"{place}.{key[:LONGEST_KEY]}")
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            yield from parts_of(part, f"{place}[{number}]")
    else:
        yield place, value
