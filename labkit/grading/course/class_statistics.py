"""How a class has done in an assignment: who has handed in, the points, and the mistakes that were made most often."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from statistics import fmean
from typing import NamedTuple

from msgspec.structs import replace

from labkit.grading.assignment_folder import Assignment
from labkit.grading.course.course_folder import Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.discrimination import discriminations
from labkit.grading.course.graded_file import current_reports
from labkit.grading.grader import Report
from labkit.grading.question_verdict import DIGITS, QuestionVerdict


class FrequentMistake(NamedTuple):
    """How many students have made a mistake, its name, and the sentence that they were told, or one of them was."""

    students: int
    name: str
    sentence: str


class QuestionStatistics(NamedTuple):
    """A question: how many students have all, some or none of its `possible` points, and how many wait for a person,
    who are in none of these and not in the mean. `discrimination` as in `discriminations`, None where nothing is known.
    """

    question: str
    title: str
    possible: float
    mean: float | None
    full: int
    partial: int
    none: int
    waiting: int
    mistakes: tuple[FrequentMistake, ...]
    discrimination: float | None

    @property
    def difficulty(self) -> float | None:
        """The index of classical test theory: the mean as a share of the possible points, so 1 is the easiest."""
        return None if self.mean is None or not self.possible else self.mean / self.possible


class StudentResult(NamedTuple):
    """The points of a student by question, without those that wait for a person, and which answers a person has to
    look at, for the first time or again.
    """

    student: str
    points: dict[str, float]
    waiting: tuple[str, ...]

    @property
    def total(self) -> float:
        """The points of all questions, so far."""
        return round(sum(self.points.values()), DIGITS)


class ClassStatistics(NamedTuple):
    """All questions; those who are graded, of `possible` points; who handed in what could not be read, with the reason;
    whose submission, as it is now, is not graded; and who is listed and has handed nothing in.
    """

    assignment: str
    questions: tuple[QuestionStatistics, ...]
    students: tuple[StudentResult, ...]
    unreadable: dict[str, str]
    not_graded: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def graded(self) -> int:
        """How many are."""
        return len(self.students)

    @property
    def possible(self) -> float:
        """The most points that there are."""
        return round(sum(one.possible for one in self.questions), DIGITS)


def class_statistics(course: Course, assignment: Assignment, gradebook: CourseGradebook) -> ClassStatistics:
    """Of what is graded now. Raises `BadGradebook`."""
    name = assignment.name
    current = current_reports(course, name, gradebook.written(name))
    reports = [report for report in current.values() if report is not None]
    unreadable = {report.student: why for report in reports if (why := _unreadable(report))}
    verdicts: defaultdict[str, list[tuple[float | None, QuestionVerdict]]] = defaultdict(list)
    students = tuple(StudentResult(one.student, *gradebook.result(name, one.student)) for one in reports)
    for report, result in zip(reports, students, strict=True):
        for verdict in report.verdicts:
            told = replace(verdict, feedback=()) if report.student in unreadable else verdict
            verdicts[verdict.question].append((result.points.get(verdict.question), told))
    discrimination = discriminations([one.points for one in students])
    titles = {question.id: question.title for question in assignment.questions}
    return ClassStatistics(
        assignment=name,
        questions=tuple(
            _question(
                question, titles.get(question, "graded by hand"), verdicts[question], discrimination.get(question)
            )
            for question in _order(assignment)
            if verdicts[question]
        ),
        students=students,
        unreadable=unreadable,
        not_graded=tuple(student for student, report in current.items() if report is None),
        missing=tuple(student for student in gradebook.students() if student not in current),
    )


def _order(assignment: Assignment) -> list[str]:
    asked = {question.id for question in assignment.questions}
    asked |= {cell.nbgrader.grade_id for cell in assignment.by_hand() if cell.nbgrader}
    return [cell.nbgrader.grade_id for cell in assignment.source if cell.nbgrader and cell.nbgrader.grade_id in asked]


def _question(
    name: str, title: str, found: Sequence[tuple[float | None, QuestionVerdict]], discrimination: float | None
) -> QuestionStatistics:
    possible = found[0][1].possible
    points = [got for got, _ in found if got is not None]
    full = sum(got >= possible for got in points)
    none = sum(got <= 0 < possible for got in points)
    return QuestionStatistics(
        question=name,
        title=title,
        possible=possible,
        mean=fmean(points) if points else None,
        full=full,
        partial=len(points) - full - none,
        none=none,
        waiting=len(found) - len(points),
        mistakes=tuple(_mistakes(verdict for _, verdict in found)),
        discrimination=discrimination,
    )


def _mistakes(verdicts: Iterable[QuestionVerdict]) -> list[FrequentMistake]:
    """Of each student the first mistake, which says most; the most frequent one first."""
    sentences: defaultdict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        if verdict.feedback:
            counts[verdict.feedback[0].mistake] += 1
            sentences[verdict.feedback[0].mistake].append(verdict.feedback[0].sentence)
    return [FrequentMistake(count, name, _shared(sentences[name])) for name, count in counts.most_common()]


def _shared(sentences: list[str]) -> str:
    """What all of them say before they come to what each student's code did; else the first, as an example."""
    told = [sentence.split(". ") for sentence in sentences]
    same = takewhile(lambda parts: len(set(parts)) == 1, zip(*told, strict=False))
    begins = ". ".join(parts[0] for parts in same)
    return f"{begins.rstrip('.')}." if begins else sentences[0]


def _unreadable(report: Report) -> str:
    """Why nothing of a submission could be run, if that is one reason for all questions, and not that all are empty."""
    reasons = {verdict.feedback[0] for verdict in report.verdicts if verdict.feedback}
    if len(reasons) == 1 and all(verdict.state == "not run" for verdict in report.verdicts):
        return reasons.pop().sentence
    return ""
