"""The class report: one page of HTML for the instructor, which needs nothing else and fetches nothing.

What students have written is shown as text: Jinja escapes all that is put into the page, and the page lets a browser
run no script and load nothing.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib import rc_context

from labkit.grading.course import code_similarity
from labkit.grading.course.class_figure import draw_points, points_finding
from labkit.grading.course.class_statistics import ClassStatistics, QuestionStatistics, class_statistics
from labkit.grading.course.course_folder import Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.similar_submissions import SimilarSubmissions, similar_submissions
from labkit.grading.question_verdict import printable
from labkit.whole_file import whole_file

#: How many pairs of similar submissions are shown.
MOST_PAIRS = 30
#: How many mistakes of a question are told.
MOST_MISTAKES = 10


class ClassReport(NamedTuple):
    """All that the page shows."""

    statistics: ClassStatistics
    similar: list[SimilarSubmissions]


def class_report(course: Course, name: str, gradebook: CourseGradebook) -> ClassReport:
    """Of what is graded and handed in now. Raises `UnknownAssignment`, `BadAssignment` and `BadGradebook`."""
    assignment = course.assignment(name)
    return ClassReport(class_statistics(course, assignment, gradebook), similar_submissions(course, assignment))


def write_class_report(course: Course, report: ClassReport, *, now: datetime) -> Path:
    """Write the page in place of an older one; returns the file, which only its owner may read. `now` is said on it.
    Raises `OSError`.
    """
    file = course.class_report(report.statistics.assignment)
    page = _ENVIRONMENT.get_template("class_report.html").render(
        found=report.statistics,
        finding=points_finding(report.statistics),
        figure=_figure(report.statistics),
        bars={one.question: _bars(one) for one in report.statistics.questions},
        pages=dict(_pages(course, report.statistics, file)),
        similar=report.similar,
        now=now,
        rules=code_similarity,
        most_pairs=MOST_PAIRS,
        most_mistakes=MOST_MISTAKES,
    )
    with whole_file(file) as part:
        part.touch(0o600)
        part.write_text(page, encoding="utf-8", errors="backslashreplace")  # the name of a folder may be no UTF-8
    return file


def _figure(found: ClassStatistics) -> str:
    """The picture as the address of an image."""
    image = BytesIO()
    with rc_context({"svg.hashsalt": found.assignment}):
        draw_points(found).savefig(image, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{b64encode(image.getvalue()).decode()}"


def _bars(one: QuestionStatistics) -> list[tuple[str, int, float]]:
    """Who has all, some or none of the points, and who waits: the class of the bar, how many, and per cent of all."""
    counts = {"full": one.full, "partial": one.partial, "none": one.none, "waiting": one.waiting}
    students = sum(counts.values())
    return [(name, count, 100 * count / students) for name, count in counts.items() if count]


def _pages(course: Course, found: ClassStatistics, file: Path) -> Iterator[tuple[str, str]]:
    """By student the way to the page of feedback, from this one; of those that have one."""
    for one in found.students:
        page = course.feedback(one.student, found.assignment) / f"{found.assignment}.html"
        if page.is_file():
            yield one.student, quote(os.fsencode(os.path.relpath(page, file.parent)))


def _shown(code: str) -> str:
    """So much of the code as is compared, without what no page should be given."""
    most = code_similarity.MOST_CODE
    lines = code[:most].expandtabs(4).splitlines()
    cut = ["[…]"] if len(code) > most else []
    return "\n".join([printable(line, most) for line in lines] + cut)


def _per_cent(share: float) -> str:
    return f"{share:.0%}"


def _index(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {"shown": _shown, "per_cent": _per_cent, "index": _index}
    found.filters.update(filters)
    return found


_ENVIRONMENT = _environment()
