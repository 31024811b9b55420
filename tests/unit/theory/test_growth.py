"""The share of keys that move, against counting every hash."""

from math import lcm

from hypothesis import given
from hypothesis import strategies as st

from labkit.theory.growth import share_of_keys_moved

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
