"""A course from its beginning to the points, with nbgrader's gradebook and a grader that runs no student code.

In one file, and so in one process, since nbgrader takes seconds to import.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from nbgrader.converters import Autograde
from sqlalchemy import event

from labkit.errors import BadAssignment
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.course import class_report as class_report_module
from labkit.grading.course import demo_class, submission_archive
from labkit.grading.course.class_report import class_report, write_class_report
from labkit.grading.course.class_statistics import QuestionStatistics, class_statistics
from labkit.grading.course.course_errors import (
    BadCourse,
    BadGradebook,
    ConversionFailed,
    NoSubmissions,
    UnknownAssignment,
)
from labkit.grading.course.course_folder import Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.feedback_pages import make_feedback
from labkit.grading.course.graded_file import read_graded
from labkit.grading.course.grading_run import ATTEMPTS, GradedSubmission, GradingRun
from labkit.grading.course.nbgrader_conversion import run_converter
from labkit.grading.course.new_course import make_course
from labkit.grading.course.points_table import write_points
from labkit.grading.course.released_folder import release_assignment
from labkit.grading.course.submission_time import write_timestamp
from labkit.grading.course_secret import read_secret
from labkit.grading.grader import Report
from labkit.grading.notebook_file import read_notebook
from labkit.grading.question_verdict import Feedback
from labkit.grading.visible_checks import read_checks
from tests.conditions import PATIENCE
from tests.refused_threads import refuse_threads
from tests.unit.grading.course.courses import cell, grade, hand_in, sources

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course with one assignment, which is released."""
    folder = tmp_path_factory.mktemp("made")
    course = make_course(folder / "course", sources(folder / "assignments"))
    release_assignment(course, "double")
    return course


@pytest.fixture
def course(made: Course, tmp_path: Path) -> Course:
    """A copy of it."""
    shutil.copytree(made.root, tmp_path / "course")
    return Course(tmp_path / "course")


@pytest.fixture
def gradebook(course: Course) -> Iterator[CourseGradebook]:
    with CourseGradebook(course) as opened:
        yield opened


def auto(course: Course, gradebook: CourseGradebook, grade=grade, **more: object) -> dict[str, GradedSubmission]:
    run = GradingRun(course, "double", gradebook, **more)
    return {one.student: one for one in run.outcomes(grade, concurrency=2)}


def grades(gradebook: CourseGradebook, student: str) -> dict[str, tuple[float | None, bool]]:
    """By cell what the program gave, and whether a person has to look."""
    found = gradebook.gradebook.find_submission_notebook("double", "double", student).grades
    return {one.name: (one.auto_score, one.needs_manual_grade) for one in found}


def comments(gradebook: CourseGradebook, student: str) -> dict[str, str | None]:
    found = gradebook.gradebook.find_submission_notebook("double", "double", student).comments
    return {one.name: one.comment for one in found}


