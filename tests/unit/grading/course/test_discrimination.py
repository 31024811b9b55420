"""What a question tells apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from labkit.grading.course.discrimination import FEWEST, discriminations

POINTS = st.floats(0, 5).map(lambda points: round(points, 1))
CLASS = st.lists(st.fixed_dictionaries({"q1": POINTS, "q2": POINTS, "q3": POINTS}), min_size=FEWEST, max_size=40)


def test_who_does_well_elsewhere_does_well_here_or_badly() -> None:
    found = discriminations([{"good": n, "other": 2 * n, "bad": -n / 2} for n in range(FEWEST)])
    assert found == {"good": pytest.approx(1), "other": pytest.approx(1), "bad": pytest.approx(-1)}


@given(CLASS)
def test_it_is_the_correlation_with_all_other_questions(points: list[dict[str, float]]) -> None:
    for question, value in discriminations(points).items():
        own = [one[question] for one in points]
        others = [round(sum(one.values()) - one[question], 6) for one in points]
        assert value == pytest.approx(pearsonr(own, others).statistic, abs=1e-6)


def test_what_says_nothing_is_left_out() -> None:
    points = [{"q1": n % 3, "q2": n % 2, "same": 1 / 3} for n in range(FEWEST)]
    assert discriminations(points).keys() == {"q1", "q2"}
    assert discriminations(points[1:]) == {}
    assert discriminations([]) == {}
    thirds = [{"q1": n % 2, "q2": (n % 3) / 3, "q3": 1 - (n % 3) / 3} for n in range(FEWEST)]
    assert "q1" not in discriminations(thirds), "all have the same in the others"
    del points[4]["q2"]  # it waits for a person, and q1 has nothing left to go with
    assert discriminations(points) == {}
