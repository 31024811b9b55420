"""Whose a file is, by the names that Moodle, Canvas and nbgrader's exchange give."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest

from labkit.grading.course.campus_name import CampusName, campus_name, letters_of, plain_name

MOMENT = datetime(2026, 11, 28, 10, 0, 0, 123456, UTC)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (
            "Ada Lovelace_12345_assignsubmission_file_/a1.ipynb",
            CampusName("Moodle", "Ada Lovelace", "12345", "a1.ipynb"),
        ),
        (
            "Ada Lovelace_12345_assignsubmission_file/x/a1.ipynb",
            CampusName("Moodle", "Ada Lovelace", "12345", "a1.ipynb"),
        ),
        (
            "Ada Lovelace_12345_assignsubmission_file_my_a1.ipynb",
            CampusName("Moodle", "Ada Lovelace", "12345", "my_a1.ipynb"),
        ),
        ("Zoë d'Or_Ray_7_assignsubmission_file_/x y.ipynb", CampusName("Moodle", "Zoë d'Or_Ray", "7", "x y.ipynb")),
        ("lovelaceada_4242_98765_a1.ipynb", CampusName("Canvas", "lovelaceada", "4242", "a1.ipynb", 98765)),
        (
            "lovelaceada_LATE_4242_98765_a1-1.ipynb",
            CampusName("Canvas", "lovelaceada", "4242", "a1-1.ipynb", 98765, True),
        ),
        ("किरण_1_2_a1.ipynb", CampusName("Canvas", "किरण", "1", "a1.ipynb", 2)),
        ("mu\u0308ller_1_2_a1.ipynb", CampusName("Canvas", "müller", "1", "a1.ipynb", 2)),
        ("müllerzoë_1_2_3_4.ipynb", CampusName("Canvas", "müllerzoë", "1", "3_4.ipynb", 2)),
        (
            "inbound/ada+a1+2026-11-28 10:00:00.123456 UTC+Zm9v/a1.ipynb",
            CampusName("nbgrader", "ada", "", "a1.ipynb", timestamp=MOMENT),
        ),
        (
            "a+da+a1+2026-11-28 11:00:00.123456 CET/a1.ipynb",
            CampusName("nbgrader", "a+da", "", "a1.ipynb", timestamp=MOMENT),
        ),
        (
            "ada+a2+2026-11-28 10:00:00.123456 UTC+Zm9v/a2.ipynb",
            CampusName("nbgrader", "ada", "", "", timestamp=MOMENT),
        ),
    ],
)
def test_a_name_says_whose_it_is(path: str, named: CampusName) -> None:
    assert campus_name(PurePosixPath(path), "a1") == named


@pytest.mark.parametrize(
    "path",
    [
        "ada/a1.ipynb",
        "ada/lovelaceada_4242_98765_a1.ipynb",  # the name of a file in the folder of a student
        "mallory/bob+a1+2026-11-28 10:00:00 UTC/a1.ipynb",
        "mallory/inbound/bob+a1+2026-11-28 10:00:00 UTC/a1.ipynb",
        "mallory/Bob Smith_1_assignsubmission_file_a1.ipynb",
        "mallory/Bob Smith_1_assignsubmission_file_/a1.ipynb",
        "inbound/Bob Smith_1_assignsubmission_file_/a1.ipynb",
        "a1.ipynb",
        "a1_topics_and_producer.ipynb",
        "Ada_12345_assignsubmission_onlinetext_/a1.ipynb",
        "_1_assignsubmission_file_/a1.ipynb",
        "1+1/a1.ipynb",
        "a+b+c+d/a1.ipynb",
    ],
)
def test_other_names_say_nothing(path: str) -> None:
    assert campus_name(PurePosixPath(path), "a1") is None


def test_what_is_added_to_a_second_file_is_left_out() -> None:
    assert {plain_name(name) for name in ("a1.ipynb", "a1-1.ipynb", "a1 (2).ipynb", "a1(3).ipynb")} == {"a1"}
    assert plain_name("a1_x-y.ipynb") == "a1_x-y"


def test_letters_are_the_same_however_they_are_written() -> None:
    assert letters_of("Lovelace, Ada-Zoe\u0308") == letters_of("lovelaceadazoë")
    assert letters_of("करण") != letters_of("किरण")


def test_in_moodle_a_student_who_calls_himself_so_makes_no_exchange() -> None:
    name = campus_name(PurePosixPath("bob+a1+2026-11-28 10:00:00 UTC+x_7_assignsubmission_file_/a1.ipynb"), "a1")
    assert name is not None
    assert name.system == "Moodle"
