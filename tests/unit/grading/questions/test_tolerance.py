"""Values are compared type by type; only floats may be off, and only by rounding."""

from __future__ import annotations

import math

import pytest

from labkit.grading.questions.tolerance import Tolerance

EXACT = Tolerance()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (True, True),
        (None, None),
        ("a", "a"),
        (0.1 + 0.2, 0.3),
        (2, 2.0),
        (math.nan, math.nan),
        (math.inf, math.inf),
        ([1, [0.5, "x"]], [1, [0.5, "x"]]),
        ({"a": [1], "b": {}}, {"b": {}, "a": [1]}),
    ],
)
def test_what_is_as_expected(value: object, expected: object) -> None:
    assert EXACT.holds(value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, 1),
        (True, 1),
        (1, True),
        (True, 1.0),
        ("1", 1),
        (None, 0),
        (0.31, 0.3),
        (10**400, 1e300),
        (math.nan, 1.0),
        (1.0, math.nan),
        ([1], [1, 2]),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"b": 1}),
        ({"a": 1, "b": 1}, {"a": 1}),
        ([], {}),
        ({}, []),
    ],
)
def test_what_is_not(value: object, expected: object) -> None:
    assert not EXACT.holds(value, expected)


def test_a_wider_tolerance_is_for_floats_only() -> None:
    wide = Tolerance(relative=0.1)
    assert wide.holds(1.05, 1.0)
    assert not wide.holds(105, 100)
