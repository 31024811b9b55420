"""Questions about what a function returns: called with fixed and drawn arguments, compared with a model answer.

    kind = "value"
    function = "partition_of"
    …
    [[checks]]
    name = "a few keys"
    cases = [["apple", 2], ["pear", 3]]     # the arguments of each call
    …
    [[checks]]
    name = "any keys"
    draw = "keyed"                          # `keyed(rng)` in the Python file gives the arguments of one call
    draws = 40
    …
    [[mistakes]]
    name = "absolute value"
    answer = "by_absolute_value"            # a function in the Python file that makes this mistake
    sentence = "…"

The Python file also has `answer`, the model: it is called outside of the sandbox with the same arguments, and so is
each known mistake. What a student's function returned for all arguments tells which mistake it makes. One whose answers
change when they are asked for again brings no points, since it would have others each time it is graded. Neither does
one that returns the same, or its own argument, whatever it is asked, although some check may want just that.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from json import dumps
from random import Random
from types import ModuleType
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from labkit.errors import KernelEnded
from labkit.grading.question_verdict import Feedback, QuestionVerdict, quoted
from labkit.grading.questions.known_mistake import KnownMistake
from labkit.grading.questions.question import QUESTION_KINDS, Check, Function, Question
from labkit.grading.questions.tolerance import Tolerance
from labkit.grading.sandbox.kernel import Answer, CodeError, Returned, Unfit
from labkit.grading.sandbox.kernel_program import plain
from labkit.grading.solution import Solution

Arguments = list[Any]

#: How large all values that a function returned may be, as characters of JSON: they are kept until it is judged.
MAX_ANSWERS = 4 * 1024 * 1024


class ValueCheck(Check, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check by calls: those in `cases`, and `draws` drawn ones."""

    cases: tuple[Arguments, ...] = ()
    draw: str = "draw"
    draws: Annotated[int, Meta(ge=0, le=1000)] = 0


class Call(Struct, frozen=True):
    """One call: of which check it is part, its arguments, the model's outcome, and what came of it; None: not made."""

    check: ValueCheck
    arguments: Arguments
    expected: object
    got: Answer | None

    def is_as(self, outcome: object, tolerance: Tolerance) -> bool:
        """Whether the function did the same as one of ours that had this outcome."""
        if isinstance(outcome, Raised):
            return isinstance(self.got, CodeError) and self.got.last_line.startswith(outcome.error)
        return isinstance(self.got, Returned) and tolerance.holds(self.got.value, outcome)


class Raised(Struct, frozen=True):
    """The outcome of a function of ours that has raised an error of this class."""

    error: str


