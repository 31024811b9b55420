"""A guaranteed share, the rest strict."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.policies import PriorityClass, make_policy

QUOTA = make_policy("quota")
shares = st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.25, 0.33]), min_size=2, max_size=3)
arrivals = st.lists(st.lists(st.sampled_from([0, 0, 0, 1, 2, 5]), min_size=3, max_size=3), max_size=150)


def classes_with(shares):
    return [PriorityClass(name=f"class-{rank}", share=share) for rank, share in enumerate(shares)]


def test_the_share_is_kept_and_the_rest_is_strict(counter):
    dispatcher = counter(QUOTA, classes_with([0, 0, 0.25]))
    assert dispatcher.start_many(8, refill=[0, 1, 2]) == [0, 0, 0, 2] * 2


def test_spare_capacity_is_not_paid_for_later(counter):
    dispatcher = counter(QUOTA, classes_with([0, 0.25]))
    assert dispatcher.start_many(100, refill=[1]) == [1] * 100
    assert Counter(dispatcher.start_many(40, refill=[0, 1]))[1] == 10


def test_idling_saves_up_nothing(counter):
    dispatcher = counter(QUOTA, classes_with([0, 0.25]))
    dispatcher.start_many(100, refill=[0])
    assert dispatcher.start_many(4, refill=[0, 1]) == [0, 0, 0, 1]


def test_a_class_that_comes_and_goes_gets_no_more_than_its_share(counter):
    dispatcher = counter(QUOTA, classes_with([0, 0.25]))
    for _ in range(20):
        dispatcher.waiting = [5, 1]
        dispatcher.start_many(4, refill=[0])
    assert Counter(dispatcher.starts)[1] == 20


def test_without_shares_it_is_strict(counter):
    assert counter(QUOTA, classes_with([0, 0])).start_many(50, refill=[0, 1]) == [0] * 50


@pytest.mark.parametrize("shares", [[0, 0.1], [0, 0.3, 0.05], [0.2, 0.5, 0.3], [0, 1.0]])
def test_shares_of_many_starts(counter, shares):
    starts = Counter(counter(QUOTA, classes_with(shares)).start_many(2_000, refill=range(len(shares))))
    for rank, share in enumerate(shares):
        assert starts[rank] > share * 2_000 - 2


@settings(deadline=None)
@given(shares, arrivals)
def test_the_bound(counter, shares, arrivals):
    dispatcher = counter(QUOTA, classes_with(shares))
    with_a_share = sum(share > 0 for share in shares)
    # what a class that waits has had less than its share: over any span it falls behind by less than `with_a_share`
    behind, lowest = [0.0] * len(shares), [0.0] * len(shares)
    for batch in arrivals:
        for rank in range(len(shares)):
            dispatcher.waiting[rank] += batch[rank]
        waiting = [number > 0 for number in dispatcher.waiting]
        if dispatcher.start().start is None:
            continue
        for rank, share in enumerate(shares):
            if not (waiting[rank] and share):
                behind[rank] = lowest[rank] = 0.0
                continue
            behind[rank] += share - (dispatcher.starts[-1] == rank)
            lowest[rank] = min(lowest[rank], behind[rank])
            assert behind[rank] - lowest[rank] < with_a_share + 1e-9
        assert sum(one.credit for one in dispatcher.view().classes) < max(with_a_share, 1e-9) + 1e-9
