"""The gradebook of a course, nbgrader's: what the grader has found becomes points and comments in it.

What a person has written there stays. Source: nbgrader 0.9.6, preprocessors/saveautogrades.py and latesubmissions.py.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from alembic.script import ScriptDirectory
from nbformat import NotebookNode
from nbgrader.api import Base, Gradebook, InvalidEntry, MissingEntry
from nbgrader.dbutil import ALEMBIC_DIR
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from labkit.grading.check_report import feedback_lines
from labkit.grading.course.course_errors import BadGradebook
from labkit.grading.course.course_folder import Course
from labkit.grading.course.student_roster import ListedStudent, StudentRoster
from labkit.grading.grader import Report
from labkit.grading.question_verdict import QuestionVerdict
from labkit.resource import Resource

#: What a person has to look at, though the program could make nothing of it.
_FOR_A_PERSON = {"duplicated cell", "retyped cell", "too long"}


class CourseGradebook(Resource):
    """The gradebook, made if there is none. For one thread. Raises `BadGradebook`."""

    def __init__(self, course: Course) -> None:
        self._course = course
        with _told(course):
            _make_tables(course.database)
            self.gradebook = Gradebook(course.database, course.id)

    def close(self) -> None:
        """Let go of the database."""
        self.gradebook.close()

    def must_know(self, assignment: str) -> None:
        """Raises `BadGradebook` unless the assignment was released."""
        with _told(self._course):
            try:
                released = self.gradebook.find_assignment(assignment).notebooks
            except MissingEntry:
                released = []
        if assignment not in [notebook.name for notebook in released]:
            raise BadGradebook(
                f"{assignment} was not released, so the gradebook does not know its questions. Say "
                f"`labkit grade release {assignment}` first."
            )

    def has(self, assignment: str, student: str) -> bool:
        """Whether there are points of this student."""
        with _told(self._course):
            try:
                self.gradebook.find_submission(assignment, student)
            except MissingEntry:
                return False
        return True

    def roster(self) -> StudentRoster:
        """Whom it lists."""
        with _told(self._course):
            return StudentRoster(
                ListedStudent(student.id, student.first_name or "", student.last_name or "", student.lms_user_id or "")
                for student in self.gradebook.students
            )

    def points(self, assignment: str, student: str) -> dict[str, float]:
        """What each question has brought, also by a person; without those that wait for one."""
        with _told(self._course):
            try:
                grades = self.gradebook.find_submission_notebook(assignment, assignment, student).grades
            except MissingEntry:
                return {}
            return {
                grade.name.removesuffix("_check"): float(grade.score)
                for grade in grades
                if grade.auto_score is not None or grade.manual_score is not None
            }

    def waiting(self, assignment: str) -> int:
        """How many answers a person has to look at."""
        with _told(self._course):
            submissions = self.gradebook.notebook_submissions(assignment, assignment)
            return sum(grade.needs_manual_grade for submission in submissions for grade in submission.grades)

    def write(self, report: Report, timestamp: datetime | None) -> None:
        """The points and comments of this report. Raises `BadGradebook`, also if it does not fit what was released."""
        name, student, book = report.assignment, report.student, self.gradebook
        with _told(self._course):
            book.update_or_create_student(student)
            with book.db.no_autoflush:
                book.update_or_create_submission(name, student, timestamp=timestamp)
            try:
                for verdict in report.verdicts:
                    self._write_verdict(verdict, name, student)
            except MissingEntry as error:
                book.db.rollback()
                raise BadGradebook(
                    f"{name} was released with other questions than its source has now ({error}). Say `labkit grade "
                    f"release {name}` again."
                ) from error
            book.db.commit()
            self._take_off(name, student)

    def _write_verdict(self, verdict: QuestionVerdict, assignment: str, student: str) -> None:
        by_hand = _is_by_hand(self.gradebook, verdict.question, assignment)
        cell = verdict.question if by_hand else f"{verdict.question}_check"
        grade = self.gradebook.find_grade(cell, assignment, assignment, student)
        grade.auto_score = None if verdict.state == "by hand" else verdict.points
        unclear = by_hand and any(feedback.mistake in _FOR_A_PERSON for feedback in verdict.feedback)
        grade.needs_manual_grade = grade.auto_score is None or grade.manual_score is not None or unclear
        comment = self.gradebook.find_comment(verdict.question, assignment, assignment, student)
        comment.auto_comment = comment_on(verdict)

    def _take_off(self, assignment: str, student: str) -> None:
        """The penalty for a late submission, as nbgrader is configured to take off."""
        submission = self.gradebook.find_submission(assignment, student)
        if submission.duedate is None:
            return
        where = {"notebook": assignment, "assignment": assignment, "student": student, "db_url": self._course.database}
        notebook = NotebookNode(cells=[])  # type: ignore[no-untyped-call]
        AssignLatePenalties(config=self._course.config).preprocess(notebook, {"nbgrader": where})
        self.gradebook.db.expire_all()


def comment_on(verdict: QuestionVerdict) -> str | None:
    """What a student reads below the answer, as a block of code in Markdown: a program has written it."""
    lines = [line for feedback in verdict.feedback for line in feedback_lines(feedback)]
    return textwrap.indent(textwrap.dedent("\n".join(lines)), "    ") or None


def _is_by_hand(book: Gradebook, question: str, assignment: str) -> bool:
    try:
        book.find_grade_cell(question, assignment, assignment)
    except MissingEntry:
        return False
    return True


def _make_tables(url: str) -> None:
    """The tables of a new gradebook. nbgrader would ask the command `alembic` for their version, which need not be on
    the user's path.
    """
    engine = create_engine(url)
    try:
        if inspect(engine).get_table_names():
            return
        version = ScriptDirectory(ALEMBIC_DIR).get_current_head()
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})
    finally:
        engine.dispose()


@contextmanager
def _told(course: Course) -> Iterator[None]:
    """What the database says becomes one sentence."""
    try:
        yield
    except (SQLAlchemyError, InvalidEntry) as error:
        said = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise BadGradebook(
            f"The gradebook {course.database} cannot be used: {said}. If another program has it open, as formgrader "
            "while it saves, try again; if it is of another version of nbgrader, `nbgrader db upgrade` helps."
        ) from error
