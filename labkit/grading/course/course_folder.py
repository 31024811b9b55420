"""A course: a folder in nbgrader's layout, with labkit's own beside it.

    nbgrader_config.py   how nbgrader treats it, which `labkit grade` reads too
    course_secret        from which the hidden checks are drawn
    gradebook.db         nbgrader's points and comments
    source/ release/ submitted/ autograded/ feedback/
    earlier/             submissions in whose place others are
    reports/             what the grader has found, and of which file; the report on a class

Source: nbgrader 0.9.6, coursedir.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.course.course_errors import BadCourse, UnknownAssignment

CONFIGURATION = "nbgrader_config.py"
#: What is never copied into a release, whatever the configuration says.
NOT_RELEASED = ("questions", "course_secret")

#: Where nbgrader has the work of a student.
_STRUCTURE = Path("{nbgrader_step}", "{student_id}", "{assignment_id}")


class Course:
    """The course in this folder. Raises `BadCourse` if there is none, or its configuration cannot be used."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.config = _configuration(self.root)
        self._directory = self.directory()
        if Path(self._directory.directory_structure) != _STRUCTURE:
            raise BadCourse(
                f"The course {self.root} has another CourseDirectory.directory_structure than {_STRUCTURE}, which "
                f"`labkit grade` needs. Take it out of {CONFIGURATION}."
            )

    def directory(self, assignment: str = "", student: str = "*") -> CourseDirectory:
        """What nbgrader's converters are given."""
        found = CourseDirectory(config=self.config, root=str(self.root), assignment_id=assignment, student_id=student)
        found.ignore = [*found.ignore, *(name for name in NOT_RELEASED if name not in found.ignore)]
        return found

    @property
    def database(self) -> str:
        """The address of the gradebook, in SQLAlchemy's words."""
        return str(self._directory.db_url)

    @property
    def id(self) -> str:
        """The name under which nbgrader's exchange and gradebook know it."""
        return str(self._directory.course_id)

    def source(self, assignment: str) -> Path:
        """The instructor's folder of it."""
        return self._path(self._directory.source_directory, ".", assignment)

    def release(self, assignment: str) -> Path:
        """What students are given."""
        return self._path(self._directory.release_directory, ".", assignment)

    def submitted(self, student: str, assignment: str) -> Path:
        """What this student has handed in."""
        return self._path(self._directory.submitted_directory, student, assignment)

    def autograded(self, student: str, assignment: str) -> Path:
        """What was graded, for grading by hand and for the feedback."""
        return self._path(self._directory.autograded_directory, student, assignment)

    def feedback(self, student: str, assignment: str) -> Path:
        """The pages that this student is given."""
        return self._path(self._directory.feedback_directory, student, assignment)

    def earlier(self, student: str, assignment: str) -> Path:
        """Where submissions are kept that do not count any more."""
        return self.root / "earlier" / student / assignment

    def report(self, student: str, assignment: str) -> Path:
        """The file of what the grader has found."""
        return self.root / "reports" / assignment / f"{student}.json"

    def class_report(self, assignment: str) -> Path:
        """The page on how the class has done."""
        return self.root / "reports" / f"{assignment}.html"

    def assignments(self) -> list[str]:
        """The names of all assignments."""
        notebooks = self.source("*").parent.glob("*/*.ipynb")
        return sorted({file.parent.name for file in notebooks if file.stem == file.parent.name})

    def assignment(self, name: str) -> Assignment:
        """The assignment. Raises `UnknownAssignment`, and `BadAssignment` for one that cannot be used."""
        names = self.assignments()
        if name not in names:
            there = f"there are {', '.join(names)}" if names else "it has none yet"
            raise UnknownAssignment(f"The course {self.root} has no assignment {name!r}; {there}.")
        return read_assignment(self.source(name))

    def submissions(self, assignment: str) -> dict[str, Path]:
        """The notebook of each student that counts; where none does, the place where it should be."""
        folders = sorted(self.submitted("*", assignment).parent.parent.glob(f"[!.]*/{assignment}"))
        return {
            folder.parent.name: submitted_notebook(folder, assignment) or folder / f"{assignment}.ipynb"
            for folder in folders
        }

    @contextmanager
    def being_graded(self) -> Iterator[None]:
        """Inside, nobody else grades it. Raises `BadCourse` if somebody does."""
        lock = FileLock(self.root / ".grading.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise BadCourse(
                f"Another `labkit grade auto` is grading in {self.root}. Wait for its end, or use its option "
                "--concurrency."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _path(self, step: str, student: str, assignment: str) -> Path:
        return Path(self._directory.format_path(step, student, assignment))


def submitted_notebook(folder: Path, assignment: str) -> Path | None:
    """The one that counts of those in this folder: the one of the right name, else the only one."""
    own = folder / f"{assignment}.ipynb"
    found = [own] if own.exists() else sorted(folder.glob("*.ipynb"))
    return found[0] if len(found) == 1 else None


def _configuration(root: Path) -> Config:
    file = root / CONFIGURATION
    if not file.is_file():
        raise BadCourse(
            f"There is no course in {root}: it has no {CONFIGURATION}. `labkit grade init FOLDER` makes one; go to its "
            "folder, or say `--course FOLDER`."
        )
    try:
        return PyFileConfigLoader(CONFIGURATION, path=str(root)).load_config()
    except Exception as error:  # whatever a program of the instructor's may raise
        raise BadCourse(f"{file} cannot be used: it raises {type(error).__name__}: {error}") from error
