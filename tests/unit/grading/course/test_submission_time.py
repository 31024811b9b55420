"""When a submission was handed in, as nbgrader writes it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from labkit.grading.course.submission_time import TIMESTAMP, read_timestamp, timestamp_of, write_timestamp

MOMENT = datetime(2026, 11, 28, 10, 0, 0, 500_000, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-28 10:00:00.5 UTC",
        "2026-11-28 10:00:00.500000",
        "2026-11-28T10:00:00.5Z\n",
        "2026-11-28 11:00:00.5 +0100",
        "2026-11-28 11:00:00.5 CET",
        "2026-11-28 11:00:00.5 Europe/Berlin",
    ],
)
def test_a_time_is_read_with_its_zone(text: str) -> None:
    assert timestamp_of(text) == MOMENT


@pytest.mark.parametrize(
    "text", ["", "1", "a1", "yesterday", "2026-11-28", "2026-13-28 10:00:00", "2026-11-28 10:00:00 XYZ"]
)
def test_what_tells_no_time_is_none(text: str) -> None:
    assert timestamp_of(text) is None


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_timestamp(tmp_path) is None
    write_timestamp(tmp_path, MOMENT)
    assert (tmp_path / TIMESTAMP).read_text() == "2026-11-28 10:00:00.500000 UTC"
    assert read_timestamp(tmp_path) == MOMENT
    (tmp_path / TIMESTAMP).write_bytes(b"\xff")
    assert read_timestamp(tmp_path) is None
