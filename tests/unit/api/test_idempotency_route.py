"""The value of the header Idempotency-Key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.api.idempotency_route import KEY_PATTERN, key_of
from labkit.api.problems import Problem


def test_with_and_without_quotes_it_is_the_same():
    assert key_of(['"abc-1"'], required=False) == key_of(["abc-1"], required=True) == "abc-1"


def test_none_is_none_unless_it_is_required():
    assert key_of([], required=False) is None
    with pytest.raises(Problem) as caught:
        key_of([], required=True)
    assert (caught.value.status, caught.value.name) == (400, "key-missing")


@pytest.mark.parametrize("value", ["", '""', '"a', 'a"', "a b", '"a\\"b"', "é", "x" * 256, '"a"; p=1'])
def test_what_is_no_key_is_400(value):
    with pytest.raises(Problem) as caught:
        key_of([value], required=False)
    assert (caught.value.status, caught.value.name) == (400, "key-malformed")


def test_two_keys_are_none():
    with pytest.raises(Problem, match="one text"):
        key_of(["a", "b"], required=False)


@given(st.from_regex(KEY_PATTERN, fullmatch=True))
def test_all_that_the_description_allows_is_a_key(value):
    assert key_of([value], required=True) == value.strip('"')
