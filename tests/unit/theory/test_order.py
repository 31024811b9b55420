"""The price of order: Graham's bounds on small cases that can be done by hand."""

import pytest

from labkit.theory.order import makespan_at_least, makespan_at_most, speed_up_limit


@pytest.mark.parametrize(
    ("work", "servers", "least", "most"),
    [
        ({"a": 4.0}, 4, 4.0, 4.0),  # one lane: no help from more servers
        ({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, 4, 1.0, 1.75),
        ({"a": 3.0, "b": 1.0}, 2, 3.0, 3.5),
        ({"a": 2.0, "b": 2.0}, 1, 4.0, 4.0),
    ],
)
def test_by_hand(work, servers, least, most):
    assert makespan_at_least(work, servers) == least
    assert makespan_at_most(work, servers) == most


def test_a_hot_lane_limits_the_speed_up():
    assert speed_up_limit({"hot": 5.0, **{f"cold-{n}": 0.05 for n in range(100)}}, 16) == pytest.approx(2.0)
    assert speed_up_limit(dict.fromkeys(range(64), 1.0), 16) == 16
    assert speed_up_limit({}, 16) == 1
