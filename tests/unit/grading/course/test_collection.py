"""The latest submission of each student counts, and none is lost."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from labkit.grading.course import submission_archive
from labkit.grading.course.collection import Came, CollectedSubmission, collect
from labkit.grading.course.released_cells import ReleasedCells
from labkit.grading.course.student_roster import ListedStudent, StudentRoster
from labkit.grading.notebook_file import Nbgrader, NotebookCell, read_content
from tests.unit.grading.notebooks import noted, write


class Folders:
    """Where a course has what was handed in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def submitted(self, student: str, assignment: str) -> Path:
        return self.root / "submitted" / student / assignment

    def earlier(self, student: str, assignment: str) -> Path:
        return self.root / "earlier" / student / assignment

    def here(self, student: str) -> tuple[str, str | None, list[str]]:
        """What counts, when it came, and what does not count any more."""
        folder = self.submitted(student, "a1")
        time = folder / "timestamp.txt"
        kept = sorted(file.read_text() for file in self.earlier(student, "a1").glob("*"))
        return (folder / "a1.ipynb").read_text(), time.read_text() if time.exists() else None, kept


@pytest.fixture
def course(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "course")


def handed(folder: Path, content: str, *, student: str = "ada", stated: str = "", changed: int = 1000) -> Path:
    """A folder with the notebook of a student."""
    file = folder / student / "a1.ipynb"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    os.utime(file, (changed, changed))
    if stated:
        (file.parent / "timestamp.txt").write_text(stated)
    return folder


RELEASE = [NotebookCell("code", "1", nbgrader=Nbgrader("q1", solution=True))]
NOW = datetime(2033, 5, 19, tzinfo=UTC)


def came(
    course: Folders, *sources: Path, roster: StudentRoster | None = None, release: Iterable[NotebookCell] = ()
) -> list[CollectedSubmission]:
    return list(collect(course, "a1", sources, roster or StudentRoster([]), release=ReleasedCells(release), now=NOW))


def notebook(folder: Path, grade_id: str, **of: Any) -> Path:
    """A folder with a notebook that has this cell."""
    made = write(folder.with_suffix(".ipynb"), [noted("1", grade_id, solution=True)])
    return handed(folder, made.read_text(), **of)


def test_a_later_one_takes_the_place_of_an_earlier_one_which_is_kept(course: Folders, tmp_path: Path) -> None:
    first = handed(tmp_path / "1", "first", stated="2026-11-28 10:00:00 UTC")
    later = handed(tmp_path / "2", "later", stated="2026-11-28 12:00:00 UTC")
    assert [one.came for one in came(course, first)] == [Came.NEW]
    assert [one.came for one in came(course, later)] == [Came.LATER]
    assert course.here("ada") == ("later", "2026-11-28 12:00:00.000000 UTC", ["first"])
    assert [one.came for one in came(course, later)] == [Came.SAME]
    assert [one.came for one in came(course, first)] == [Came.EARLIER]
    assert course.here("ada") == ("later", "2026-11-28 12:00:00.000000 UTC", ["first"])


def test_of_several_at_once_the_latest_counts(course: Folders, tmp_path: Path) -> None:
    exchange = tmp_path / "inbound"
    for hour in (11, 13, 12):
        folder = exchange / f"ada+a1+2026-11-28 {hour}:00:00.000000 UTC+x{hour}"
        folder.mkdir(parents=True)
        (folder / "a1.ipynb").write_text(str(hour))
    (one,) = came(course, exchange)
    assert str(one).startswith("ada: taken, ")
    assert str(one).endswith(", of 2026-11-28 13:00:00 UTC.")
    assert course.here("ada") == ("13", "2026-11-28 13:00:00.000000 UTC", ["11", "12"])


def test_where_no_time_is_told_the_date_of_the_file_says_which_is_later(course: Folders, tmp_path: Path) -> None:
    old, new = (handed(tmp_path / name, name, changed=changed) for name, changed in (("old", 1000), ("new", 2000)))
    came(course, new)
    assert [one.came for one in came(course, old)] == [Came.EARLIER]
    assert course.here("ada") == ("new", None, ["old"])  # and nobody is late by it


def test_a_time_is_never_left_beside_another_submission(course: Folders, tmp_path: Path) -> None:
    came(course, handed(tmp_path / "1", "first", stated="1999-01-01 00:00:00 UTC"))
    came(course, handed(tmp_path / "2", "later", changed=2_000_000_000))
    assert course.here("ada") == ("later", None, ["first"])


