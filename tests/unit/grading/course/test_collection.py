"""The latest submission of each student counts, and none is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.grading.course.collection import Came, CollectedSubmission, collect
from labkit.grading.course.student_roster import ListedStudent, StudentRoster


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


def came(course: Folders, *sources: Path, roster: StudentRoster | None = None) -> list[CollectedSubmission]:
    return list(collect(course, "a1", sources, roster or StudentRoster([])))


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
