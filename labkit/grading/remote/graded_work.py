"""What crosses computers: an assignment and a submission, which are named by their digests, and the report on both.

All is JSON, and looked at type by type when it is read; none of it is ever called, but for the functions in the
questions of an assignment, which are the instructor's.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Self, TypeVar

from msgspec import DecodeError, Meta, Struct, ValidationError, json

from labkit.errors import BadAssignment, GradingFailed
from labkit.grading.assignment_folder import files_asked
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Report
from labkit.grading.notebook_file import MAX_NOTEBOOK
from labkit.grading.remote.file_store import FileStore
from labkit.typed_values import typed_json

#: The largest file of each kind, in bytes; in JSON the bytes of a notebook are a third more.
MAX_ASSIGNMENT, MAX_SUBMISSION, MAX_REPORT = 64 * 1024**2, 2 * MAX_NOTEBOOK, 8 * 1024**2

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]

_PLACE = re.compile(r"(questions/)?(?!\.\.?$)[^/\0]{1,200}")
_UNREADABLE = (DecodeError, ValidationError, UnicodeDecodeError, RecursionError)


class AssignmentPack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An assignment as it is asked: its notebook with solutions, and the questions beside it, by their places."""

    name: str
    files: dict[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """What is in this folder. Raises `OSError`."""
        files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files_asked(folder)}
        return cls(name=folder.name, files=files)

    def unpack(self, where: Path) -> Path:
        """Put it there; returns its folder. Raises `BadAssignment` for a place that leads elsewhere."""
        for place in (self.name, *self.files):
            if not _PLACE.fullmatch(place):
                raise BadAssignment(f"The assignment cannot be used: it has a file {place!r}.")
        folder = where / self.name
        (folder / "questions").mkdir(parents=True)
        for place, content in self.files.items():
            (folder / place).write_bytes(content)
        return folder


class SubmittedWork(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A notebook as it was handed in, whose it is, and what all is drawn from for this student, in place of the secret
    of the course.
    """

    student: str
    seed: str
    notebook: bytes

    @property
    def secret(self) -> CourseSecret:
        """What a grader draws from."""
        return _GivenSeed(self.seed)


class _GivenSeed(CourseSecret):
    """The seed of one submission alone."""

    def __init__(self, seed: str) -> None:
        super().__init__(b"")
        self._given = seed

    def seed(self, assignment: str, student: str) -> str:
        return self._given


class GradingTask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be graded, by which grader, against what: names only."""

    version: str
    assignment: Digest
    submission: Digest

    @property
    def key(self) -> str:
        """Names it: two are alike where the same report is due."""
        return sha256(json.encode([self.version, self.assignment, self.submission])).hexdigest()


class NamedReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report, and what it is on."""

    task: GradingTask
    report: Report


Kind = TypeVar("Kind", AssignmentPack, SubmittedWork)

#: What the name of a file begins with, and how large one is at most.
_KINDS = {AssignmentPack: ("assignment", MAX_ASSIGNMENT), SubmittedWork: ("submission", MAX_SUBMISSION)}


def digest_of_work(what: AssignmentPack | SubmittedWork) -> str:
    """Names it by its content."""
    return sha256(_encoded(what)).hexdigest()


def put_work(files: FileStore, what: AssignmentPack | SubmittedWork) -> None:
    """Have it in the files. Raises `FilesUnavailable`, and `GradingFailed` for one that is too large."""
    content, (kind, most) = _encoded(what), _KINDS[type(what)]
    if len(content) > most:
        raise GradingFailed(f"The {kind} has {len(content)} bytes, and only {most} can be sent to another computer.")
    name = _file(kind, sha256(content).hexdigest())
    if files.read(name, most) != content:
        files.write(name, content)


def take_work(files: FileStore, kind: type[Kind], digest: str) -> Kind:
    """The one of this digest. Raises `GradingFailed` if there is none, and `FilesUnavailable`."""
    name, most = _KINDS[kind]
    content = files.read(_file(name, digest), most)
    if content is None or sha256(content).hexdigest() != digest:
        raise GradingFailed(
            f"{files.name} has no {name} {digest[:12]}, or a damaged one: is it the same folder on all computers?"
        )
    try:
        return typed_json(content, kind)
    except _UNREADABLE as error:
        raise GradingFailed(f"The {name} {digest[:12]} in {files.name} cannot be read: {error}.") from error


def kept_report(files: FileStore, task: GradingTask) -> Report | None:
    """The report; nothing if there is none, or what is there in its place is none. Raises `FilesUnavailable`."""
    content = files.read(_file("report", task.key), MAX_REPORT)
    try:
        found = None if content is None else typed_json(content, NamedReport)
    except _UNREADABLE:
        return None
    return found.report if found is not None and found.task == task else None


def keep_report(files: FileStore, task: GradingTask, report: Report) -> None:
    """Have it in the files, unless one is there: what was graded twice has the first report. Raises `FilesUnavailable`,
    and `GradingFailed` for one that is too large.
    """
    content = json.encode(NamedReport(task=task, report=report))
    if len(content) > MAX_REPORT:
        raise GradingFailed(f"The report has {len(content)} bytes, and only {MAX_REPORT} can be sent.")
    if kept_report(files, task) is None:
        files.write(_file("report", task.key), content)


def _encoded(what: AssignmentPack | SubmittedWork) -> bytes:
    return json.encode(what, order="deterministic")


def _file(kind: str, digest: str) -> str:
    return f"{kind}-{digest}.json"
