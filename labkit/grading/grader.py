"""The grader: one submission in, one report out, and whatever is wrong with the submission is in the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from labkit.grading.assignment_folder import Assignment
from labkit.grading.course_secret import CourseSecret
from labkit.grading.notebook_file import Nbgrader, NotebookCell, read_notebook
from labkit.grading.question_verdict import DIGITS, MAX_FEEDBACK, Feedback, QuestionVerdict
from labkit.grading.questions import Question
from labkit.grading.sandbox.contract import Backend
from labkit.grading.sandboxed_solution import SandboxedSolution
from labkit.grading.solution import BrokerSource
from labkit.grading.submission_cells import SubmissionCells, take_cells
from labkit.parameters import check_methods

#: How many figures name a seed.
SEED_NAME = 16


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one submission has brought: a verdict per question, in the order of the notebook, and what is to be said of
    the whole notebook. `seed` names what all was drawn from: two reports on one student that name the same were asked
    the same. It tells nothing of that itself, so a report may be shown.
    """

    assignment: str
    student: str
    seed: str
    verdicts: tuple[QuestionVerdict, ...]
    notes: tuple[Feedback, ...] = ()

    @property
    def points(self) -> float:
        """The points of all questions, without those that wait for a person."""
        return round(sum(verdict.points for verdict in self.verdicts), DIGITS)

    @property
    def possible(self) -> float:
        """The most points that there are."""
        return round(sum(verdict.possible for verdict in self.verdicts), DIGITS)


@check_methods
class Grader:
    """Grades submissions of one assignment. Any number of threads may use it.

    What students are asked is drawn from the `secret` of the course. Questions of how code behaves need `brokers`,
    which are open as long as it grades.
    """

    def __init__(
        self,
        sandbox: Backend,
        assignment: Assignment,
        *,
        secret: CourseSecret,
        brokers: BrokerSource | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._secret = secret
        self._brokers = brokers
        self._assignment = assignment

    def grade(self, notebook: Path, *, student: str) -> Report:
        """The report on this notebook: of the same notebook of the same student always the same one, but for questions
        of behaviour, which are played anew.

        Raises `SandboxUnavailable`, `BrokerFailed` and whatever else is no fault of the student's, so that it can be
        tried again, and `BadAssignment` for a question that cannot be asked.
        """
        submitted = read_notebook(notebook)
        if isinstance(submitted, Feedback):
            return self._report(
                student, {name: QuestionVerdict.not_run(name, most, submitted) for name, most in self._possible()}
            )
        return self.grade_cells(submitted, student=student)

    def grade_cells(self, submitted: Sequence[NotebookCell], *, student: str) -> Report:
        """The report on a notebook of these cells; as `grade`."""
        cells = take_cells(self._assignment, submitted, student)
        seed = self._seed(student)
        with SandboxedSolution(
            self._sandbox, cells.code, student=student, seed=seed, brokers=self._brokers
        ) as solution:
            verdicts = {
                question.id: self._verdict(question, cells, solution) for question in self._assignment.questions
            }
            notes = [*_added(cells), *self._given_faults(solution, cells)]
        for note in self._by_hand():
            fault = cells.faults.get(note.grade_id)
            verdicts[note.grade_id] = (
                QuestionVerdict.by_hand(note.grade_id, note.points)
                if fault is None
                else QuestionVerdict.not_run(note.grade_id, note.points, fault)
            )
        return self._report(student, verdicts, notes)

    def _verdict(self, question: Question, cells: SubmissionCells, solution: SandboxedSolution) -> QuestionVerdict:
        if question.id in cells.faults:
            return QuestionVerdict.not_run(question.id, question.points, cells.faults[question.id])
        verdict = question.judge(solution)
        fault = solution.fault_of(question.id)
        if fault is None or verdict.state == "right":
            return verdict
        return replace(verdict, feedback=(fault, *verdict.feedback))

    def _given_faults(self, solution: SandboxedSolution, cells: SubmissionCells) -> Iterator[Feedback]:
        """What went wrong in cells that answer no question."""
        names = {question.id for question in self._assignment.questions}
        return (fault for number, fault in sorted(solution.faults.items()) if cells.code[number][0] not in names)

    def _seed(self, student: str) -> str:
        return self._secret.seed(self._assignment.name, student)

    def _by_hand(self) -> Iterator[Nbgrader]:
        return (cell.nbgrader for cell in self._assignment.by_hand() if cell.nbgrader is not None)

    def _possible(self) -> Iterator[tuple[str, float]]:
        """All questions, and what each is worth."""
        yield from ((question.id, question.points) for question in self._assignment.questions)
        yield from ((note.grade_id, note.points) for note in self._by_hand())

    def _report(
        self, student: str, verdicts: dict[str, QuestionVerdict], notes: list[Feedback] | None = None
    ) -> Report:
        order = [cell.nbgrader.grade_id for cell in self._assignment.release if cell.nbgrader is not None]
        return Report(
            assignment=self._assignment.name,
            student=student,
            seed=sha256(self._seed(student).encode()).hexdigest()[:SEED_NAME],
            verdicts=tuple(sorted(verdicts.values(), key=lambda verdict: order.index(verdict.question))),
            notes=tuple(notes or ())[:MAX_FEEDBACK],
        )


def _added(cells: SubmissionCells) -> Iterator[Feedback]:
    if cells.added:
        yield Feedback(
            "added cells",
            f"Cells of code that were added to the notebook ({cells.added}) are not run when it is graded.",
            "What an answer needs belongs into its cell.",
        )
