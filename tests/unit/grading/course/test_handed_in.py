"""Each notebook of an archive is of one student, or it is said why it is nobody's."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from labkit.grading.course.handed_in import HandedIn, NotTaken, read_handed_in
from labkit.grading.course.student_roster import ListedStudent, StudentRoster

NOBODY = StudentRoster([])


def read(source: Path, roster: StudentRoster = NOBODY) -> tuple[dict[str, str], list[str]]:
    """Which notebook was taken of whom, by its content, and what was said of the others."""
    found = list(read_handed_in(source, "a1", roster))
    taken = {one.student: one.content.decode() for one in found if isinstance(one, HandedIn)}
    return taken, [one.sentence for one in found if isinstance(one, NotTaken)]


def zipped(file: Path, *names: str) -> Path:
    """A zip file in which each file holds its own name."""
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, name)
    return file


def unpacked(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("make", [lambda path, *names: zipped(path / "in.zip", *names), unpacked])
@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["ada/a1.ipynb", "ben/mine.ipynb"], {"ada": "ada/a1.ipynb", "ben": "ben/mine.ipynb"}),
        (["ada/a1/x.ipynb", "ada/a1.ipynb"], {"ada": "ada/a1.ipynb"}),
        (["ada/a1.ipynb", "ada/notes.ipynb"], {"ada": "ada/a1.ipynb"}),
        (["ada/a1 (1).ipynb", "ada/notes.ipynb"], {"ada": "ada/a1 (1).ipynb"}),
        (["Ada L_7_assignsubmission_file_/a1.ipynb"], {"ada_l": "Ada L_7_assignsubmission_file_/a1.ipynb"}),
        (["Ada L_7_assignsubmission_file_a1.ipynb"], {"ada_l": "Ada L_7_assignsubmission_file_a1.ipynb"}),
        (
            ["la_1_20_a1-1.ipynb", "la_1_3_a1.ipynb", "kb_LATE_2_30_z.ipynb"],
            {"1": "la_1_20_a1-1.ipynb", "2": "kb_LATE_2_30_z.ipynb"},
        ),
        (
            [
                "ada+a1+2026-11-28 10:00:00 UTC+x/a1.ipynb",
                "ada+a2+2026-11-28 10:00:00 UTC+x/a2.ipynb",
                "outbound/a1/a1.ipynb",
            ],
            {"ada": "ada+a1+2026-11-28 10:00:00 UTC+x/a1.ipynb"},
        ),
    ],
)
def test_the_notebook_of_a_student_is_found(tmp_path: Path, make, names: list[str], taken: dict[str, str]) -> None:
    assert read(make(tmp_path, *names)) == (taken, [])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["ada/x.ipynb", "ada/y.ipynb"], "there are several notebooks (x.ipynb, y.ipynb)"),
        (["ada/a1-1.ipynb", "ada/a1 (1).ipynb"], "there are several notebooks"),
        (["a1.ipynb"], "says not whose it is"),
        (["x/ada/a1.ipynb"], "says not whose it is"),
        (["Kim Lee_7_assignsubmission_file_/a1.ipynb", "Kim Lee_8_assignsubmission_file_/a1.ipynb"], "numbers 7, 8"),
        (["-rf/a1.ipynb"], "can be nobody's id"),
        (["a[1-9]/a1.ipynb"], "can be nobody's id"),
        (["ada/a1.py"], "there is no notebook"),
    ],
)
def test_what_is_nobodys_is_said_and_keeps_out_no_other(tmp_path: Path, names: list[str], said: str) -> None:
    more = [] if said.startswith("there is no") else ["zoe/a1.ipynb"]
    taken, (sentence,) = read(zipped(tmp_path / "in.zip", *names, *more))
    assert said in sentence
    assert taken == {name.partition("/")[0]: name for name in more}


def test_two_listed_students_of_one_name_are_not_confused(tmp_path: Path) -> None:
    roster = StudentRoster([ListedStudent("s1", "Kim", "Lee"), ListedStudent("s2", "Kim", "Lee")])
    taken, (sentence,) = read(zipped(tmp_path / "in.zip", "Kim Lee_7_assignsubmission_file_/a1.ipynb"), roster)
    assert taken == {}
    assert "may be of s1 or s2" in sentence


def test_the_time_is_that_of_the_file_beside_it(tmp_path: Path) -> None:
    unpacked(tmp_path, "ada/a1.ipynb", "ben/a1.ipynb", "zoe/a1.ipynb")
    (tmp_path / "ada" / "timestamp.txt").write_text("2026-11-28 11:00:00 +0100")
    (tmp_path / "ben" / "timestamp.txt").write_text("yesterday, I swear")
    told = {one.student: one.timestamp and one.timestamp.isoformat() for one in read_handed_in(tmp_path, "a1", NOBODY)}
    assert told == {"ada": "2026-11-28T10:00:00+00:00", "ben": None, "zoe": None}