def test_a_course_is_made_once_and_what_is_there_stays(made: Course, tmp_path: Path) -> None:
    folders = ("source", "release", "submitted", "autograded", "feedback")
    assert {file.name for file in made.root.iterdir()} == {
        *folders,
        "nbgrader_config.py",
        "course_secret",
        "gradebook.db",
    }
    shutil.copytree(made.root, tmp_path / "course")
    course = Course(tmp_path / "course")
    seed = read_secret(course.root).seed("double", "ada")
    (course.root / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'queues'\n")
    (course.source("double") / "mine.txt").write_text("mine")
    again = make_course(course.root, sources(tmp_path / "assignments"))
    assert again.id == "queues"
    assert (again.source("double") / "mine.txt").exists()
    assert read_secret(course.root).seed("double", "ada") == seed
    assert again.assignments() == ["double"]


def test_what_is_no_course_says_so(course: Course, tmp_path: Path) -> None:
    with pytest.raises(BadCourse, match="There are no assignments in"):
        make_course(tmp_path / "other", tmp_path)
    with pytest.raises(BadCourse, match="for a pattern"):
        make_course(tmp_path / "other [1]", sources(tmp_path / "assignments"))
    (tmp_path / "file").touch()
    with pytest.raises(BadCourse, match=r"No course can be made in .*/file/other: Not a directory\."):
        make_course(tmp_path / "file" / "other", tmp_path / "assignments")
    assert {path.name for path in tmp_path.iterdir()} == {"course", "assignments", "file"}
    with pytest.raises(BadCourse, match="There is no course in"):
        Course(tmp_path)
    configuration = course.root / "nbgrader_config.py"
    for text, said in (
        ("1 / 0", "ZeroDivisionError"),
        ("get_config().CourseDirectory.directory_structure = 'x'", "another"),
    ):
        configuration.write_text(text)
        with pytest.raises(BadCourse, match=said):
            Course(course.root)
    with pytest.raises(UnknownAssignment, match="no assignment 'a1'; there are double"):
        course.assignment("a1")


def test_one_grades_at_a_time(course: Course) -> None:
    with course.being_graded(), pytest.raises(BadCourse, match="is grading in"), Course(course.root).being_graded():
        pass
    with Course(course.root).being_graded():
        pass


def test_a_release_has_the_visible_checks_and_no_solutions(course: Course) -> None:
    folder = course.release("double")
    assert {file.name for file in folder.iterdir()} == {"double.ipynb", "checks.json"}
    text = (folder / "double.ipynb").read_text()
    assert "return FACTOR * x" not in text
    assert "1 / 0" not in text
    cells = json.loads(text)["cells"]
    assert [one["metadata"].get("deletable") for one in cells if one["metadata"].get("nbgrader")] == [False] * 6
    assert read_checks(folder).release == read_assignment(course.source("double")).release


def test_a_release_that_cannot_be_made_says_why(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada")
    auto(course, gradebook)
    file = course.source("double") / "double.ipynb"
    text = file.read_text()
    file.write_text(text.replace("given", "granted"))
    with pytest.raises(ConversionFailed, match="Cannot add or remove cells"):
        release_assignment(course, "double")
    file.write_text(text.replace("### END SOLUTION", ""))
    with pytest.raises(BadAssignment, match="END SOLUTION"):
        release_assignment(course, "double")


def test_points_and_comments_are_in_the_gradebook(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada")
    hand_in(course, "ben", q1="wrong", q3="", added=[cell("mine = 1")])
    write_timestamp(course.submitted("ada", "double"), datetime(2026, 11, 28, 10, tzinfo=UTC))
    found = auto(course, gradebook)
    assert [(one.fresh, one.failure) for one in found.values()] == [(True, "")] * 2
    assert grades(gradebook, "ada") == {"q1_check": (2, False), "q2_check": (2, False), "q3": (None, True)}
    assert grades(gradebook, "ben") == {"q1_check": (0, False), "q2_check": (2, False), "q3": (0, False)}
    assert comments(gradebook, "ada") == {"q1": None, "q2": None, "q3": None}
    assert comments(gradebook, "ben")["q1"] == (
        "    It is not twice as much. double(3) returned 9.\n      Hint: Look at the factor."
    )
    submission = gradebook.gradebook.find_submission("double", "ada")
    assert submission.timestamp.isoformat() == "2026-11-28T10:00:00"
    assert (course.autograded("ada", "double") / "timestamp.txt").exists()
    graded = json.loads((course.autograded("ben", "double") / "double.ipynb").read_text())
    shown = ["".join(one["source"]) for one in graded["cells"]]
    assert "wrong" in shown
    assert shown[0] == "Of the whole notebook:\n\n    Cells were added."
    assert shown[-1] == "    mine = 1"


def test_a_notebook_that_names_another_student_is_told(course: Course, gradebook: CourseGradebook) -> None:
    for student, named in (("ada", "ben"), ("ben", "ben"), ("cleo", "")):
        hand_in(course, student, added=[cell(f"STUDENT = {named!r}", tags=("student",))] if named else [])
    assert {one.student: one.names for one in auto(course, gradebook).values()} == {"ada": "ben", "ben": "", "cleo": ""}


def test_a_written_answer_without_end_is_cut_off(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada", q3="\\begin{x}" * 20_000)
    auto(course, gradebook)
    cells = json.loads((course.autograded("ada", "double") / "double.ipynb").read_text())["cells"]
    (shown,) = (one["source"] for one in cells if one["metadata"].get("nbgrader", {}).get("grade_id") == "q3")
    assert len(shown) < 21_000
    assert shown.endswith("see the file that was handed in.")


def test_nothing_is_graded_twice_unless_it_has_changed(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada")
    hand_in(course, "ben")
    asked: list[str] = []

    def count(notebook: Path, student: str):
        asked.append(student)
        return grade(notebook, student)

    auto(course, gradebook, count, students=["ada"])
    found = auto(course, gradebook, count)
    assert asked == ["ada", "ben"]
    assert [one.fresh for one in found.values()] == [False, True]
    assert found["ada"].report is not None
    assert found["ada"].report.points == 4
    hand_in(course, "ada", q1="wrong")
    auto(course, gradebook, count)
    assert asked == ["ada", "ben", "ada"]
    assert grades(gradebook, "ada")["q1_check"] == (0, False)
    declared = course.source("double") / "questions" / "q1.py"
    declared.write_text(f"{declared.read_text()}\n")
    auto(course, gradebook, count)
    assert asked == ["ada", "ben", "ada", *asked[3:]]
    assert sorted(asked[3:]) == ["ada", "ben"]


def test_points_that_the_gradebook_has_lost_are_written_again(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada")
    auto(course, gradebook)
    gradebook.gradebook.remove_submission("double", "ada")
    assert not auto(course, gradebook)["ada"].fresh
    assert grades(gradebook, "ada")["q1_check"] == (2, False)


def test_what_an_older_copy_of_the_gradebook_has_is_mended(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada")
    hand_in(course, "ben")
    auto(course, gradebook)
    found = gradebook.gradebook.find_submission_notebook("double", "double", "ada")
    older = {one.name: one for one in found.grades}
    older["q1_check"].auto_score, older["q2_check"].manual_score = 0, 1.5
    older["q2_check"].needs_manual_grade = False
    next(one for one in found.comments if one.name == "q1").auto_comment = "Wrong."
    gradebook.gradebook.db.commit()
    assert not auto(course, gradebook)["ada"].fresh
    assert grades(gradebook, "ada") == {"q1_check": (2, False), "q2_check": (2, False), "q3": (None, True)}
    assert comments(gradebook, "ada")["q1"] is None
    assert gradebook.result("double", "ada")[0] == {"q1": 2, "q2": 1.5}


@pytest.fixture
def locked(course: Course) -> Iterator[tuple[CourseGradebook, sqlite3.Connection]]:
    """A gradebook that does not wait for its file, and another program that writes it."""
    file = course.root / "gradebook.db"
    with (course.root / "nbgrader_config.py").open("a") as opened:
        opened.write(f"c.CourseDirectory.db_url = 'sqlite:///{file}?timeout=0'\n")
    other = sqlite3.connect(file, isolation_level=None)
    try:
        with CourseGradebook(Course(course.root)) as gradebook:
            gradebook.write(grade(hand_in(course, "ada", q1="wrong"), "ada"), None)
            other.execute("BEGIN IMMEDIATE")
            yield gradebook, other
    finally:
        other.close()


def test_a_locked_gradebook_costs_no_later_write(
    course: Course, locked: tuple[CourseGradebook, sqlite3.Connection]
) -> None:
    gradebook, other = locked
    report = grade(hand_in(course, "ada"), "ada")
    with pytest.raises(BadGradebook, match="database is locked"):
        gradebook.write(report, None)
    other.execute("ROLLBACK")
    gradebook.write(report, None)
    assert grades(gradebook, "ada")["q1_check"] == (2, False)


def test_a_write_is_tried_again_when_another_program_lets_go(
    course: Course, locked: tuple[CourseGradebook, sqlite3.Connection]
) -> None:
    gradebook, other = locked
    event.listen(gradebook.gradebook.db(), "after_rollback", lambda _: other.in_transaction and other.rollback())
    gradebook.write(grade(hand_in(course, "ada"), "ada"), None)
    assert grades(gradebook, "ada")["q1_check"] == (2, False)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [('"points": 3', '"points": 80', r"\(q3\)"), ('"grade_id": "q3"', '"grade_id": "q4"', r"\(q3, q4\)")],
)
def test_what_is_not_released_as_it_is_now_is_not_graded(
    course: Course, gradebook: CourseGradebook, old: str, new: str, named: str
) -> None:
    hand_in(course, "ada")
    file = course.source("double") / "double.ipynb"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(BadGradebook, match=f"{named}. Say `labkit grade release double` again"):
        GradingRun(course, "double", gradebook)
    release_assignment(course, "double")
    with CourseGradebook(course) as again:
        GradingRun(course, "double", again)


def test_nbgrader_runs_nothing_and_what_it_deletes_is_made_again(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada", q1="raise SystemExit")
    auto(course, gradebook)
    before = (course.autograded("ada", "double") / "double.ipynb").read_text()
    with pytest.raises(ConversionFailed, match="Say `labkit grade auto` instead"):
        run_converter(Autograde(coursedir=course.directory("double"), config=course.config, force=True), "grades")
    assert not course.autograded("ada", "double").exists()
    assert not auto(course, gradebook)["ada"].fresh
    assert (course.autograded("ada", "double") / "double.ipynb").read_text() == before


def test_what_a_person_has_given_stays_and_is_to_be_looked_at_again(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada")
    auto(course, gradebook)
    by_hand = gradebook.gradebook.find_grade("q3", "double", "double", "ada")
    by_hand.manual_score, by_hand.needs_manual_grade = 2.5, False
    gradebook.gradebook.db.commit()
    auto(course, gradebook)
    assert gradebook.gradebook.find_submission("double", "ada").score == 6.5
    assert grades(gradebook, "ada")["q3"] == (None, False)
    hand_in(course, "ada", q3="Because it is so.")
    auto(course, gradebook)
    assert gradebook.gradebook.find_submission("double", "ada").score == 6.5
    assert grades(gradebook, "ada")["q3"] == (None, True)


def test_one_that_fails_keeps_out_no_other_and_is_tried_again(course: Course, gradebook: CourseGradebook) -> None:
    for student, answer in (("ada", "broken"), ("ben", "right"), ("cleo", "wrong")):
        hand_in(course, student, answer)
    hand_in(course, "dan").write_text("{")
    asked: list[str] = []

    def count(notebook: Path, student: str):
        asked.append(student)
        return grade(notebook, student)

    found = auto(course, gradebook, count)
    assert asked.count("ada") == ATTEMPTS
    assert found["ada"].report is None
    assert found["ada"].failure == "RuntimeError: ada"
    assert gradebook.result("double", "ada")[0] == {}
    assert [student for student, one in found.items() if one.report] != ["ada"]
    assert grades(gradebook, "dan") == {"q1_check": (0, False), "q2_check": (0, False), "q3": (0, False)}
    assert (course.autograded("dan", "double") / "double.ipynb").exists()
    hand_in(course, "ada")
    again = auto(course, gradebook)
    assert [student for student, one in again.items() if one.fresh] == ["ada"]


def test_who_stops_in_the_middle_goes_on_where_it_was(course: Course, gradebook: CourseGradebook) -> None:
    for student in ("ada", "ben", "cleo"):
        hand_in(course, student)
    outcomes = GradingRun(course, "double", gradebook).outcomes(grade)
    first = next(outcomes)
    outcomes.close()
    assert read_graded(course, first.student, "double") is not None
    found = auto(course, gradebook)
    assert sorted(student for student, one in found.items() if one.fresh) == sorted(
        {"ada", "ben", "cleo"} - {first.student}
    )


def test_what_is_under_way_can_be_waited_for(course: Course, gradebook: CourseGradebook) -> None:
    for student in ("ada", "ben"):
        hand_in(course, student)
    begun, go_on = threading.Event(), threading.Event()

    def slow(notebook: Path, student: str):
        if student == "ben":
            begun.set()
            go_on.wait(PATIENCE)
        return grade(notebook, student)

    run = GradingRun(course, "double", gradebook)
    outcomes = run.outcomes(slow, concurrency=2)
    assert next(outcomes).student == "ada"
    assert begun.wait(PATIENCE)
    outcomes.close()
    assert not run.join(0)
    go_on.set()
    assert run.join(PATIENCE)


def test_where_a_thread_cannot_be_started_nothing_more_is_begun(course, gradebook, monkeypatch) -> None:
    """Another has one in hand by then, which can be waited for."""
    for student in ("ada", "ben", "cleo"):
        hand_in(course, student)
    asked, go_on = [], threading.Event()

    def slow(notebook: Path, student: str):
        asked.append(student)
        go_on.wait(PATIENCE)
        return grade(notebook, student)

    refuse_threads(monkeypatch, "labkit-grader-1")
    run = GradingRun(course, "double", gradebook)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        next(run.outcomes(slow, concurrency=2))
    go_on.set()
    assert run.join(PATIENCE)
    assert len(asked) <= 1


def test_who_has_nothing_to_grade_is_told(course: Course, gradebook: CourseGradebook) -> None:
    with pytest.raises(NoSubmissions, match="labkit grade collect double FROM"):
        auto(course, gradebook)
    hand_in(course, "ada")
    with pytest.raises(NoSubmissions, match="ben handed nothing in of double"):
        auto(course, gradebook, students=["ada", "ben"])
    gradebook.gradebook.remove_assignment("double")
    with pytest.raises(BadGradebook, match="labkit grade release double"):
        auto(course, gradebook)


def with_penalty(course: Course, penalty: str) -> Course:
    """The course, where it costs this to be late."""
    (course.root / "late.py").write_text(
        "from nbgrader.plugins import BasePlugin\n"
        "class Late(BasePlugin):\n"
        "    def late_submission_penalty(self, student_id, score, total_seconds_late):\n"
        f"        return {penalty}\n"
    )
    with (course.root / "nbgrader_config.py").open("a") as file:
        file.write("from importlib.util import module_from_spec, spec_from_file_location\n")
        file.write(f"spec = spec_from_file_location('late', {str(course.root / 'late.py')!r})\n")
        file.write("late = module_from_spec(spec)\nspec.loader.exec_module(late)\n")
        file.write("c.AssignLatePenalties.plugin_class = late.Late\n")
    return Course(course.root)


def test_a_late_submission_costs_what_nbgrader_is_told(course: Course) -> None:
    late, due = with_penalty(course, "total_seconds_late / 3600"), datetime(2026, 11, 28, 10, tzinfo=UTC)
    hand_in(late, "ada")
    write_timestamp(late.submitted("ada", "double"), due + timedelta(hours=1))
    with CourseGradebook(late) as gradebook:
        gradebook.gradebook.update_or_create_assignment("double", duedate=due)
        auto(late, gradebook)
        assert gradebook.gradebook.find_submission("double", "ada").late_submission_penalty == 1
        write_points(late, gradebook.gradebook, late.root / "grades.csv")
    (row,) = csv.DictReader((late.root / "grades.csv").read_text().splitlines())
    assert (row["raw_score"], row["late_submission_penalty"], row["score"], row["max_score"]) == (
        "4.0",
        "1.0",
        "3.0",
        "7.0",
    )


def test_points_go_through_a_pipe_which_stays(course: Course, gradebook: CourseGradebook, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"  # as /dev/stdout may be one, or a device
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_points(course, gradebook.gradebook, pipe)
        assert os.read(reader, 1000).startswith(b"assignment,")
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_due_date_and_a_time_count_whenever_they_are_known(course: Course) -> None:
    late, due = with_penalty(course, "total_seconds_late / 3600"), datetime(2026, 11, 28, 10, tzinfo=UTC)
    hand_in(late, "ada")
    with CourseGradebook(late) as gradebook:

        def penalty() -> tuple[float, bool]:
            found = auto(late, gradebook)["ada"]
            return gradebook.gradebook.find_submission("double", "ada").late_submission_penalty, found.fresh

        assert penalty() == (0, True)
        gradebook.gradebook.update_or_create_assignment("double", duedate=due)
        assert penalty() == (0, False)
        write_timestamp(late.submitted("ada", "double"), due + timedelta(hours=1))
        assert penalty() == (1, False)
        assert (late.autograded("ada", "double") / "timestamp.txt").exists()
        gradebook.gradebook.update_or_create_assignment("double", duedate=due - timedelta(hours=9))
        assert penalty() == (4, False)
        gradebook.gradebook.update_or_create_assignment("double", duedate=None)
        assert penalty() == (0, False)


def test_a_penalty_that_cannot_be_told_is_said(course: Course) -> None:
    late, due = with_penalty(course, "1 / 0"), datetime(2026, 11, 28, 10, tzinfo=UTC)
    hand_in(late, "ada")
    write_timestamp(late.submitted("ada", "double"), due + timedelta(hours=1))
    with CourseGradebook(late) as gradebook:
        gradebook.gradebook.update_or_create_assignment("double", duedate=due)
        assert "fails for ada: ZeroDivisionError" in auto(late, gradebook)["ada"].failure


def test_points_are_one_row_each_however_a_student_is_called(course: Course, gradebook: CourseGradebook) -> None:
    book = gradebook.gradebook
    book.add_student("s1", last_name="Lovelace, Countess", first_name='=HYPERLINK("x")')
    book.add_student("s2")
    hand_in(course, "s1")
    auto(course, gradebook)
    assert write_points(course, book, course.root / "grades.csv", "double") == (2, {})
    second, first = csv.DictReader((course.root / "grades.csv").read_text().splitlines())
    assert (first["last_name"], first["first_name"], first["score"]) == (
        "Lovelace, Countess",
        '\'=HYPERLINK("x")',
        "4.0",
    )
    assert (first["needs_manual_grade"], second["student_id"], second["score"]) == ("True", "s2", "0.0")


def test_who_is_not_graded_has_no_score(course: Course, gradebook: CourseGradebook) -> None:
    """`ada` is graded, `ben` has handed in again since, `cleo` was not graded and is on no list."""
    hand_in(course, "ada")
    hand_in(course, "ben")
    auto(course, gradebook)
    hand_in(course, "ben", q1="wrong")
    hand_in(course, "cleo")
    written = write_points(course, gradebook.gradebook, course.root / "grades.csv")
    assert written == (3, {"double": ["ben", "cleo"]})
    rows = csv.DictReader((course.root / "grades.csv").read_text().splitlines())
    assert [(row["student_id"], row["score"], row["max_score"], row["needs_manual_grade"]) for row in rows] == [
        ("ada", "4.0", "7.0", "True"),
        ("ben", "", "7.0", ""),
        ("cleo", "", "7.0", ""),
    ]
    found = class_statistics(course, course.assignment("double"), gradebook)
    assert (found.graded, found.not_graded) == (1, ("ben", "cleo"))
    auto(course, gradebook)
    assert write_points(course, gradebook.gradebook, course.root / "grades.csv") == (3, {})
    assert class_statistics(course, course.assignment("double"), gradebook).not_graded == ()
    gradebook.gradebook.remove_submission("double", "ada")
    assert write_points(course, gradebook.gradebook, course.root / "grades.csv") == (3, {"double": ["ada"]})
    found = class_statistics(course, course.assignment("double"), gradebook)
    assert (found.graded, found.not_graded) == (2, ("ada",))


def test_without_its_gradebook_nobody_is_graded(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada")
    auto(course, gradebook)
    (course.root / "gradebook.db").unlink()
    with CourseGradebook(course) as new:
        found = class_statistics(course, course.assignment("double"), new)
        assert (found.students, found.not_graded) == ((), ("ada",))
        assert "all is graded" not in report_of(course, new)


def test_statistics_tell_points_and_mistakes_by_question(course: Course, gradebook: CourseGradebook) -> None:
    for student, answer in (("ada", "right"), ("ben", "wrong"), ("cleo", "wrong"), ("dan", "broken")):
        hand_in(course, student, answer)
    hand_in(course, "eva").write_text("{")
    auto(course, gradebook)
    by_hand = gradebook.gradebook.find_grade("q3", "double", "double", "ada")
    by_hand.manual_score = 1.5
    gradebook.gradebook.db.commit()
    found = class_statistics(course, course.assignment("double"), gradebook)
    assert found.graded == 4
    assert found.not_graded == ("dan",)
    assert found.unreadable == {"eva": "The notebook is damaged: Input data was truncated."}
    assert found.questions == (
        QuestionStatistics(
            "q1",
            "Twice as much",
            2,
            0.5,
            1,
            0,
            3,
            0,
            ((2, "any number", "It is not twice as much. double(3) returned 9."),),
            None,
        ),
        QuestionStatistics("q2", "Twice as much", 2, 1.5, 3, 0, 1, 0, (), None),
        QuestionStatistics("q3", "graded by hand", 3, 0.75, 0, 1, 1, 2, (), None),
    )


def test_a_run_that_went_wrong_is_shown_beneath_its_checks(course: Course, gradebook: CourseGradebook) -> None:
    for student, answer in (("ada", "wrong"), ("ben", "right")):
        hand_in(course, student, answer)
    auto(course, gradebook)

    def shown(student: str) -> list[str]:
        notebook = nbformat.read(course.autograded(student, "double") / "double.ipynb", as_version=4)
        nbformat.validate(notebook)
        return [one.metadata.nbgrader.grade_id for one in notebook.cells if one.get("outputs")]

    assert (shown("ada"), shown("ben")) == (["q1_check"], [])


@pytest.mark.slow
def test_feedback_shows_the_comments_and_runs_nothing_of_a_student(course: Course, gradebook: CourseGradebook) -> None:
    with pytest.raises(ConversionFailed, match="labkit grade auto double"):
        make_feedback(course, "double")
    attack = (
        "<script>alert(1)</script> <img src=x onerror=alert(2)> [x](javascript:alert`3`) ![x](attachment:none)\n\n"
        "```mermaid\n<script>alert(4)</script>\n```\n\n$\\href{javascript:alert(5)}{x}$ and $a < b$"
    )
    hand_in(course, "ada", q1="wrong", q3=attack, added=[cell("<script>alert(6)</script>")])
    hand_in(course, "ben").write_text("{")
    auto(course, gradebook)
    ada, ben = make_feedback(course, "double")
    text = ada.read_text()
    assert "It is not twice as much. double(3) returned 9." in text
    for number in range(1, 7):
        assert f"alert({number})" in text or number == 3
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert 'href="javascript' not in text
    assert "<code>\\href{javascript:alert(5)}{x}</code>" in text
    assert text.count('<img alt="a &lt; b"') == text.count("data:image/svg+xml;base64,") == 1
    assert set(re.findall(r'(?:src|href)="(?!#)([^"]{5})', text)) == {"data:"}  # beside places in the page
    assert "<script" not in text
    assert "(Score: 2.0 / 7.0)" in text
    assert text.count("data:image/png;base64,") == 1
    assert 'alt="q1: which worker had which task when"' in text
    assert "The notebook is damaged" in ben.read_text()


def report_of(course: Course, gradebook: CourseGradebook) -> str:
    page = write_class_report(course, class_report(course, "double", gradebook), now=NOW)
    assert page == course.root / "reports" / "double.html"
    return page.read_text()


def test_the_class_report_has_what_students_wrote_as_text(course: Course, gradebook: CourseGradebook) -> None:
    code = "".join(f"x{n} = '<script>alert({n})</script>' + y{n}({n}, [{n}])\n" for n in range(12))
    for student in ("ada", "<b>ben"):
        hand_in(course, student, code)
    hand_in(course, "cleo", "right")
    hand_in(course, "dan").write_text("{")
    hand_in(course, "eva", "broken")
    gradebook.enlist(["ada", "fay"])
    auto(course, gradebook)
    page = report_of(course, gradebook)
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(0)&lt;/script&gt;" in page
    assert "<strong>&lt;b&gt;ben</strong> and <strong>ada</strong>" in page
    said = r"q1, 100% of the (\d+) characters that are &lt;b&gt;ben’s own and 100% of the \1 that are ada’s"
    assert re.search(said, page)
    assert "http" not in page.replace("http-equiv", "")
    assert '<td class="number">2</td><th>any number</th><td>It is not twice as much. double(3) returned 9.</td>' in page
    assert "<tr><th>wait for a person</th><td>&lt;b&gt;ben (q3), ada (q3), cleo (q3)</td></tr>" in page
    assert "<tr><th>not graded as it is now</th><td>eva. " in page
    assert "<tr><th>handed in nothing</th><td>fay</td></tr>" in page
    assert "<td>dan: The notebook is damaged: Input data was truncated.</td>" in page
    assert "4 students: half of them have 2 points or more of 7; from 0 to 4." in page
    assert "Class report of 2026-11-28 10:00" in page
    assert page.count("data:image/svg+xml;base64,") == 1
    assert report_of(course, gradebook) == page


def test_the_class_report_leads_to_the_feedback_that_there_is(course: Course, gradebook: CourseGradebook) -> None:
    for student in ("ada", "a b&c"):
        hand_in(course, student)
    auto(course, gradebook)
    assert "<a " not in report_of(course, gradebook)
    page = course.feedback("a b&c", "double") / "double.html"
    page.parent.mkdir(parents=True)
    page.write_text("feedback")
    assert '<a href="../feedback/a%20b%26c/double/double.html">a b&amp;c</a>' in report_of(course, gradebook)


def test_only_its_owner_reads_the_report_and_a_name_may_be_no_utf_8(course: Course, gradebook: CourseGradebook) -> None:
    hand_in(course, "ada")
    hand_in(course, os.fsdecode(b"b\xe9n"))
    auto(course, gradebook, students=["ada"])
    assert "<tr><th>not graded as it is now</th><td>b\\udce9n. " in report_of(course, gradebook)
    assert (course.root / "reports" / "double.html").stat().st_mode & 0o777 == 0o600


def test_a_class_of_nobody_of_one_and_of_none_graded_has_a_report(course: Course, gradebook: CourseGradebook) -> None:
    page = report_of(course, gradebook)
    assert "<dd>0</dd>" in page
    assert "Nobody is graded. Say <code>labkit grade auto double</code> first." in page
    assert "No two answers are alike in this sense." in page
    hand_in(course, "ada")
    page = report_of(course, gradebook)
    assert "Nobody is graded." in page
    assert "<tr><th>not graded as it is now</th><td>ada. " in page
    auto(course, gradebook)
    page = report_of(course, gradebook)
    assert "One student, with 4 of 7 points." in page
    assert "<tr><th>wait for a person</th><td>ada (q3)</td></tr>" in page
    grade_q3 = gradebook.gradebook.find_grade("q3", "double", "double", "ada")
    grade_q3.manual_score, grade_q3.needs_manual_grade = 3, False
    gradebook.gradebook.db.commit()
    page = report_of(course, gradebook)
    assert "One student, with 7 of 7 points." in page
    assert "All who are listed have handed in, and all is graded." in page


def test_a_large_class_has_the_pairs_that_are_most_alike(
    course: Course, gradebook: CourseGradebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_report_module, "MOST_PAIRS", 2)
    code = "".join(f"x{n} = y{n}({n}, [z{n} * {n}])\n" for n in range(12))
    for student in ("ada", "ben", "cleo"):
        hand_in(course, student, code + 10_000 * "#")
    page = report_of(course, gradebook)
    assert page.count("<details>") == 2
    assert "And 1 more." in page
    assert page.count("[…]") == 4
    assert len(page) < 60_000


CLASS = """
absent = ["fay"]
students.ada = {others = "model", answers.q3 = "Because <b>I</b> say so."}
students.ben = {answers.q1 = "def double(x): return x + x"}
students.cleo = {file = "{"}
"""
MODEL = "def double(x):\n    return FACTOR * x"


@pytest.fixture
def declared(tmp_path: Path) -> Path:
    """Where a class for the small assignment is to be declared."""
    sources(tmp_path / "assignments" / "source")
    (tmp_path / "assignments" / "demo").mkdir()
    return tmp_path / "assignments" / "demo" / "double.toml"


def test_a_class_to_show_is_made_from_its_file(declared: Path, tmp_path: Path) -> None:
    declared.write_text(CLASS)
    (tmp_path / "there").mkdir()
    course, assignment, submissions = demo_class.make_demo_course(tmp_path / "there", declared, now=NOW)
    assert (assignment, submissions) == ("double", 3)
    assert course.submissions("double").keys() == {"ada", "ben", "cleo"}
    cells = {
        student: {one.nbgrader.grade_id: one.source for one in cells if one.nbgrader}
        for student, file in course.submissions("double").items()
        if not isinstance(cells := read_notebook(file), Feedback)
    }
    read = course.assignment("double")
    release = {one.nbgrader.grade_id: one.source for one in read.release if one.nbgrader}
    assert cells.keys() == {"ada", "ben"}
    assert (cells["ada"]["q1"], cells["ada"]["q3"]) == (MODEL, "Because <b>I</b> say so.")
    assert (cells["ben"]["q1"], cells["ben"]["q2"]) == ("def double(x): return x + x", release["q2"])
    with CourseGradebook(course) as gradebook:
        assert class_statistics(course, course.assignment("double"), gradebook).missing == ("fay",)
    with pytest.raises(BadCourse, match=r"There is something in .* already"):
        demo_class.make_demo_course(tmp_path / "there", declared, now=NOW)
    with pytest.raises(BadCourse, match="There is something in"):
        demo_class.make_demo_course(declared, declared, now=NOW)


def test_a_class_that_cannot_be_made_leaves_nothing(
    declared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "course"
    with pytest.raises(BadCourse, match="a part of a clone of labkit"):
        demo_class.make_demo_course(folder, declared, now=NOW)
    for text, said in (
        ("students = 1", "Expected `object`"),
        ("x", "cannot be used"),
        ("[students.ada]\nmore = 1", "more"),
        ('[students."a/b"]', "nobody may have the id 'a/b'"),
        ('absent = ["a/b"]\n[students]', "nobody may have the id 'a/b'"),
        ('absent = ["Zoë"]\n[students]', "cannot be used"),
    ):
        declared.write_text(text, encoding="latin-1")
        with pytest.raises(BadCourse, match=said):
            demo_class.make_demo_course(folder, declared, now=NOW)
    assert not folder.exists()
    declared.write_text('students.ada = {answers.q9 = "9"}')
    with pytest.raises(BadCourse, match="ada answers 'q9', and the cells to be answered are q1, q2, q3"):
        demo_class.make_demo_course(folder, declared, now=NOW)
    assert list(folder.iterdir()) == []
    declared.write_text(CLASS)
    with monkeypatch.context() as patched:
        patched.setattr(submission_archive, "MOST_FILES", 1)
        with pytest.raises(BadCourse, match="The class cannot hand in: not taken: "):
            demo_class.make_demo_course(folder, declared, now=NOW)
    assert list(folder.iterdir()) == []

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_class, "collect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo_class.make_demo_course(folder, declared, now=NOW)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_whatever_grading_raises_is_of_that_submission_and_the_run_ends(
    course: Course, gradebook: CourseGradebook, error: type[BaseException]
) -> None:
    for student in ("ada", "ben"):
        hand_in(course, student, "def double(x):\n    return FACTOR * x")

    def fails(notebook: Path, student: str) -> Report:
        if student == "ada":
            raise error
        return grade(notebook, student)

    found = auto(course, gradebook, fails)
    assert error.__name__ in found["ada"].failure
    assert found["ben"].report is not None
