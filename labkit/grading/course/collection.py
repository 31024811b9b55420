"""Submissions are collected into a course: the latest of each student counts, and none is lost."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import StrEnum
from errno import ENAMETOOLONG
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from labkit.grading.course.course_errors import BadArchive
from labkit.grading.course.course_folder import Course, submitted_notebook
from labkit.grading.course.handed_in import HandedIn, NotTaken, open_handed_in
from labkit.grading.course.released_cells import ReleasedCells
from labkit.grading.course.student_roster import StudentRoster
from labkit.grading.course.submission_time import TIMESTAMP, read_timestamp, write_timestamp
from labkit.whole_file import whole_file


class Came(StrEnum):
    """What became of what was handed in."""

    NEW = "taken"
    LATER = "taken in place of an earlier one"
    LIKELIER = "taken in place of one that does not look like the assignment"
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
    course: Course,
    assignment: str,
    sources: Iterable[Path],
    roster: StudentRoster,
    *,
    release: ReleasedCells,
    now: datetime,
) -> Iterator[CollectedSubmission]:
    """Take what these folders and zip files bring, by student; what cannot be taken is told and keeps out no other.

    A notebook that does not look like the assignment, by its `release`, takes the place of none that does. Nothing can
    have been handed in after `now`. Raises `OSError` if the course cannot be written to.
    """
    taken: defaultdict[str, list[HandedIn]] = defaultdict(list)
    with ExitStack() as archives:
        for source in sources:
            try:
                found = archives.enter_context(open_handed_in(source, assignment, roster, now))
            except BadArchive as error:
                yield CollectedSubmission("", Came.REFUSED, str(error))
                continue
            for one in found:
                if isinstance(one, NotTaken):
                    yield _refused(one.student, one.sentence)
                else:
                    taken[one.student].append(one)
        for student, handed_in in sorted(taken.items()):
            place = _StudentFolders(
                course.submitted(student, assignment), course.earlier(student, assignment), assignment
            )
            try:
                yield from _of_student(place, handed_in, roster, release)
            except OSError as error:
                if error.errno != ENAMETOOLONG:
                    raise
                yield _refused(student, "the id is too long for the name of a file here")


class _StudentFolders(NamedTuple):
    """Where a student's submissions are: the folder of the one that counts, and that of the others."""

    folder: Path
    earlier: Path
    assignment: str

    @property
    def there(self) -> Path | None:
        """The notebook that counts so far."""
        return submitted_notebook(self.folder, self.assignment)


def _refused(student: str, sentence: str) -> CollectedSubmission:
    return CollectedSubmission(student, Came.REFUSED, f"{sentence.rstrip('.')}.")


def _of_student(
    place: _StudentFolders, found: Iterable[HandedIn], roster: StudentRoster, release: ReleasedCells
) -> Iterator[CollectedSubmission]:
    """The latest that looks like the assignment, else the latest; one is in memory at a time, and the one chosen."""
    waiting = sorted(found, key=lambda one: one.moment)
    chosen: tuple[HandedIn, bytes] | None = None
    unlike: list[HandedIn] = []
    while waiting:
        content = waiting[-1].content()
        one = waiting.pop()
        if isinstance(content, NotTaken):
            yield _refused(content.student, content.sentence)
        elif release.stand_in(content):
            chosen = one, content
            break
        else:
            unlike.append(one)
    if chosen is None and unlike:
        one, *waiting = unlike
        unlike = []
        content = one.content()
        chosen = None if isinstance(content, NotTaken) else (one, content)
    for one in unlike:
        yield _refused(one.student, f"{one.where} {_unlike(place)}, and an earlier one does")
    for one in sorted(waiting, key=lambda one: one.moment):
        content = one.content()
        if isinstance(content, NotTaken):
            yield _refused(content.student, content.sentence)
        else:
            _keep(place.earlier, content, one.moment)
    if chosen is not None:
        yield _take(place, *chosen, roster, release)


def _take(
    place: _StudentFolders, one: HandedIn, content: bytes, roster: StudentRoster, release: ReleasedCells
) -> CollectedSubmission:
    there = place.there
    came = _came(place, there, one, content, release)
    if came is Came.REFUSED:
        return _refused(one.student, f"{one.where} {_unlike(place)}, and the one that is there does")
    if came is Came.EARLIER:
        _keep(place.earlier, content, one.moment)
    elif came is not Came.SAME:
        if there is not None:
            _keep(place.earlier, there.read_bytes(), _moment(place.folder, there))
        _put(place, there, one, content)
    elif one.timestamp is not None and read_timestamp(place.folder) is None:
        write_timestamp(place.folder, one.timestamp)
    said = [one.where]
    if one.timestamp is not None:
        said.append(f"of {one.timestamp:%Y-%m-%d %H:%M:%S} UTC")
    if one.late:
        said.append("late, as Canvas says")
    if not release.stand_in(content):
        said.append(f"which {_unlike(place)}")
    if roster.is_list and not roster.lists(one.student):
        said.append("by one whom the gradebook does not list")
    return CollectedSubmission(one.student, came, f"{', '.join(said)}.")


def _unlike(place: _StudentFolders) -> str:
    return f"does not look like {place.assignment}: most cells that are locked there are not in it"


def _came(place: _StudentFolders, there: Path | None, one: HandedIn, content: bytes, release: ReleasedCells) -> Came:
    if there is None:
        return Came.NEW
    before = there.read_bytes()
    if before == content:
        return Came.SAME
    match release.stand_in(before), release.stand_in(content):
        case True, False:
            return Came.REFUSED
        case False, True:
            return Came.LIKELIER
    return Came.EARLIER if one.moment < _moment(place.folder, there) else Came.LATER


def _put(place: _StudentFolders, there: Path | None, one: HandedIn, content: bytes) -> None:
    """The time is taken away first: a submission without one is better than one with another's."""
    file = place.folder / f"{place.assignment}.ipynb"
    (place.folder / TIMESTAMP).unlink(missing_ok=True)
    with whole_file(file) as part:
        part.write_bytes(content)
        moment = one.moment.timestamp() if one.timestamp or one.file.changed else None
        if moment is not None:
            os.utime(part, (moment, moment))
    if there is not None and there != file:
        there.unlink()
    if one.timestamp is not None:
        write_timestamp(place.folder, one.timestamp)


def _keep(folder: Path, content: bytes, moment: datetime) -> None:
    """Keep what counts no more, by the time and what is in it."""
    file = folder / f"{moment:%Y-%m-%dT%H%M%SZ}-{sha256(content).hexdigest()[:8]}.ipynb"
    if not file.exists():
        with whole_file(file) as part:
            part.write_bytes(content)


def _moment(folder: Path, notebook: Path) -> datetime:
    """When what is there came: as the file beside it tells, else the date of the file."""
    return read_timestamp(folder) or datetime.fromtimestamp(notebook.stat().st_mtime, UTC)