@QUESTION_KINDS.register
class ValueQuestion(
    Question, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"function_name": "function"}
):
    """What does this function return?"""

    name: ClassVar[str] = "value"

    function_name: str
    checks: tuple[ValueCheck, ...]
    mistakes: tuple[KnownMistake, ...] = ()
    tolerance: Tolerance = Tolerance()

    @property
    def defines(self) -> str:
        """The function."""
        return self.function_name

    def inspect(self) -> None:
        """As for all; every check asks something, and every function is there."""
        super().inspect()
        self.unique("mistake", (mistake.name for mistake in self.mistakes))
        module = self.code()
        self.function(module, "answer")
        for check in self.checks:
            if not check.cases and not check.draws:
                raise self.bad(f"the check {check.name!r} has neither cases nor draws")
            if check.draws:
                self.function(module, check.draw)
        for mistake in self.mistakes:
            if bool(mistake.answer) == bool(mistake.differs):
                raise self.bad(f"the mistake {mistake.name!r} needs one of answer and differs")
            if mistake.answer:
                self.function(module, mistake.answer)

    def judge(self, solution: Solution) -> QuestionVerdict:
        """The verdict on what the function returned. A call that ends the process is the last one."""
        module = self.code()
        calls = self._calls(module, solution)
        holds = {check.name: True for check in self.checks}
        for call in calls:
            holds[call.check.name] &= call.is_as(call.expected, self.tolerance)
        feedback: list[Feedback] = []
        if not all(holds.values()):
            known = self.known(module, solution, calls)
            feedback = [known.feedback()] if known is not None else []
            empty = empty_answer(calls)
            if empty or (known is not None and known.differs):  # which answers are right is chance, and marks are not
                holds = dict.fromkeys(holds, False)
            if empty and known is None and isinstance(calls[0].got, Returned):  # an error tells itself
                said = f"{self.function_name} {empty}, whatever it was asked."
                feedback.append(Feedback("always the same", said, "The answer has to follow from the arguments."))
            if known is None or not known.differs:
                feedback += [self._feedback(call) for call in self._first_failures(calls)]
        return QuestionVerdict.of_checks(
            self.id, ((check.points, holds[check.name]) for check in self.checks), feedback
        )

    def _calls(self, module: ModuleType, solution: Solution) -> list[Call]:
        rng, answer = solution.rng(self.id), self.function(module, "answer")
        asked = [(check, arguments) for check in self.checks for arguments in self.asked(module, check, rng)]
        got = self._ask(solution, [arguments for _, arguments in asked])
        return [
            Call(check, arguments, outcome(answer, arguments), came)
            for (check, arguments), came in zip(asked, got, strict=True)
        ]

    def asked(self, module: ModuleType, check: ValueCheck, rng: Random) -> list[Arguments]:
        """The arguments of each call of this check."""
        drawn: list[Arguments] = []
        if check.draws:
            draw = self.function(module, check.draw)
            drawn = [list(draw(rng)) for _ in range(check.draws)]
        return [*check.cases, *drawn]

    def _ask(self, solution: Solution, asked: Sequence[Arguments]) -> list[Answer | None]:
        """What comes of the calls, which together have the question's time."""
        got: list[Answer | None] = [None] * len(asked)
        number, size, end = 0, 0, None
        try:
            solution.ready()
            end = solution.clock() + self.timeout
            for number, arguments in enumerate(asked):
                left = end - solution.clock()
                if left <= 0:
                    break
                got[number] = answer = solution.call(self.function_name, arguments, timeout=left)
                size += len(dumps(answer.value)) if isinstance(answer, Returned) else 0
                if size > MAX_ANSWERS:
                    got[number] = Unfit(f"The values returned are larger than {MAX_ANSWERS} characters together.")
                    break
        except KernelEnded as error:
            late = f"It had not returned when the question's time, {self.timeout:g} s, was over."
            got[number] = Unfit(late if end is not None and solution.clock() >= end else str(error))
        return got

    def known(self, module: ModuleType, solution: Solution, calls: Sequence[Call]) -> KnownMistake | None:
        """The mistake that explains every answer, else the first one that explains every wrong answer, else all that
        are wrong in the check where most are.
        """
        wrong = [call for call in calls if not call.is_as(call.expected, self.tolerance)]
        if not any(isinstance(call.got, Returned | CodeError) for call in wrong):
            return None
        most = Counter(call.check.name for call in wrong).most_common(1)[0][0]
        for some in (calls, wrong, [call for call in wrong if call.check.name == most]):
            for mistake in self.mistakes:
                if mistake.answer and explains(self.function(module, mistake.answer), some, self.tolerance):
                    return mistake
        return next((mistake for mistake in self.mistakes if self.differs(mistake, solution, calls)), None)

    def differs(self, mistake: KnownMistake, solution: Solution, calls: Sequence[Call]) -> bool:
        """Whether the answers are others when they are asked for again."""
        if mistake.differs is None:
            return False
        if mistake.differs == "between processes":
            solution.afresh()
        again = self._ask(solution, [call.arguments for call in calls])
        return any(
            isinstance(first.got, Returned)
            and isinstance(second, Returned)
            and not self.tolerance.holds(second.value, first.got.value)
            for first, second in zip(calls, again, strict=True)
        )

    def _first_failures(self, calls: Sequence[Call]) -> list[Call]:
        """Of each check that does not hold, the first call that failed."""
        failures: dict[str, Call] = {}
        for call in calls:
            if not call.is_as(call.expected, self.tolerance):
                failures.setdefault(call.check.name, call)
        return list(failures.values())

    def _feedback(self, call: Call) -> Feedback:
        asked = f"{self.function_name}({quoted(call.arguments)[1:-1]})"
        match call.got:
            case Returned(value):
                wanted = f", and {_words(call.expected)} is right" if call.check.visible else ""
                said = call.check.feedback()
                return Feedback(said.mistake, f"{said.sentence} {asked} returned {quoted(value)}{wanted}.", said.hint)
            case CodeError() as error:
                line = f" in line {error.line}" if error.line is not None else ""
                return Feedback("error", f"{asked} raised an error{line}: {error.last_line}")
            case Unfit(why):
                return Feedback("no value", f"{asked}: {why}")
        return Feedback("out of time", f"The time of {self.timeout:g} s was over before all was asked.")


def empty_answer(calls: Sequence[Call]) -> str | None:
    """What the function always did, if that needs no thought while the model has several answers: it came to one answer
    or one class of error, or returned its own argument.
    """
    first = calls[0].got
    if len({_text(call.expected) for call in calls}) == 1:
        return None
    if len({_text(call.got) for call in calls}) == 1:
        match first:
            case Returned(value):
                return f"returned {quoted(value)}"
            case CodeError():
                return _text(first)
        return None
    for place in range(min(len(call.arguments) for call in calls)):
        if all(call.got == Returned(call.arguments[place]) for call in calls):
            return f"returned its {place + 1}. argument"
    return None


def explains(function: Function, calls: Sequence[Call], tolerance: Tolerance) -> bool:
    """Whether this function of ours does the same in all of these calls."""
    return all(call.is_as(outcome(function, call.arguments), tolerance) for call in calls)


def outcome(function: Function, arguments: Arguments) -> object:
    """What a function of ours returns as a plain value, or which error it raises."""
    try:
        return plain(function(*arguments))
    except BaseException as error:  # a known mistake may be to raise one, whichever
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        return Raised(type(error).__name__)


def _text(outcome: object) -> str:
    """An outcome of a call as a text that two of them share if they are the same."""
    match outcome:
        case CodeError() as error:
            return f"raised {error.last_line.partition(':')[0]}"
        case Raised(error):
            return f"raised {error}"
        case Returned(value):
            return dumps(value, sort_keys=True)
        case Unfit() | None:
            return "no value"
    return dumps(outcome, sort_keys=True)


def _words(expected: object) -> str:
    return f"to raise {expected.error}" if isinstance(expected, Raised) else quoted(expected)
