"""Tasks in lanes under a simulated clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.simulate.lanes import simulate_lanes
from labkit.theory.ordering import makespan_at_least, makespan_at_most

TASKS = st.lists(st.tuples(st.integers(0, 5), st.floats(0.001, 10)), min_size=1, max_size=60)


def test_by_hand():
    done = simulate_lanes(["a", "a", "b"], [2.0, 1.0, 1.5], servers=2)
    assert list(done["task"]) == [2, 0, 1]
    assert list(done["started_at"]) == [0.0, 0.0, 2.0]
    assert list(done["finished_at"]) == [1.5, 2.0, 3.0]


@given(TASKS, st.integers(1, 8))
def test_lanes_keep_their_order_and_the_end_is_within_the_bounds(tasks, servers):
    lanes, service = zip(*tasks, strict=True)
    done = simulate_lanes(lanes, service, servers)
    assert sorted(done["task"]) == list(range(len(tasks)))
    for _, own in done.groupby("lane"):
        in_order = own.sort_values("task")
        assert (in_order["started_at"].to_numpy()[1:] >= in_order["finished_at"].to_numpy()[:-1]).all()
    for _, own in done.sort_values("started_at").groupby("server"):
        assert (own["started_at"].to_numpy()[1:] >= own["finished_at"].to_numpy()[:-1]).all()
    work = {lane: sum(seconds for name, seconds in tasks if name == lane) for lane in set(lanes)}
    end = done["finished_at"].max()
    assert makespan_at_least(work, servers) <= end * (1 + 1e-9)
    assert end <= makespan_at_most(work, servers) * (1 + 1e-9)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="at least one server"):
        simulate_lanes([1], [1.0], 0)
    with pytest.raises(ValueError, match="shorter"):
        simulate_lanes([1, 2], [1.0], 1)
