"""Each notebook of an archive is of one student, or it is said why it is nobody's."""

from __future__ import annotations

import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labkit.grading.course import folder_owner, handed_in
from labkit.grading.course.handed_in import HandedIn, NotTaken, open_handed_in
from labkit.grading.course.student_roster import ListedStudent, StudentRoster

NOBODY = StudentRoster([])


NOW = datetime(2026, 11, 30, tzinfo=UTC)


def read(source: Path, roster: StudentRoster = NOBODY) -> tuple[dict[str, str], list[str]]:
    """Which notebook was taken of whom, by its content, and what was said of the others."""
    with open_handed_in(source, "a1", roster, NOW) as found:
        taken = {one.student: one.content() for one in found if isinstance(one, HandedIn)}
        said = [one.sentence for one in found if isinstance(one, NotTaken)]
    return {student: content.decode() for student, content in taken.items() if isinstance(content, bytes)}, said


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
    with open_handed_in(tmp_path, "a1", NOBODY, NOW) as found:
        told = {one.student: one.timestamp and one.timestamp.isoformat() for one in found if isinstance(one, HandedIn)}
    assert told == {"ada": "2026-11-28T10:00:00+00:00", "ben": None, "zoe": None}


@pytest.mark.parametrize("make", [lambda path, *names: zipped(path / "in.zip", *names), unpacked])
@pytest.mark.parametrize(
    "forged",
    [
        "mallory/bob+a1+2026-11-28 10:00:00 UTC/a1.ipynb",
        "mallory/inbound/bob+a1+2026-11-28 10:00:00 UTC/a1.ipynb",
        "mallory/Bob Smith_1_assignsubmission_file_/a1.ipynb",
    ],
)
def test_a_name_in_the_folder_of_a_student_makes_it_nobody_elses(tmp_path: Path, make, forged: str) -> None:
    taken, (sentence,) = read(make(tmp_path, "bob/a1.ipynb", forged))
    assert taken == {"bob": "bob/a1.ipynb"}
    assert "says not whose it is" in sentence


def test_a_file_name_in_the_folder_of_a_student_is_theirs(tmp_path: Path) -> None:
    forged = "mallory/Bob Smith_1_assignsubmission_file_a1.ipynb"
    assert read(unpacked(tmp_path, forged)) == ({"mallory": forged}, [])


@pytest.mark.parametrize("make", [lambda path, *names: zipped(path / "in.zip", *names), unpacked])
def test_what_is_in_an_exchange_under_other_names_is_said(tmp_path: Path, make) -> None:
    named = "inbound/ada+a1+2026-11-28 10:00:00 UTC+x/a1.ipynb"
    forged = ["inbound/Bob_1_assignsubmission_file_/a1.ipynb", "inbound/bob/a1.ipynb", "bob/a1.ipynb"]
    taken, (sentence,) = read(make(tmp_path, named, *forged))
    assert taken == {"ada": named}
    assert all(name in sentence for name in forged)


def test_an_exchange_without_this_assignment_is_one_all_the_same(tmp_path: Path) -> None:
    source = unpacked(tmp_path, "inbound/ada+a2+2026-11-28 10:00:00 UTC+x/a2.ipynb", "outbound/a1/a1.ipynb")
    taken, (sentence,) = read(source)
    assert taken == {}
    assert "outbound/a1/a1.ipynb" in sentence
    taken, (sentence,) = read(unpacked(tmp_path / "other" / "inbound", "bob/a1.ipynb"))
    assert taken == {}
    assert "is nobody's" in sentence


def test_a_time_that_is_yet_to_come_is_refused(tmp_path: Path) -> None:
    exchange = unpacked(
        tmp_path / "inbound",
        "bob+a1+2026-11-28 10:00:00 UTC+x/a1.ipynb",
        "bob+a1+2027-11-28 10:00:00 UTC+x/a1.ipynb",
        "zoe+a1+2026-11-30 00:05:00 UTC+x/a1.ipynb",  # by a clock that is a little ahead
    )
    taken, (sentence,) = read(exchange)
    assert {student: name[7:17] for student, name in taken.items()} == {"bob": "2026-11-28", "zoe": "2026-11-30"}
    assert "which is yet to come" in sentence
    folder = unpacked(tmp_path / "in", "ada/a1.ipynb")
    (folder / "ada" / "timestamp.txt").write_text("2027-11-28 10:00:00 UTC")
    taken, (sentence,) = read(folder)
    assert taken == {}
    assert "which is yet to come" in sentence


@pytest.mark.parametrize("inside", ["", "inbound"])
def test_a_folder_in_the_exchange_that_somebody_else_owns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    users = {"honest": 900_001, "forged": 900_002}

    def owner_of(path: Path) -> int:
        return users.get(path.name.rpartition("+")[2], 0)

    monkeypatch.setattr(folder_owner, "owner_of", owner_of)
    monkeypatch.setattr(handed_in, "owner_of", owner_of)
    source = tmp_path if inside else tmp_path / "inbound"
    unpacked(
        tmp_path / "inbound",
        "bob+a1+2026-11-28 10:00:00 UTC+honest/a1.ipynb",
        "bob+a1+2026-11-28 11:00:00 UTC+forged/a1.ipynb",
        "mallory+a2+2026-11-28 11:00:00 UTC+forged/a2.ipynb",
    )
    taken, (sentence,) = read(source)
    assert {student: "honest" in name for student, name in taken.items()} == {"bob": True}
    assert "is owned by the user 900002, and so it may be of somebody else" in sentence


def test_a_name_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    roster = StudentRoster([ListedStudent("zoë")])
    assert list(read(unpacked(tmp_path, "zoe\u0308/a1.ipynb"), roster)[0]) == ["zoë"]


def test_a_pipe_for_the_time_tells_none(tmp_path: Path) -> None:
    os.mkfifo(unpacked(tmp_path, "ada/a1.ipynb") / "ada" / "timestamp.txt")
    assert read(tmp_path) == ({"ada": "ada/a1.ipynb"}, [])
