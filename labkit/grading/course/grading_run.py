"""All submissions of an assignment are graded, several at a time; what was graded before is not graded again.

Students' code runs on threads that wait for its sandboxes; the gradebook is written by the one thread that takes what
they find. What is kept of a submission is kept in this order: points, the notebook, and then that it was graded. So who
ends in between grades one submission again and loses none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from labkit.errors import BadAssignment, LabkitError
from labkit.grading.course.course_errors import NoSubmissions
from labkit.grading.course.course_folder import Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.graded_file import (
    GradedFile,
    digest_of,
    digest_of_assignment,
    read_graded,
    write_graded_file,
)
from labkit.grading.course.graded_notebook import copy_timestamp, write_graded
from labkit.grading.course.named_student import named_student
from labkit.grading.course.submission_time import read_timestamp
from labkit.grading.grader import Report
from labkit.grading.notebook_file import read_notebook
from labkit.grading.question_verdict import MAX_NAME, Feedback, printable

#: How often a submission is tried with which the machine fails, one time after all others.
ATTEMPTS = 3

#: The report on this notebook of this student, as `Grader.grade`.
Grade = Callable[[Path, str], Report]

log = logging.getLogger("labkit.grading")


class SubmittedFile(NamedTuple):
    """A notebook that was handed in, and the digest of what its report follows from."""

    student: str
    notebook: Path
    timestamp: datetime | None
    digest: str


class GradedSubmission(NamedTuple):
    """What came of it: a report, from this run or an earlier one, or why there is none. `names` is another student,
    whose the notebook says it is.
    """

    student: str
    report: Report | None = None
    fresh: bool = True
    failure: str = ""
    names: str = ""


class GradingRun:
    """One run over an assignment of the course, or over these students only.

    Raises `UnknownAssignment`, `BadAssignment`, `BadGradebook` if it was not released as it is now, and
    `NoSubmissions`.
    """

    def __init__(
        self, course: Course, name: str, gradebook: CourseGradebook, *, students: Collection[str] = ()
    ) -> None:
        self.assignment = course.assignment(name)
        gradebook.must_fit(self.assignment)
        self._course = course
        self._gradebook = gradebook
        self._threads: list[threading.Thread] = []
        self._released = course.release(name) / f"{name}.ipynb"
        if not self._released.is_file():
            raise BadAssignment(f"There is no {self._released}. Say `labkit grade release {name}` again.")
        self._asked = digest_of_assignment(course.source(name))
        self.submissions = list(self._found(name, students))
        self._ungraded = [one for one in self.submissions if not self._is_graded(one)]

    @property
    def ungraded(self) -> int:
        """How many are to be graded."""
        return len(self._ungraded)

    def outcomes(self, grade: Grade, *, concurrency: int = 1) -> Iterator[GradedSubmission]:
        """Grade them, and tell of each what came of it: first of those that were graded before. Those that are under
        way when nobody asks for more are graded again the next time.
        """
        name = self.assignment.name
        for one in self.submissions:
            if one not in self._ungraded:
                graded = read_graded(self._course, one.student, name)
                yield GradedSubmission(one.student, graded.report if graded else None, fresh=False)
        waiting, found = deque((one, 1) for one in self._ungraded), SimpleQueue[tuple[SubmittedFile, Report | str]]()
        stop = threading.Event()
        try:
            for number in range(min(concurrency, len(waiting))):
                thread = threading.Thread(
                    target=_grade_all, args=(grade, waiting, found, stop), name=f"labkit-grader-{number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)
            for _ in self._ungraded:
                yield self._kept(*found.get())
        finally:
            stop.set()

    def join(self, timeout: float) -> bool:
        """Wait until no submission is under way any more: those that are when nobody asks for more end with what they
        have. False if one is after so many seconds.
        """
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _found(self, name: str, students: Collection[str]) -> Iterator[SubmittedFile]:
        notebooks = self._course.submissions(name)
        missing = sorted(set(students) - notebooks.keys())
        if missing:
            raise NoSubmissions(f"{', '.join(missing)} handed nothing in of {name}.")
        if not notebooks:
            raise NoSubmissions(
                f"Nobody has handed {name} in. Say `labkit grade collect {name} FROM` with the folder or the zip file "
                "that has the submissions."
            )
        for student in sorted(students or notebooks):
            timestamp = read_timestamp(notebooks[student].parent)
            yield SubmittedFile(student, notebooks[student], timestamp, digest_of(notebooks[student], self._asked))

    def _is_graded(self, one: SubmittedFile) -> bool:
        """Whether nothing has changed since. What was lost of what was found then is written again, and the time at
        which it came, which may have been noted later, as a due date may have been set.
        """
        graded = read_graded(self._course, one.student, self.assignment.name)
        if graded is None or graded.digest != one.digest:
            return False
        self._gradebook.write(graded.report, one.timestamp, again=True)
        folder = self._course.autograded(one.student, self.assignment.name)
        if (folder / self._released.name).exists():
            copy_timestamp(one.notebook.parent, folder)
        else:
            self._write_notebook(one, graded.report)
        return True

    def _write_notebook(self, one: SubmittedFile, report: Report) -> str:
        """Returns which other student it names."""
        folder = self._course.autograded(one.student, self.assignment.name)
        cells = read_notebook(one.notebook)
        write_graded(self._released, () if isinstance(cells, Feedback) else cells, report, folder)
        copy_timestamp(one.notebook.parent, folder)
        named = None if isinstance(cells, Feedback) else named_student(cells)
        return named if named and named not in (one.student, named_student(self.assignment.release)) else ""

    def _kept(self, one: SubmittedFile, found: Report | str) -> GradedSubmission:
        if isinstance(found, str):
            return GradedSubmission(one.student, failure=found)
        try:
            self._gradebook.write(found, one.timestamp)
            names = self._write_notebook(one, found)
            write_graded_file(self._course, GradedFile(digest=one.digest, report=found))
        except (LabkitError, OSError) as error:
            return GradedSubmission(one.student, failure=f"What was found could not be kept: {error}")
        return GradedSubmission(one.student, found, names=printable(names, MAX_NAME))


def _grade_all(
    grade: Grade,
    waiting: deque[tuple[SubmittedFile, int]],
    found: SimpleQueue[tuple[SubmittedFile, Report | str]],
    stop: threading.Event,
) -> None:
    """Grade what waits until there is nothing more. What fails is tried again after the others."""
    while not stop.is_set():
        try:
            one, attempt = waiting.popleft()
        except IndexError:
            return
        try:
            found.put((one, grade(one.notebook, one.student)))
        except BadAssignment as error:
            found.put((one, str(error)))
        except BaseException as error:
            if not isinstance(error, LabkitError):
                log.exception("the submission of %s could not be graded", one.student)
            if attempt < ATTEMPTS:
                waiting.append((one, attempt + 1))
            else:
                found.put((one, str(error) if isinstance(error, LabkitError) else f"{type(error).__name__}: {error}"))
