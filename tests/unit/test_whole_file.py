"""A file appears whole or not at all, whoever else writes one of its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.whole_file import whole_file


def test_two_who_write_one_file_both_do_and_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert not path.exists()
    assert path.read_text() == "first", "its block ended last"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def write_half() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write_half()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    with whole_file(path) as part:
        part.write_text("whole")
    assert path.read_text() == "whole"
