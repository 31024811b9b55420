"""Round robin and what it can be hoped to do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.theory.assignment import (
    idle_workers,
    makespan,
    makespan_bound,
    round_robin,
    speed_up,
    speed_up_limit,
)

sizes = st.integers(1, 30)
works = st.dictionaries(st.integers(0, 30), st.floats(0, 100), max_size=12)


def test_partitions_are_dealt_out_like_cards():
    assert round_robin([2, 0, 1, 3, 4], ["worker-2", "worker-1"]) == {"worker-1": (0, 2, 4), "worker-2": (1, 3)}
    assert round_robin([("b", 0), ("a", 1), ("a", 0)], ["x"]) == {"x": (("a", 0), ("a", 1), ("b", 0))}


def test_more_workers_than_partitions_idle():
    assert round_robin([0, 1], ["worker-1", "worker-2", "worker-3"])["worker-3"] == ()
    assert round_robin([0, 1], []) == {}
    assert idle_workers(partitions=2, workers=3) == 1
    assert idle_workers(partitions=3, workers=2) == 0


def test_speed_up():
    assert [speed_up(2, workers) for workers in (1, 2, 3)] == [1, 2, 2]
    assert speed_up(3, 2) == 1.5, "one of two workers has two of three partitions"
    assert speed_up_limit(3, 2) == 2


def test_makespan():
    work = {0: 3.0, 1: 5.0, 2: 1.0}
    assert [makespan(work, workers) for workers in (1, 2, 3, 4)] == [9, 5, 5, 5]
    assert [makespan_bound(work, workers) for workers in (1, 2, 3, 4)] == [9, 5, 5, 5]
    assert makespan({}, 2) == makespan_bound({}, 2) == 0
    # round robin need not find the best way: 0 and 2 go to the same worker
    assert makespan({0: 4.0, 1: 1.0, 2: 3.0}, 2) == 7
    assert makespan_bound({0: 4.0, 1: 1.0, 2: 3.0}, 2) == 4


@settings(deadline=None)
@given(sizes, sizes)
def test_every_partition_has_one_owner_and_nobody_two_more_than_another(partitions, workers):
    shares = round_robin(range(partitions), [f"worker-{number}" for number in range(workers)])
    assert sorted(partition for own in shares.values() for partition in own) == list(range(partitions))
    loads = [len(own) for own in shares.values()]
    assert max(loads) - min(loads) <= 1
    assert loads.count(0) == idle_workers(partitions, workers)
    assert speed_up(partitions, workers) == partitions / max(loads) <= speed_up_limit(partitions, workers)


@settings(deadline=None)
@given(works, sizes)
def test_round_robin_is_never_better_than_the_bound(work, workers):
    assert makespan(work, workers) >= makespan_bound(work, workers) * (1 - 1e-12)


def test_twenty_equal_partitions_on_twelve_workers():
    # more than nine workers: the order of names does not change the loads
    assert makespan(dict.fromkeys(range(20), 1.0), 12) == pytest.approx(20 / speed_up(20, 12))
