"""Balls in bins, against every way the balls can fall."""

from __future__ import annotations

import math
from itertools import pairwise, product
from math import lcm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.theory.balls_in_bins import (
    bin_shares,
    expected_empty_bins,
    expected_fullest_load,
    fullest_load,
    fullest_load_cdf,
    load_band,
    load_deviation,
    mean_load,
    share_band,
    share_of_keys_moved,
    zipf_shares,
)


def ways(balls: int, bins: int) -> np.ndarray:
    """The loads of the bins in every equally likely outcome, shape (bins ** balls, bins)."""
    return np.array([np.bincount(fall, minlength=bins) for fall in product(range(bins), repeat=balls)])


@pytest.mark.parametrize(("balls", "bins"), [(1, 3), (4, 2), (5, 3), (6, 3), (3, 5)])
def test_every_way_the_balls_can_fall(balls, bins):
    loads = ways(balls, bins)
    assert mean_load(balls, bins) == pytest.approx(loads[:, 0].mean())
    assert load_deviation(balls, bins) == pytest.approx(loads[:, 0].std())
    assert expected_fullest_load(balls, bins) == pytest.approx(loads.max(axis=1).mean())
    assert expected_empty_bins(balls, bins) == pytest.approx((loads == 0).sum(axis=1).mean())
    for k in range(balls + 1):
        assert fullest_load_cdf(k, balls, bins) == pytest.approx((loads.max(axis=1) <= k).mean())


def test_keys_that_keep_together():
    # 3 balls of 2 keys with shares 3/4 and 1/4, each key in either of 2 bins: weigh every case by its chance
    shares = [0.75, 0.25]
    cases = [
        (math.prod(shares[key] for key in keys) / 4, sum(home[key] == 0 for key in keys))
        for keys in product((0, 1), repeat=3)
        for home in product((0, 1), repeat=2)
    ]
    mean = sum(chance * load for chance, load in cases)
    variance = sum(chance * (load - mean) ** 2 for chance, load in cases)
    assert load_deviation(3, 2, shares) == pytest.approx(math.sqrt(variance))


def test_a_key_for_each_ball_is_no_grouping_and_one_key_is_all_or_nothing():
    assert load_deviation(1000, 6, np.full(10**6, 1e-6)) == pytest.approx(load_deviation(1000, 6), rel=1e-3)
    assert load_deviation(1000, 2, [1.0]) == pytest.approx(500)


@pytest.mark.slow
def test_the_formula_of_raab_and_steger():
    assert fullest_load(10_000, 100) == pytest.approx(100 + math.sqrt(2 * 100 * math.log(100)))
    # in the limit of many bins the formula meets the exact mean; with two it is far too high above the mean load
    assert fullest_load(10**5, 1000) == pytest.approx(expected_fullest_load(10**5, 1000), rel=0.04)
    assert fullest_load(1000, 2) - 500 > 2 * (expected_fullest_load(1000, 2) - 500)


def test_the_fullest_of_two_bins_has_a_known_mean():
    # m/2 + E|X - m/2| of a binomial number is about m/2 + sqrt(m / (2 pi))
    assert expected_fullest_load(1000, 2) == pytest.approx(500 + math.sqrt(1000 / (2 * math.pi)), abs=0.01)


def test_the_edges():
    assert expected_fullest_load(0, 4) == 0
    assert expected_fullest_load(7, 1) == 7
    assert load_band(7, 1) == (7, 7)
    assert load_band(0, 4) == (0, 0)
    assert fullest_load(7, 1) == 7


def test_the_band_by_hand():
    # ten fair coins: P(1 or fewer heads) = 11/1024 is below 2.5 %, P(2 or fewer) = 56/1024 is not
    assert load_band(10, 2) == (2, 8)
    assert share_band(10, 0.5) == (2, 8)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 20), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_band_holds_with_its_probability(balls, bins, probability):
    low, high = load_band(balls, bins, probability)
    share = 1 / bins
    chance = sum(math.comb(balls, k) * share**k * (1 - share) ** (balls - k) for k in range(low, high + 1))
    assert chance >= probability - 1e-9


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 12))
def test_the_fullest_bin_has_a_distribution(balls, bins):
    chances = [fullest_load_cdf(k, balls, bins) for k in range(balls + 1)]
    assert all(a <= b + 1e-9 for a, b in pairwise(chances))
    assert chances[-1] == 1
    assert math.ceil(balls / bins) - 1e-9 <= expected_fullest_load(balls, bins) <= balls + 1e-9


def test_zipf_shares():
    assert zipf_shares(3).tolist() == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    assert zipf_shares(4, 0.0).tolist() == [0.25] * 4


def test_the_shares_of_the_bins():
    assert bin_shares([0.5, 0.3, 0.2], [1, 1, 3], 5).tolist() == pytest.approx([0, 0.8, 0, 0.2, 0])


sizes = st.integers(1, 40)


@given(sizes, sizes)
def test_the_closed_form_is_what_counting_gives(before, after):
    period = lcm(before, after)
    moved = sum(h % before != h % after for h in range(period))
    assert abs(share_of_keys_moved(before, after) - moved / period) < 1e-12


def test_known_shares():
    assert share_of_keys_moved(2, 4) == 1 / 2
    assert abs(share_of_keys_moved(2, 3) - 2 / 3) < 1e-12
    assert share_of_keys_moved(5, 5) == 0
