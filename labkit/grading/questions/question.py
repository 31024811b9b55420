"""A question of an assignment, as a TOML file beside the notebook declares it.

`questions/q1.toml` says of the cell with the grade_id `q1` what is asked of it, and `questions/q1.py`, where the kind
needs it, has the functions that a table of text cannot hold, such as a model answer. Both stay outside of the sandbox.

    kind = "value"                  # a name in QUESTION_KINDS; the rest is what that kind's class has as fields
    title = "Where a key goes"
    points = 3
    minutes = 10                    # how long it takes a student
    timeout = 20                    # seconds for the whole question

    [[checks]]                      # visible ones are told to students beforehand
    name = "…"
    points = 3
    mistake = "The sentence that tells what is wrong where the check fails."

To add a kind, add a module like `value_question` to this package: it is found by being here.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, cast

from msgspec import Meta, Struct, ValidationError

from labkit.errors import BadAssignment
from labkit.grading.question_verdict import MAX_NAME, MAX_TEXT, Feedback, QuestionVerdict
from labkit.registry import Registry
from labkit.typed_values import typed

if TYPE_CHECKING:
    from labkit.grading.solution import Solution

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Sentence = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Positive = Annotated[float, Meta(gt=0, lt=1e6)]

#: How long the checks of a question may take together, in seconds, unless it says otherwise.
TIMEOUT = 20.0

#: A question's id is the grade_id of its cell, and the name of its files.
ID = re.compile(r"[a-z][a-z0-9_]{0,39}")

Function = Callable[..., Any]
Listed = TypeVar("Listed")


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is asked of an answer: what it is worth, and what a student is told where it fails."""

    name: Name
    points: Positive
    mistake: Sentence
    hint: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    visible: bool = False

    def feedback(self) -> Feedback:
        """What a student is told whose answer fails here, unless more is known."""
        return Feedback(self.name, self.mistake, self.hint)


class Question(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all kinds have; `file` is the one that declares it."""

    name: ClassVar[str] = ""

    file: Path
    title: Name
    points: Positive
    minutes: Positive
    timeout: Positive = TIMEOUT
    checks: tuple[Check, ...] = ()

    @property
    def id(self) -> str:
        """The grade_id of the cell that answers it."""
        return self.file.stem

    def inspect(self) -> None:
        """Raises `BadAssignment` if the declaration contradicts itself, or lacks a function in the Python file."""
        if not math.isclose(self.points, sum(check.points for check in self.checks)):
            raise self.bad(f"it is worth {self.points:g} points, and its checks {sum_of(self.checks):g} together")
        self.unique("check", (check.name for check in self.checks))

    @property
    def defines(self) -> str:
        """The name that the answer's cell has to define."""
        raise NotImplementedError

    @classmethod
    def for_students(cls, question: Any) -> Self | None:
        """Of the classes in `VISIBLE_KINDS`: what a release carries of this question, so that its visible checks can be
        run beforehand, and nothing of the hidden ones; nothing if there is nothing to run.
        """
        raise NotImplementedError

    def judge(self, solution: Solution) -> QuestionVerdict:
        """The verdict on this solution's answer. It is computed here, outside of the sandbox."""
        raise NotImplementedError

    def code(self) -> ModuleType:
        """The functions in the Python file beside the declaration. Raises `BadAssignment` if that cannot be run."""
        path = self.file.with_suffix(".py")
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        try:
            exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)  # noqa: S102
        except OSError as error:
            raise self.bad(f"this kind needs {path.name} beside it") from error
        except Exception as error:
            raise self.bad(f"{path.name} raises {type(error).__name__}: {error}") from error
        return module

    def function(self, module: ModuleType, name: str) -> Function:
        """The function of this name in the Python file. Raises `BadAssignment` if there is none."""
        found = getattr(module, name, None)
        if not callable(found):
            raise self.bad(f"{self.id}.py defines no function {name}")
        return cast("Function", found)

    def unique(self, what: str, names: Iterable[str]) -> None:
        """Raises `BadAssignment` if one of the names stands twice."""
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise self.bad(f"there are two {what}s {name!r}")
            seen.add(name)

    def bad(self, why: str) -> BadAssignment:
        """The error that says what is wrong in the declaration."""
        return BadAssignment(f"The question {self.file} cannot be asked: {why}.")


#: The kinds of questions, by name.
QUESTION_KINDS: Registry[Question] = Registry("kind of question")
#: What a release carries of a question of each kind.
VISIBLE_KINDS: Registry[Question] = Registry("kind of question")


def sum_of(checks: Sequence[Check]) -> float:
    """What the checks are worth together."""
    return sum(check.points for check in checks)


def read_question(file: Path) -> Question:
    """The question that the file declares. Raises `BadAssignment`, which names the file and what is wrong in it."""
    if not ID.fullmatch(file.stem):
        raise BadAssignment(
            f"The question {file} cannot be asked: its name is the grade_id of a cell, made of small letters, figures "
            "and _, up to 40, a letter first."
        )
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadAssignment(f"The question {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise BadAssignment(f"The question {file} is no TOML: {error}.") from error
    kind = table.pop("kind", None)
    if kind not in QUESTION_KINDS:
        kinds = ", ".join(sorted(QUESTION_KINDS))
        raise BadAssignment(f"The question {file} has the kind {kind!r}; there are {kinds}.")
    if "file" in table:
        raise BadAssignment(f"The question {file} cannot be asked: it has no field `file`.")
    try:
        question = typed({**table, "file": file}, QUESTION_KINDS[kind])
    except ValidationError as error:
        raise BadAssignment(f"The question {file} cannot be asked: {_in_words(str(error))}.") from error
    question.inspect()
    return question


def _in_words(error: str) -> str:
    """msgspec's message, with TOML's names for the places: `$.checks[0].points` is `checks[0].points`."""
    return error.replace("`$.", "`").replace(" - at `$`", "").replace("Object ", "it ")
