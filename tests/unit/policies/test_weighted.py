"""Deficit round robin."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.policies import PriorityClass, make_policy

WEIGHTED = make_policy("weighted")
weights = st.lists(st.floats(0.1, 9.0), min_size=2, max_size=4)
# how many tasks arrive in each class before each start: often none, so that classes run empty and come back
arrivals = st.lists(st.lists(st.sampled_from([0, 0, 0, 1, 2, 5]), min_size=4, max_size=4), max_size=120)


def classes_with(weights):
    return [PriorityClass(name=f"class-{rank}", weight=weight) for rank, weight in enumerate(weights)]


def test_turns_are_as_long_as_the_weights(counter):
    dispatcher = counter(WEIGHTED, classes_with([4, 1]))
    assert dispatcher.start_many(10, refill=[0, 1]) == [0, 0, 0, 0, 1] * 2


def test_a_fraction_of_a_start_is_kept_for_the_next_turn(counter):
    dispatcher = counter(WEIGHTED, classes_with([1.5, 1]))
    assert dispatcher.start_many(10, refill=[0, 1]) == [0, 1, 0, 0, 1] * 2


def test_weights_count_in_proportion(counter):
    small, large = (counter(WEIGHTED, classes_with(weights)) for weights in ([0.25, 0.5], [10, 20]))
    assert small.start_many(30, refill=[0, 1]) == large.start_many(30, refill=[0, 1])


def test_whoever_is_alone_gets_all(counter):
    assert counter(WEIGHTED, classes_with([9, 1])).start_many(20, refill=[1]) == [1] * 20


def test_idling_saves_up_nothing(counter):
    dispatcher = counter(WEIGHTED, classes_with([2, 1]))
    dispatcher.start_many(100, refill=[1])
    assert Counter(dispatcher.start_many(9, refill=[0, 1])) == {0: 6, 1: 3}


@pytest.mark.parametrize("weights", [[4, 1], [5, 3, 1], [0.7, 0.2, 0.1]])
def test_shares_of_many_starts(counter, weights):
    starts = Counter(counter(WEIGHTED, classes_with(weights)).start_many(5_000, refill=range(len(weights))))
    for rank, weight in enumerate(weights):
        assert starts[rank] / 5_000 == pytest.approx(weight / sum(weights), abs=0.002)


@settings(deadline=None)
@given(weights, arrivals)
def test_the_bound_on_unfairness(counter, weights, arrivals):
    dispatcher = counter(WEIGHTED, classes_with(weights))
    history = []  # before each start: which classes wait; and which one started
    for batch in arrivals:
        for rank in range(len(weights)):
            dispatcher.waiting[rank] += batch[rank]
        waiting = [number > 0 for number in dispatcher.waiting]
        if dispatcher.start().start is not None:
            history.append((waiting, dispatcher.starts[-1]))
    unit = [weight / min(weights) for weight in weights]
    for i, j in combinations(range(len(weights)), 2):
        # while both wait, the difference is a walk: no span moves it further than from its lowest to its highest
        lowest = highest = ahead = 0.0
        for waiting, started in history:
            if not (waiting[i] and waiting[j]):
                lowest = highest = ahead = 0.0
                continue
            ahead += {i: 1 / unit[i], j: -1 / unit[j]}.get(started, 0.0)
            lowest, highest = min(lowest, ahead), max(highest, ahead)
            assert highest - lowest <= 1 + 1 / unit[i] + 1 / unit[j] + 1e-9