def test_one_that_was_put_there_under_another_name_counts_too(course: Folders, tmp_path: Path) -> None:
    there = course.submitted("ada", "a1") / "mine.ipynb"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    os.utime(there, (500, 500))
    assert [one.came for one in came(course, handed(tmp_path / "1", "first"))] == [Came.LATER]
    assert course.here("ada") == ("first", None, ["mine"])
    assert not there.exists()


def test_what_cannot_be_taken_keeps_out_no_other(course: Folders, tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_text("no zip file")
    good = handed(tmp_path / "1", "first")
    told = came(course, tmp_path / "bad.zip", tmp_path / "none", good)
    assert [one.came for one in told] == [Came.REFUSED, Came.REFUSED, Came.NEW]
    assert str(told[1]) == f"not taken: {tmp_path / 'none'} is no folder, no zip file and no notebook."
    assert course.here("ada") == ("first", None, [])


def test_who_is_late_and_who_is_not_listed_is_said(course: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "canvas"
    folder.mkdir()
    (folder / "lovelaceada_LATE_1_2_a1.ipynb").write_text("late")
    (one,) = came(course, folder, roster=StudentRoster([ListedStudent("s1", "Ben", "B", "7")]))
    assert one.said.endswith("late, as Canvas says, by one whom the gradebook does not list.")


def test_a_notebook_of_another_assignment_replaces_none_of_this_one(course: Folders, tmp_path: Path) -> None:
    right, wrong = notebook(tmp_path / "1", "q1"), notebook(tmp_path / "2", "z9", changed=2000)
    came(course, right, release=RELEASE)
    (one,) = came(course, wrong, release=RELEASE)
    assert one.came is Came.REFUSED
    assert (
        "does not look like a1: most cells that are locked there are not in it, and the one that is there does"
        in one.said
    )
    assert '"q1"' in course.here("ada")[0]


def test_of_several_at_once_one_that_looks_like_the_assignment_counts(course: Folders, tmp_path: Path) -> None:
    right, wrong = notebook(tmp_path / "1", "q1"), notebook(tmp_path / "2", "z9", changed=2000)
    damaged = handed(tmp_path / "3", "no notebook", changed=3000)
    told = came(course, right, damaged, wrong, release=RELEASE)
    assert [one.came for one in told] == [Came.REFUSED, Came.REFUSED, Came.NEW]
    assert "an earlier one does" in told[0].said
    assert '"q1"' in course.here("ada")[0]


def test_one_that_looks_like_the_assignment_replaces_one_that_does_not(course: Folders, tmp_path: Path) -> None:
    wrong, right = notebook(tmp_path / "1", "z9", changed=2000), notebook(tmp_path / "2", "q1")
    (one,) = came(course, wrong, release=RELEASE)
    assert one.came is Came.NEW
    assert one.said.endswith("which does not look like a1: most cells that are locked there are not in it.")
    assert [one.came for one in came(course, right, release=RELEASE)] == [Came.LIKELIER]
    here, _, (kept,) = course.here("ada")
    assert '"q1"' in here
    assert '"z9"' in kept


def test_an_id_that_is_too_long_here_keeps_out_no_other(
    course: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = course.submitted

    def submitted(student: str, assignment: str) -> Path:
        return of("x" * 300 if student == "ada" else student, assignment)

    monkeypatch.setattr(course, "submitted", submitted)
    handed(tmp_path / "1", "ada")
    handed(tmp_path / "1", "ben", student="ben")
    told = came(course, tmp_path / "1")
    assert [(one.student, one.came) for one in told] == [("ada", Came.REFUSED), ("ben", Came.NEW)]
    assert "too long" in told[0].said


def test_notebooks_are_read_one_by_one_from_the_latest_on(
    course: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def read(path: Path) -> object:
        asked.append(path.parent.parent.name)
        return read_content(path)

    folders = [handed(tmp_path / str(day), str(day), changed=day * 1000) for day in (2, 1, 3)]
    monkeypatch.setattr(submission_archive, "read_content", read)
    list_of = collect(course, "a1", folders, StudentRoster([]), release=ReleasedCells([]), now=NOW)
    assert next(list_of).came is Came.NEW
    assert asked == ["3", "1", "2"]


def test_a_zip_file_can_be_read_until_all_are_collected(course: Folders, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as opened:
        opened.writestr("ada/a1.ipynb", "zipped")
    later = handed(tmp_path / "1", "later", changed=2_000_000_000)
    assert [one.came for one in came(course, tmp_path / "in.zip", later)] == [Came.NEW]
    assert course.here("ada") == ("later", None, ["zipped"])
