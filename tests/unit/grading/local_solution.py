"""A solution whose cells run in the test's own process: for questions, where isolation is not the thing tried."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from labkit.errors import KernelEnded
from labkit.grading.assignment_folder import Assignment
from labkit.grading.question_verdict import QuestionVerdict
from labkit.grading.sandbox.contract import Backend
from labkit.grading.sandbox.kernel import Answer, CodeError, Returned, Unfit
from labkit.grading.sandbox.kernel_program import plain
from labkit.grading.sandboxed_solution import WORKERS_TIMEOUT
from labkit.grading.submission_cells import take_cells
from labkit.grading.time_budget import TimeBudget
from labkit.grading.visible_checks import read_checks, write_checks


class LocalSolution:
    """Keeps `Solution`. A cell that calls `end()` ends its process, and `hang()` takes all the time that there is.

    Its `hash` is another one in each of its processes, as Python's own is, and the same ones in each run of a test.
    """

    sandbox: Backend

    def __init__(self, *cells: str, student: str = "ada") -> None:
        self.cells, self.student = cells, student
        self.time, self.processes = 0.0, 0
        self.worker_time = TimeBudget(WORKERS_TIMEOUT, "the cells of all workers", self.clock)
        self.afresh()

    def clock(self) -> float:
        return self.time

    def rng(self, question: str) -> Random:
        return Random(f"{self.student} {question}")

    def ready(self) -> None:
        pass

    def afresh(self) -> None:
        self.processes += 1
        salt = self.processes
        self.names: dict[str, Any] = {"end": _end, "hang": self._hang, "hash": lambda key: _salted(salt, key)}
        for cell in self.cells:
            exec(cell, self.names)

    def call(self, name: str, arguments: Sequence[object], *, timeout: float) -> Answer:
        function = self.names.get(name)
        if not callable(function):
            return Unfit(f"The cells define nothing by the name of {name}, and a function is needed.")
        return self._answer(lambda: function(*arguments), timeout)

    def read(self, name: str, *, timeout: float) -> Answer:
        return self._answer(lambda: eval(name, self.names), timeout)

    def _answer(self, ask: Callable[[], object], timeout: float) -> Answer:
        self.left = timeout
        try:
            return Returned(plain(ask()))
        except KernelEnded:
            self.afresh()
            raise
        except Exception as error:  # noqa: BLE001 - whatever the cells raise is their error
            return CodeError("".join(traceback.format_exception_only(error)), 1)

    def _hang(self) -> None:
        self.time += self.left
        raise KernelEnded("The process that ran the cells has ended. It has not returned in time.")


def _salted(salt: int, key: object) -> int:
    return int.from_bytes(sha256(repr((salt, key)).encode()).digest()[:8])


def _end() -> None:
    raise KernelEnded("The process that ran the cells has ended. It has exited.")


def solved(assignment: Assignment, student: str, **answers: str) -> LocalSolution:
    """The model solution of this student, but for these answers."""
    cells = take_cells(assignment, assignment.source, student).code
    return LocalSolution(*(answers.get(name or "", code) for name, code in cells), student=student)


def judged(assignment: Assignment, question: str, student: str, answer: str | None = None) -> QuestionVerdict:
    """The verdict on the model solution of this student, with this answer to the question."""
    (asked,) = (one for one in assignment.questions if one.id == question)
    return asked.judge(solved(assignment, student, **({question: answer} if answer else {})))


def shown(
    assignment: Assignment, folder: Path, question: str, wrong: Sequence[tuple[str, str, float, str]]
) -> Callable[[str], tuple[str, float, str]]:
    """Tells of a known mistake what students are shown of it: state, points and the first mistake that is named.

    The visible checks go into this folder.
    """
    write_checks(assignment, folder)
    visible = {one.id: one for one in read_checks(folder).questions}[question]
    answers = {mistake: answer for asked, mistake, _, answer in wrong if asked == question}

    def told(mistake: str) -> tuple[str, float, str]:
        verdict = visible.judge(solved(assignment, "ada", **{question: answers[mistake]}))
        return verdict.state, verdict.points, verdict.feedback[0].mistake if verdict.feedback else ""

    return told
