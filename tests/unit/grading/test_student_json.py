"""JSON of a student's may be anything."""

from __future__ import annotations

import pytest

from labkit.grading.student_json import read_json


def test_a_value_is_read() -> None:
    assert read_json('{"job_id": "1"}') == {"job_id": "1"}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "1" * 10_000], ids=len)
def test_what_cannot_be_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)
