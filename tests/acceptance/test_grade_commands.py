"""`labkit grade` as an instructor types it."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.commands import outcome, said


def test_help_says_what_there_is(type_in) -> None:
    out = said(type_in("grade", "--help"))
    for command in ("init", "release", "collect", "auto", "worker", "feedback", "export", "stats", "demo"):
        assert f"  {command} " in out


def test_a_folder_that_is_no_course_is_one_paragraph(type_in, tmp_path: Path) -> None:
    _, err = outcome(type_in("grade", "auto", "a1_topics_and_producer", "--course", str(tmp_path)), 1)
    assert err.startswith("labkit: There is no course in ")
    assert "labkit grade init" in err
    assert err.count("\n") == 1
