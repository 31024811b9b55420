"""Students are found by what the campus system calls them."""

from __future__ import annotations

import pytest

from labkit.grading.course.campus_name import CampusName
from labkit.grading.course.student_roster import ListedStudent, StudentRoster, is_student_id

ROSTER = StudentRoster(
    [
        ListedStudent("s1", "Ada", "Lovelace", "4242"),
        ListedStudent("s2", "Zoë", "Müller"),
        ListedStudent("s3", "Kim", "Lee"),
        ListedStudent("s4", "Kim", "Lee"),
        ListedStudent("s5"),
    ]
)


def moodle(person: str) -> CampusName:
    return CampusName("Moodle", person, "99", "a1.ipynb")


def canvas(person: str, number: str) -> CampusName:
    return CampusName("Canvas", person, number, "a1.ipynb", 1)


def test_a_student_is_found_by_number_and_by_name() -> None:
    assert ROSTER.ids_of(canvas("whoever", "4242")) == ["s1"]
    assert ROSTER.ids_of(canvas("mullerzoe", "1")) == ["1"]
    assert ROSTER.ids_of(canvas("müllerzoë", "1")) == ["s2"]
    assert ROSTER.ids_of(canvas("lovelaceada", "1")) == ["1"]  # that Ada has another number
    assert ROSTER.ids_of(moodle("Zoë Müller")) == ROSTER.ids_of(moodle("MÜLLER Zoë")) == ["s2"]
    assert ROSTER.ids_of(moodle("Kim Lee")) == ["s3", "s4"]
    assert ROSTER.ids_of(CampusName("nbgrader", "ada", "", "a1.ipynb")) == ["ada"]


def test_one_who_is_not_listed_has_an_id_all_the_same() -> None:
    assert StudentRoster([]).ids_of(moodle("Ada  King Lovelace")) == ["ada_king_lovelace"]
    assert StudentRoster([]).ids_of(canvas("lovelaceada", "4242")) == ["4242"]


def test_an_id_is_the_same_however_it_is_written() -> None:
    composed, decomposed = "zoë", "zoe\u0308"
    for listed in (composed, decomposed):
        roster = StudentRoster([ListedStudent(listed)])
        assert roster.id_of(composed) == roster.id_of(decomposed) == listed
        assert roster.lists(composed)
        assert roster.lists(decomposed)
    assert StudentRoster([]).ids_of(moodle("Zoe\u0308 M")) == ["zoë_m"]


def test_a_list_is_known_by_names_and_numbers() -> None:
    assert ROSTER.is_list
    assert ROSTER.lists("s5")
    assert not StudentRoster([ListedStudent("s5")]).is_list


@pytest.mark.parametrize("text", ["ada", "12345", "ada.lovelace@example.org", "Ada Lovelace", "zoë_müller", "a-b"])
def test_an_id_names_a_folder(text: str) -> None:
    assert is_student_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".ada",
        "a/b",
        "a\\b",
        "*",
        "a*",
        "a?",
        "a[b]",
        "{a}",
        "a\nb",
        "a\0",
        " a",
        "a ",
        "-a",
        "_a",
        "a" * 101,
        "करण" * 26,  # more bytes than the name of a file may have
    ],
)
def test_what_would_be_a_path_or_a_pattern_is_no_id(text: str) -> None:
    assert not is_student_id(text)
