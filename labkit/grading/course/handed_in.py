"""What was handed in: the notebooks of an archive, each with the student whose it is, or why it is nobody's."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from labkit.grading.course.campus_name import INBOUND, CampusName, campus_name, composed, exchange_student, plain_name
from labkit.grading.course.folder_owner import FolderOwners, login_of, owner_of, read_owners
from labkit.grading.course.student_roster import StudentRoster, is_student_id
from labkit.grading.course.submission_archive import ArchivedFile, open_archive
from labkit.grading.course.submission_time import TIMESTAMP, read_timestamp
from labkit.grading.question_verdict import printable

#: How far a clock may be ahead by which something was handed in.
FUTURE = timedelta(minutes=10)


class NotTaken(NamedTuple):
    """What was not taken, of whom (nothing where that is not known), and why: a sentence."""

    student: str
    sentence: str


class HandedIn(NamedTuple):
    """A notebook of a student; `timestamp` is when it was handed in, if that is told."""

    student: str
    file: ArchivedFile
    where: str
    timestamp: datetime | None
    late: bool

    @property
    def moment(self) -> datetime:
        """By which the later one of two is found."""
        return self.timestamp or self.file.changed or datetime.min.replace(tzinfo=UTC)

    def content(self) -> bytes | NotTaken:
        """What is in it. It is read anew each time, so that not all notebooks are in memory."""
        content = self.file.read()
        if isinstance(content, bytes):
            return content
        return NotTaken(self.student, f"{self.where}: {content[:1].lower()}{content[1:]}")


class _Owned(NamedTuple):
    student: str
    name: CampusName | None
    file: ArchivedFile


@contextmanager
def open_handed_in(
    source: Path, assignment: str, roster: StudentRoster, now: datetime
) -> Iterator[list[HandedIn | NotTaken]]:
    """All that a folder, a zip file or a notebook brings by this moment; it can be read inside of the block.

    Raises `BadArchive` for a source that is none of them.
    """

    is_exchange = source.resolve().name == INBOUND or (source / INBOUND).is_dir()
    systems = {"nbgrader"} if is_exchange else set[str]()

    def belongs(path: PurePosixPath) -> bool:
        name = campus_name(path, assignment)
        if name is not None:
            systems.add(name.system)
        return name is None or name.file != ""

    with open_archive(source, belongs) as files:
        found = _handed_in(source, files, assignment, roster, now, by_exchange="nbgrader" in systems)
        yield list(dict.fromkeys(found))


def _handed_in(
    source: Path,
    files: Sequence[ArchivedFile],
    assignment: str,
    roster: StudentRoster,
    now: datetime,
    *,
    by_exchange: bool,
) -> Iterator[HandedIn | NotTaken]:
    owned: defaultdict[tuple[str, object], list[_Owned]] = defaultdict(list)
    numbers: defaultdict[str, set[str]] = defaultdict(set)
    names = [campus_name(file.path, assignment) for file in files]
    others = [file for file, name in zip(files, names, strict=True) if not (name and name.system == "nbgrader")]
    if by_exchange and others:
        yield _not_of_the_exchange(source, others)
    owners = _ExchangeOwners(source)
    for file, name in zip(files, names, strict=True):
        if by_exchange and not (name and name.system == "nbgrader"):
            continue
        match _owner(source, file, name, assignment, roster):
            case NotTaken() as why:
                yield why
            case _Owned() as one:
                if (fault := owners.fault(one)) is not None:
                    yield NotTaken(one.student, fault)
                    continue
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
            yield _found(source, assignment, found, now)
    if not files:
        yield NotTaken("", f"there is no notebook of {assignment} in {source}")


class _ExchangeOwners:
    """Whether those who own the folders in nbgrader's exchange are the students whom their names tell."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._read: dict[Path, FolderOwners] = {}

    def fault(self, one: _Owned) -> str | None:
        """Why the folder is not the student's, if it is not. In a zip file nobody owns anything."""
        if one.name is None or one.name.system != "nbgrader" or not self._source.is_dir():
            return None
        folder = self._source.joinpath(*one.file.path.parts[: 2 if one.file.path.parts[0] == INBOUND else 1])
        try:
            owner = owner_of(folder)
            if folder.parent not in self._read:
                self._read[folder.parent] = read_owners(folder.parent, exchange_student)
        except OSError as error:
            return f"who owns {printable(str(folder), 200)} cannot be told: {os.strerror(error.errno or 0)}"
        if self._read[folder.parent].may_be_of(one.name.person, owner):
            return None
        return (
            f"{printable(str(folder), 200)} is owned by {login_of(owner) or f'the user {owner}'}, and so it may be of "
            "somebody else; look into it, and if it is the student's, collect it from a folder with the student's id"
        )


def _not_of_the_exchange(source: Path, files: Sequence[ArchivedFile]) -> NotTaken:
    some = ", ".join(printable(str(file.path), 80) for file in files[:3]) + (", …" if len(files) > 3 else "")
    return NotTaken(
        "",
        f"{source} is taken for nbgrader's exchange, and so what lies in it outside of folders that are named as there "
        f"is nobody's ({some})",
    )


_LIST = "List the students by `nbgrader db student import`, with their lms_user_id."


def _owner(
    source: Path, file: ArchivedFile, name: CampusName | None, assignment: str, roster: StudentRoster
) -> _Owned | NotTaken:
    """Whose the file is."""
    if name is not None:
        students = roster.ids_of(name)
        if len(students) > 1:
            return NotTaken(
                "", f"{_place(source, file)} may be of {' or '.join(students)}: both have this name. {_LIST}"
            )
        student = students[0]
    else:
        folders = tuple(map(composed, file.path.parts[:-1]))
        if folders[1:] not in ((), (assignment,)) or not folders:
            return NotTaken(
                "",
                f"{_place(source, file)} says not whose it is: expected are STUDENT/NOTEBOOK, "
                f"STUDENT/{assignment}/NOTEBOOK, or the names that Moodle and Canvas give",
            )
        student = roster.id_of(folders[0])
    if not is_student_id(student):
        return NotTaken("", f"{_place(source, file)} is of {printable(student, 80)!r}, which can be nobody's id")
    return _Owned(student, name, file)


def _found(source: Path, assignment: str, found: Sequence[_Owned], now: datetime) -> HandedIn | NotTaken:
    """The notebook that is meant."""
    chosen = _chosen(assignment, found)
    if chosen is None:
        names = ", ".join(printable(one.file.path.name, 80) for one in found[:5])
        wanted = f"which one counts is not known, since none or several are called {assignment}.ipynb"
        return NotTaken(found[0].student, f"there are several notebooks ({names}), and {wanted}")
    timestamp = _timestamp(source, chosen)
    if timestamp is not None and timestamp > now + FUTURE:
        return NotTaken(
            chosen.student,
            f"{_place(source, chosen.file)} is of {timestamp:%Y-%m-%d %H:%M:%S} UTC by its name or its {TIMESTAMP}, "
            "which is yet to come",
        )
    return HandedIn(
        student=chosen.student,
        file=chosen.file,
        where=_place(source, chosen.file),
        timestamp=timestamp,
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
