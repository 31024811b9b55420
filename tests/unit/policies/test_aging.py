"""Aging."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.policies import make_policy


def test_a_class_is_caught_up_with_after_one_over_the_rate(view_of):
    aging = make_policy("aging", rate=0.5)
    high_came_at = [1.9, 2.1]
    started = [aging.decide(view_of((1, at, None), (1, 0.0, None)), 5.0).start for at in high_came_at]
    assert started == ["a", "b"]


def test_of_equals_the_more_urgent_one_goes_first(view_of):
    aging = make_policy("aging", rate=0.5)
    assert aging.decide(view_of((1, 2.0, None), (1, 0.0, None)), 4.0).start == "a"


def test_the_rate_leads_from_strict_to_first_come_first_served(view_of):
    view = view_of((1, 9.0, None), (1, 8.0, None), (1, 0.0, None))
    started = [make_policy("aging", rate=rate).decide(view, 10.0).start for rate in (0.01, 0.3, 100.0)]
    assert started == ["a", "c", "c"]


@pytest.mark.parametrize("rate", [0.1, 1.0, 7.0])
@settings(deadline=None)
@given(arrived=st.lists(st.floats(0, 100), min_size=2, max_size=5), later=st.floats(0, 1e4))
def test_nobody_overtakes_who_came_long_before(view_of, rate, arrived, later):
    view = view_of(*((1, at, None) for at in arrived))
    decision = make_policy("aging", rate=rate).decide(view, 100.0 + later)
    first = next(one for one in view.classes if one.name == decision.start)
    for other in view.classes:
        overtaken_by = first.arrived_at - other.arrived_at
        assert overtaken_by <= (other.rank - first.rank) / rate + 1e-6
