"""The gradebook of a course, nbgrader's: what the grader has found becomes points and comments in it.

What a person has written there stays. Source: nbgrader 0.9.6, preprocessors/saveautogrades.py and latesubmissions.py.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from alembic.script import ScriptDirectory
from nbgrader.api import (
    Base,
    Comment,
    Grade,
    Gradebook,
    InvalidEntry,
    MissingEntry,
    Notebook,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.dbutil import ALEMBIC_DIR
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from labkit.grading.assignment_folder import CHECK, Assignment
from labkit.grading.check_report import feedback_lines
from labkit.grading.course.course_errors import BadGradebook
from labkit.grading.course.course_folder import Course
from labkit.grading.course.student_roster import ListedStudent, StudentRoster
from labkit.grading.grader import Report
from labkit.grading.question_verdict import QuestionVerdict
from labkit.resource import Resource

#: How often a write is tried while another program has the database: each time SQLite waits for 5 s.
WRITES = 3

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
        with self._told():
            self._released(assignment)

    def must_fit(self, assignment: Assignment) -> None:
        """Raises `BadGradebook` unless it was released with the questions and points that it has now."""
        notes = [cell.nbgrader for cell in assignment.release if cell.nbgrader]
        with self._told():
            released = self._released(assignment.name)
            points = {(cell.name, cell.max_score) for cell in released.grade_cells}
            answers = {cell.name for cell in released.solution_cells}
        changed = {name for name, _ in points ^ {(note.grade_id, note.points) for note in notes if note.grade}}
        changed |= answers ^ {note.grade_id for note in notes if note.solution}
        if changed:
            raise _released_otherwise(assignment.name, ", ".join(sorted(changed)))

    def roster(self) -> StudentRoster:
        """Whom it lists."""
        with self._told():
            return StudentRoster(
                ListedStudent(student.id, student.first_name or "", student.last_name or "", student.lms_user_id or "")
                for student in self.gradebook.students
            )

    def result(self, assignment: str, student: str) -> tuple[dict[str, float], tuple[str, ...]]:
        """What each question has brought, also by a person, without those that wait for one for the first time; and
        the questions that a person has to look at.
        """
        with self._told():
            try:
                grades = self.gradebook.find_submission_notebook(assignment, assignment, student).grades
            except MissingEntry:
                return {}, ()
            points = {
                grade.name.removesuffix(CHECK): float(grade.score)
                for grade in grades
                if grade.auto_score is not None or grade.manual_score is not None
            }
            return points, tuple(sorted(grade.name.removesuffix(CHECK) for grade in grades if grade.needs_manual_grade))

    def enlist(self, students: Iterable[str]) -> None:
        """List students of these ids; those that are listed stay as they are."""
        with self._told():
            for student in students:
                self.gradebook.update_or_create_student(student)

    def students(self) -> list[str]:
        """The ids of all whom it lists, also of those whom nobody has listed and who were graded."""
        with self._told():
            return sorted(student.id for student in self.gradebook.students)

    def written(self, assignment: str) -> set[str]:
        """Whose submissions it has: none of them if it does not know the assignment."""
        with self._told():
            return {submission.student.id for submission in self.gradebook.assignment_submissions(assignment)}

    def waiting(self, assignment: str) -> int:
        """How many answers a person has to look at."""
        with self._told():
            submissions = self.gradebook.notebook_submissions(assignment, assignment)
            return sum(grade.needs_manual_grade for submission in submissions for grade in submission.grades)

    def write(self, report: Report, timestamp: datetime | None, *, again: bool = False) -> None:
        """The points and comments of this report, the time at which the submission came, and what it costs to be late.
        `again`: the report was written before, so what a person has looked at stays so, unless the gradebook has
        something else. Raises `BadGradebook`, also if it does not fit what was released.
        """
        for left in reversed(range(WRITES)):
            try:
                with self._told():
                    self._write(report, timestamp, again)
                return
            except BadGradebook as error:
                if not left or not isinstance(error.__cause__, SQLAlchemyError | InvalidEntry):
                    raise

    def _write(self, report: Report, timestamp: datetime | None, again: bool) -> None:
        name, student, book = report.assignment, report.student, self.gradebook
        book.update_or_create_student(student)
        with book.db.no_autoflush:
            submission = book.update_or_create_submission(name, student, timestamp=timestamp)
        try:
            notebook = book.find_submission_notebook(name, name, student)
            grades = {grade.name: grade for grade in notebook.grades}
            comments = {comment.name: comment for comment in notebook.comments}
            for verdict in report.verdicts:
                _write_verdict(verdict, grades, comments, again)
        except (MissingEntry, KeyError) as error:
            raise _released_otherwise(name, str(error)) from error
        book.db.flush()
        book.db.refresh(notebook, ["score"])
        notebook.late_submission_penalty = self._penalty(submission, notebook)
        book.db.commit()

    def _penalty(self, submission: SubmittedAssignment, notebook: SubmittedNotebook) -> float | None:
        """What is taken off for a late submission, as nbgrader is configured to."""
        if submission.assignment.duedate is None or not submission.total_seconds_late:
            return None
        late, student = AssignLatePenalties(config=self._course.config), submission.student.id
        try:
            late.init_plugin()
            penalty = late.plugin_inst.late_submission_penalty(student, notebook.score, submission.total_seconds_late)
            return None if penalty is None else min(max(float(penalty), 0.0), float(notebook.score))
        except Exception as error:  # whatever a program of the instructor's may raise
            raise BadGradebook(
                f"The late submission plugin in nbgrader_config.py fails for {student}: {type(error).__name__}: {error}"
            ) from error

    def _released(self, assignment: str) -> Notebook:
        try:
            return self.gradebook.find_notebook(assignment, assignment)
        except MissingEntry as error:
            raise BadGradebook(
                f"{assignment} was not released, so the gradebook does not know its questions. Say "
                f"`labkit grade release {assignment}` first."
            ) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """As `_told`; and what was begun is taken back, or nothing could be read or written any more."""
        with _told(self._course):
            try:
                yield
            except Exception:
                self.gradebook.db.rollback()
                raise


def comment_on(verdict: QuestionVerdict) -> str | None:
    """What a student reads below the answer, as a block of code in Markdown: a program has written it."""
    lines = [line for feedback in verdict.feedback for line in feedback_lines(feedback)]
    return textwrap.indent(textwrap.dedent("\n".join(lines)), "    ") or None


def _write_verdict(
    verdict: QuestionVerdict, grades: Mapping[str, Grade], comments: Mapping[str, Comment], again: bool
) -> None:
    by_hand = verdict.question in grades
    grade = grades[verdict.question if by_hand else f"{verdict.question}_check"]
    comment = comments[verdict.question]
    found = (None if verdict.state == "by hand" else verdict.points, comment_on(verdict))
    if again and found == (grade.auto_score, comment.auto_comment):
        return
    grade.auto_score, comment.auto_comment = found
    unclear = by_hand and any(feedback.mistake in _FOR_A_PERSON for feedback in verdict.feedback)
    grade.needs_manual_grade = grade.auto_score is None or grade.manual_score is not None or unclear


def _released_otherwise(assignment: str, what: str) -> BadGradebook:
    return BadGradebook(
        f"{assignment} was released with other questions, or other points, than its source has now ({what}). Say "
        f"`labkit grade release {assignment}` again."
    )


def _make_tables(url: str) -> None:
    """The tables of a new gradebook, all or none, also where two programs make them at once. nbgrader would ask the
    command `alembic` for their version, which need not be on the user's path.

    One that was begun and not finished, as by an earlier labkit that was killed, is finished. One without a version
    whose tables are others is an old nbgrader's, and is left as it is.
    """
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if _has_version(connection):
                return
            connection.rollback()
            if engine.dialect.name == "sqlite":  # Python's driver would commit each table by itself
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            if not _has_version(connection) and _fits(connection):
                Base.metadata.create_all(connection)
                connection.execute(text(f"CREATE TABLE IF NOT EXISTS {_VERSION} (version_num VARCHAR(32) NOT NULL)"))
                head = ScriptDirectory(ALEMBIC_DIR).get_current_head()
                connection.execute(text(f"INSERT INTO {_VERSION} VALUES (:version)"), {"version": head})  # noqa: S608
            connection.commit()
    finally:
        engine.dispose()


_VERSION = "alembic_version"


def _has_version(connection: Connection) -> bool:
    is_there = inspect(connection).has_table(_VERSION)
    return is_there and connection.scalar(text(f"SELECT max(version_num) FROM {_VERSION}")) is not None  # noqa: S608


def _fits(connection: Connection) -> bool:
    """Whether the tables that are there have all columns that this nbgrader's have."""
    found = inspect(connection)
    there = {name: {column["name"] for column in found.get_columns(name)} for name in found.get_table_names()}
    tables = Base.metadata.tables
    return all(
        {column.name for column in tables[name].c} <= columns for name, columns in there.items() if name in tables
    )


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
