"""Which submissions of a class are alike, question by question, in the code that students have written themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from labkit.grading.assignment_folder import Assignment
from labkit.grading.course.code_similarity import MOST_CODE, SimilarAnswers, similar_answers
from labkit.grading.course.course_folder import Course
from labkit.grading.notebook_file import NotebookCell, read_notebook
from labkit.grading.question_verdict import Feedback
from labkit.grading.submission_cells import take_cells


class AnswerPair(NamedTuple):
    """Two answers that are alike, and the code of both, as much of it as is compared and one character more."""

    shares: SimilarAnswers
    code: tuple[str, str]


class SimilarSubmissions(NamedTuple):
    """Two students, and those of their answers that are alike."""

    first: str
    second: str
    answers: tuple[AnswerPair, ...]


def similar_submissions(course: Course, assignment: Assignment) -> list[SimilarSubmissions]:
    """Those that have most in common first. What was handed out and what the model solution has is in common to all.

    Raises `OSError`.
    """
    answers = _answers(course, assignment)
    pairs: defaultdict[tuple[str, str], list[AnswerPair]] = defaultdict(list)
    for question, by_student in answers.items():
        known = [_source(cells, question) for cells in (assignment.release, assignment.source)]
        for one in similar_answers(question, by_student, known):
            code = by_student[one.first], by_student[one.second]
            pairs[one.first, one.second].append(AnswerPair(one, code))
    found = (SimilarSubmissions(first, second, tuple(alike)) for (first, second), alike in pairs.items())
    return sorted(found, key=lambda pair: (-sum(one.shares.less for one in pair.answers), pair))


def _answers(course: Course, assignment: Assignment) -> dict[str, dict[str, str]]:
    """By question and student the code that counts; nothing of a submission that cannot be read."""
    solutions = (cell.nbgrader for cell in assignment.release if cell.kind == "code" and cell.nbgrader)
    found: dict[str, dict[str, str]] = {note.grade_id: {} for note in solutions if note.solution}
    for student, notebook in course.submissions(assignment.name).items():
        cells = read_notebook(notebook)
        if isinstance(cells, Feedback):
            continue
        for name, code in take_cells(assignment, cells, student).code:
            if name in found:
                found[name][student] = code[: MOST_CODE + 1]  # of which the last says that there is more
    return found


def _source(cells: Iterable[NotebookCell], name: str) -> str:
    return next(cell.source for cell in cells if cell.nbgrader and cell.nbgrader.grade_id == name)
