"""Courses with a class that has handed in, for the benchmarks of the grader: made in a folder, graded by commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.shell import LABKIT, ROOT
from labkit.grading.course.course_folder import Course
from labkit.grading.course.demo_class import make_demo_course
from labkit.grading.course.graded_file import read_graded

SOURCES = ROOT / "assignments" / "source"
#: Answers by assignment and question, honest ones in other styles and planted mistakes: those that the tests try.
ANSWERS = ROOT / "tests" / "integration" / "grading"

#: What each student has for each question.
Marks = dict[str, dict[str, float]]
Answers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GradedClass:
    """A course in which everybody has handed in one assignment."""

    course: Course
    assignment: str

    def command(self) -> list[str]:
        """The command that grades it, two at one time."""
        return [str(LABKIT), "grade", "auto", self.assignment, "--concurrency", "2"]

    def grade(self) -> None:
        """Grade it. Raises CalledProcessError if one could not be graded."""
        subprocess.run(
            self.command(), cwd=self.course.root, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
        )

    def forget(self) -> None:
        """Have nothing graded, so that all is graded again."""
        shutil.rmtree(self.course.root / "reports", ignore_errors=True)

    def marks(self) -> Marks:
        """What the reports say. A student without one has no marks."""
        students = sorted(self.course.submissions(self.assignment))
        found = {student: read_graded(self.course, student, self.assignment) for student in students}
        return {
            student: {verdict.question: verdict.points for verdict in graded.report.verdicts} if graded else {}
            for student, graded in found.items()
        }


def make_class(folder: Path, source: Path, students: int, variants: Sequence[Answers]) -> GradedClass:
    """A course in `folder` with the assignment that lies in `source`, which so many have handed in: the model solution
    with the answers of the variants in its place, one after the other.
    """
    shutil.copytree(source, folder / "source" / source.name)
    answers = {f"s{number:03d}": one for number, one in enumerate(islice(cycle(variants), students))}
    file = folder / "demo" / f"{source.name}.toml"
    file.parent.mkdir()
    file.write_text("\n".join(_declared(answers)), encoding="utf-8")
    made = make_demo_course(folder / "course", file, now=datetime.now(UTC))
    return GradedClass(made.course, made.assignment)


def variants_of(assignment: str) -> list[Answers]:
    """The model, and the model with one answer replaced: in another style, or by a planted mistake."""
    files = [file for kind in ("honest", "planted") for file in sorted((ANSWERS / kind / assignment).glob("*/*.py"))]
    return [{}, *({file.parent.name: file.read_text(encoding="utf-8")} for file in files)]


def nbgrader(*words: str, cwd: Path) -> None:
    """Run `nbgrader …` in this folder; raises CalledProcessError with what it said."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # it starts alembic by name
    subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        env={**os.environ, "PATH": path},
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    )


def _declared(answers: Mapping[str, Answers]) -> Iterator[str]:
    for student, replaced in answers.items():
        yield f"[students.{student}]\nothers = 'model'"
        for question, code in replaced.items():
            yield f"answers.{question} = {json.dumps(code, ensure_ascii=False)}"  # TOML reads such strings, too


def small_assignment(folder: Path) -> Path:
    """An assignment of two functions with a test each, as stock nbgrader runs them and as labkit's questions."""
    source = folder / "small"
    (source / "questions").mkdir(parents=True)
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "# Small", "id": "title"}]
    for name, function, of_three, body in (("q1", "double", 6, "return 2 * x"), ("q2", "square", 9, "return x * x")):
        solution = f"def {function}(x):\n    ### BEGIN SOLUTION\n    {body}\n    ### END SOLUTION"
        cells += [
            _noted(name, solution, solution=True),
            _noted(f"{name}_check", f"assert {function}(3) == {of_three}"),
        ]
        (source / "questions" / f"{name}.toml").write_text(
            f'kind = "value"\ntitle = "{function}"\npoints = 1\nminutes = 1\nfunction = "{function}"\n'
            '[[checks]]\nname = "any number"\npoints = 1\ndraws = 20\nmistake = "That is another number."\n'
        )
        (source / "questions" / f"{name}.py").write_text(
            f"def draw(rng): return [rng.randrange(1000)]\ndef answer(x): {body}\n"
        )
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (source / "small.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return source


def _noted(name: str, code: str, *, solution: bool = False) -> dict[str, Any]:
    nbgrader = {"grade": not solution, "grade_id": name, "locked": not solution, "schema_version": 3}
    nbgrader |= {"solution": solution, "task": False} | ({} if solution else {"points": 1})
    kept: dict[str, Any] = {"cell_type": "code", "id": re.sub(r"\W", "-", name), "outputs": [], "execution_count": None}
    return kept | {"metadata": {"nbgrader": nbgrader}, "source": code}
