"""Plain values, looked at on both sides: what the program inside writes, and what the one outside believes."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.grading.sandbox.kernel_program import MAX_DEPTH, MAX_PARTS, plain
from labkit.grading.sandbox.plain_value import fault_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@given(PLAIN)
def test_a_plain_value_comes_back_as_it_was(value: object) -> None:
    came = json.loads(json.dumps(plain(value)))
    assert came == value
    assert fault_of(came) is None


def test_what_is_no_number_comes_back_too() -> None:
    came = json.loads(json.dumps(plain(math.nan)))
    assert math.isnan(came)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (nested(MAX_DEPTH + 1), "nested deeper"),
        ([0] * MAX_PARTS, "more than"),
        ([[0] * 1000] * 1000, "more than"),
        ("\ud800", "no Unicode"),
        (["a", "\udfff"], "no Unicode"),
        ({"\ud800": 1}, "no Unicode"),
    ],
)
def test_the_limits_hold_whoever_has_written_it(value: object, words: str) -> None:
    assert words in (fault_of(value) or "")


def test_the_limits_are_the_same_inside() -> None:
    for value in (nested(MAX_DEPTH), [0] * (MAX_PARTS - 1)):
        assert plain(value) == value
        assert fault_of(value) is None
    for value in (nested(MAX_DEPTH + 1), [0] * MAX_PARTS):
        with pytest.raises(Exception, match=r"deeper|parts"):
            plain(value)
