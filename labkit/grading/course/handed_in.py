"""What was handed in: the notebooks of an archive, each with the student whose it is, or why it is nobody's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from labkit.grading.course.campus_name import CampusName, campus_name, plain_name
from labkit.grading.course.student_roster import StudentRoster, is_student_id
from labkit.grading.course.submission_archive import ArchivedFile, open_archive
from labkit.grading.course.submission_time import read_timestamp
from labkit.grading.question_verdict import printable


class HandedIn(NamedTuple):
    """A notebook of a student. `timestamp` is when it was handed in, if that is told; `changed` is the file's date."""

    student: str
    content: bytes
    where: str
    timestamp: datetime | None
    changed: datetime | None
    late: bool

    @property
    def moment(self) -> datetime:
        """By which the later one of two is found."""
        return self.timestamp or self.changed or datetime.min.replace(tzinfo=UTC)


class NotTaken(NamedTuple):
    """What was not taken, of whom (nothing where that is not known), and why: a sentence."""

    student: str
    sentence: str


class _Owned(NamedTuple):
    student: str
    name: CampusName | None
    file: ArchivedFile


def read_handed_in(source: Path, assignment: str, roster: StudentRoster) -> Iterator[HandedIn | NotTaken]:
    """All that a folder, a zip file or a notebook brings. Raises `BadArchive` for one that is none of them."""
    with open_archive(source) as files:
        owned: defaultdict[tuple[str, object], list[_Owned]] = defaultdict(list)
        numbers: defaultdict[str, set[str]] = defaultdict(set)
        names = [campus_name(file.path, assignment) for file in files]
        by_exchange = any(name is not None and name.system == "nbgrader" for name in names)
        for file, name in zip(files, names, strict=True):
            if name is None and by_exchange:
                continue  # what is handed out lies there, too
            match _owner(source, file, name, assignment, roster):
                case NotTaken() as why:
                    yield why
                case _Owned() as one:
                    number = one.name.number if one.name else ""
                    numbers[one.student].add(number)
                    owned[one.student, one.name.timestamp if one.name else None].append(one)
        for (student, _), found in owned.items():
            if len(numbers[student]) > 1:
                people = ", ".join(sorted(numbers[student]))
                yield NotTaken(
                    student,
                    f"several people of this name have handed something in (the campus system's numbers {people}), and "
                    f"who is who is not known. {_LIST}",
                )
            else:
                yield _read(source, assignment, found)
        if not files:
            yield NotTaken("", f"there is no notebook in {source}")


_LIST = "List the students by `nbgrader db student import`, with their lms_user_id."


def _owner(
    source: Path, file: ArchivedFile, name: CampusName | None, assignment: str, roster: StudentRoster
) -> _Owned | NotTaken | None:
    """Whose the file is; nothing if it belongs to another assignment."""
    if name is not None:
        if not name.file:
            return None
        students = roster.ids_of(name)
        if len(students) > 1:
            return NotTaken(
                "", f"{_place(source, file)} may be of {' or '.join(students)}: both have this name. {_LIST}"
            )
        student = students[0]
    else:
        folders = file.path.parts[:-1]
        if folders[1:] not in ((), (assignment,)) or not folders:
            return NotTaken(
                "",
                f"{_place(source, file)} says not whose it is: expected are STUDENT/NOTEBOOK, "
                f"STUDENT/{assignment}/NOTEBOOK, or the names that Moodle and Canvas give",
            )
        student = folders[0]
    if not is_student_id(student):
        return NotTaken("", f"{_place(source, file)} is of {printable(student, 80)!r}, which can be nobody's id")
    return _Owned(student, name, file)


def _read(source: Path, assignment: str, found: Sequence[_Owned]) -> HandedIn | NotTaken:
    """The notebook that is meant."""
    chosen = _chosen(assignment, found)
    if chosen is None:
        names = ", ".join(printable(one.file.path.name, 80) for one in found[:5])
        wanted = f"which one counts is not known, since none or several are called {assignment}.ipynb"
        return NotTaken(found[0].student, f"there are several notebooks ({names}), and {wanted}")
    content = chosen.file.read()
    if isinstance(content, str):
        return NotTaken(chosen.student, f"{_place(source, chosen.file)}: {content[:1].lower()}{content[1:]}")
    return HandedIn(
        student=chosen.student,
        content=content,
        where=_place(source, chosen.file),
        timestamp=_timestamp(source, chosen),
        changed=chosen.file.changed,
        late=bool(chosen.name and chosen.name.late),
    )


def _chosen(assignment: str, found: Sequence[_Owned]) -> _Owned | None:
    if len(found) == 1:
        return found[0]
    named = [one for one in found if plain_name(one.name.file if one.name else one.file.path.name) == assignment]
    newest = max((one.name.attachment for one in named if one.name), default=0)
    if newest:  # Canvas: each file that is uploaded has a larger one
        named = [one for one in named if one.name and one.name.attachment == newest]
    exact = [one for one in named if one.file.path.name == f"{assignment}.ipynb"]
    for some in (named, exact):
        if len(some) == 1:
            return some[0]
    return None


def _timestamp(source: Path, one: _Owned) -> datetime | None:
    told = one.name.timestamp if one.name else None
    if told is None and source.is_dir():
        told = read_timestamp((source / one.file.path).parent)
    return told


def _place(source: Path, file: ArchivedFile) -> str:
    """Where a file is, as one may print it."""
    inside = PurePosixPath(printable(str(file.path), 200))
    return str(source) if source.is_file() and source.name == file.path.name else f"{source}/{inside}"
