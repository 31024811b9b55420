"""Submissions are collected into a course: the latest of each student counts, and none is lost."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labkit.grading.course.course_errors import BadArchive
from labkit.grading.course.handed_in import HandedIn, NotTaken, read_handed_in
from labkit.grading.course.student_roster import StudentRoster
from labkit.grading.course.submission_time import TIMESTAMP, read_timestamp, write_timestamp
from labkit.whole_file import whole_file

if TYPE_CHECKING:
    from labkit.grading.course.course_folder import Course


class Came(StrEnum):
    """What became of what was handed in."""

    NEW = "taken"
    LATER = "taken in place of an earlier one"
    SAME = "there already"
    EARLIER = "not taken: a later one is there"
    REFUSED = "not taken"


class CollectedSubmission(NamedTuple):
    """What became of a student's submission, and what is to be said of it."""

    student: str
    came: Came
    said: str

    def __str__(self) -> str:
        who = f"{self.student}: " if self.student else ""
        return f"{who}{self.came}{': ' if self.came is Came.REFUSED else ', '}{self.said}"


def collect(
    course: Course, assignment: str, sources: Iterable[Path], roster: StudentRoster
) -> Iterator[CollectedSubmission]:
    """Take what these folders and zip files bring, by student; what cannot be taken is told and keeps out no other.

    Raises `OSError` if the course cannot be written to.
    """
    taken: defaultdict[str, list[HandedIn]] = defaultdict(list)
    for source in sources:
        try:
            for one in read_handed_in(source, assignment, roster):
                if isinstance(one, NotTaken):
                    yield CollectedSubmission(one.student, Came.REFUSED, f"{one.sentence.rstrip('.')}.")
                else:
                    taken[one.student].append(one)
        except BadArchive as error:
            yield CollectedSubmission("", Came.REFUSED, str(error))
    for student, found in sorted(taken.items()):
        *before, last = sorted(found, key=lambda one: one.moment)
        for one in before:
            _keep(course.earlier(student, assignment), one.content, one.moment)
        yield _take(course, assignment, last, roster)


def _take(course: Course, assignment: str, one: HandedIn, roster: StudentRoster) -> CollectedSubmission:
    folder = course.submitted(one.student, assignment)
    there = _there(folder, assignment)
    came = _came(folder, there, one)
    if came is Came.EARLIER:
        _keep(course.earlier(one.student, assignment), one.content, one.moment)
    elif came is not Came.SAME:
        if there is not None:
            _keep(course.earlier(one.student, assignment), there.read_bytes(), _moment(folder, there))
        _put(folder, there, folder / f"{assignment}.ipynb", one)
    elif one.timestamp is not None and read_timestamp(folder) is None:
        write_timestamp(folder, one.timestamp)
    said = [one.where]
    if one.timestamp is not None:
        said.append(f"of {one.timestamp:%Y-%m-%d %H:%M:%S} UTC")
    if one.late:
        said.append("late, as Canvas says")
    if roster.is_list and not roster.lists(one.student):
        said.append("by one whom the gradebook does not list")
    return CollectedSubmission(one.student, came, f"{', '.join(said)}.")


def _there(folder: Path, assignment: str) -> Path | None:
    """The notebook that counts so far."""
    own = folder / f"{assignment}.ipynb"
    found = [own] if own.is_file() else sorted(folder.glob("*.ipynb"))
    return found[0] if len(found) == 1 else None


def _came(folder: Path, there: Path | None, one: HandedIn) -> Came:
    if there is None:
        return Came.NEW
    if there.read_bytes() == one.content:
        return Came.SAME
    return Came.EARLIER if one.moment < _moment(folder, there) else Came.LATER


def _put(folder: Path, there: Path | None, file: Path, one: HandedIn) -> None:
    """The time is taken away first: a submission without one is better than one with another's."""
    (folder / TIMESTAMP).unlink(missing_ok=True)
    with whole_file(file) as part:
        part.write_bytes(one.content)
        moment = one.moment.timestamp() if one.timestamp or one.changed else None
        if moment is not None:
            os.utime(part, (moment, moment))
    if there is not None and there != file:
        there.unlink()
    if one.timestamp is not None:
        write_timestamp(folder, one.timestamp)


def _keep(folder: Path, content: bytes, moment: datetime) -> None:
    """Keep what counts no more, by the time and what is in it."""
    file = folder / f"{moment:%Y-%m-%dT%H%M%SZ}-{sha256(content).hexdigest()[:8]}.ipynb"
    if not file.exists():
        with whole_file(file) as part:
            part.write_bytes(content)


def _moment(folder: Path, notebook: Path) -> datetime:
    """When what is there came: as the file beside it tells, else the date of the file."""
    return read_timestamp(folder) or datetime.fromtimestamp(notebook.stat().st_mtime, UTC)
