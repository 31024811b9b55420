"""The simulated worker group, on cases small enough to do by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.measure.metrics import makespan, tasks_per_worker
from labkit.measure.task_record import COLUMNS
from labkit.simulate.worker_group import Change, simulate_lanes, simulate_worker_group
from labkit.theory import assignment
from labkit.theory.order import makespan_at_least, makespan_at_most


def who_and_when(records: pd.DataFrame) -> list[tuple[str, str, float, float]]:
    columns = ["task_id", "worker", "started_at", "finished_at"]
    return [tuple(row) for row in records[columns].itertuples(index=False)]


FOUR = {"partition": [0, 1, 0, 1], "scheduled_at": [0.0, 0.0, 0.0, 0.0], "service": [1.0, 2.0, 3.0, 4.0]}


def test_two_workers_share_two_partitions_and_the_third_idles():
    records = simulate_worker_group(**FOUR, workers=["a", "b", "c"])
    assert who_and_when(records) == [
        ("task-1", "a", 0, 1),
        ("task-2", "b", 0, 2),
        ("task-3", "a", 1, 4),
        ("task-4", "b", 2, 6),
    ]
    assert tuple(records.columns) == COLUMNS
    assert records["offset"].tolist() == [0, 0, 1, 1]
    assert tasks_per_worker(records, ["c"]).to_dict() == {"a": 2, "b": 2, "c": 0}


def test_one_worker_takes_what_arrived_first():
    records = simulate_worker_group(
        partition=[0, 0, 1], scheduled_at=[0.0, 1.0, 0.5], service=[2.0, 1.0, 1.0], workers=["a"]
    )
    assert who_and_when(records) == [("task-1", "a", 0, 2), ("task-3", "a", 2, 3), ("task-2", "a", 3, 4)]


def test_a_partition_is_read_in_the_order_sent_and_a_worker_waits_for_work():
    records = simulate_worker_group(partition=[0, 0], scheduled_at=[5.0, 1.0], service=[1.0, 1.0], workers=["a"])
    assert who_and_when(records) == [("task-1", "a", 5, 6), ("task-2", "a", 6, 7)]


def test_a_worker_joins_when_all_have_finished_the_task_in_hand():
    joins = Change(at=0.5, worker="b", what="joins")
    records = simulate_worker_group(**FOUR, workers=["a"], changes=[joins], handover=0.25)
    assert who_and_when(records) == [
        ("task-1", "a", 0, 1),
        ("task-2", "b", 1.25, 3.25),
        ("task-3", "a", 1.25, 4.25),
        ("task-4", "b", 3.25, 7.25),
    ]


def test_a_worker_that_leaves_finishes_its_task():
    leaves = Change(at=0.5, worker="b", what="leaves")
    records = simulate_worker_group(**FOUR, workers=["a", "b"], changes=[leaves])
    assert who_and_when(records) == [
        ("task-1", "a", 0, 1),
        ("task-2", "b", 0, 2),
        ("task-3", "a", 2, 5),
        ("task-4", "a", 5, 9),
    ]


def test_the_task_of_a_worker_that_dies_is_done_again_when_its_session_has_timed_out():
    dies = Change(at=2.5, worker="b", what="dies")
    records = simulate_worker_group(**FOUR, workers=["a", "b"], changes=[dies], session_timeout=2.0, handover=0.5)
    assert who_and_when(records) == [
        ("task-1", "a", 0, 1),
        ("task-2", "b", 0, 2),
        ("task-3", "a", 1, 4),
        ("task-4", "a", 5, 9),
    ]


def test_a_worker_that_joins_before_the_death_is_noticed_gets_a_share_beside_the_dead_one():
    changes = [Change(at=1.0, worker="b", what="dies"), Change(at=1.5, worker="c", what="joins")]
    records = simulate_worker_group(**FOUR, workers=["a", "b"], changes=changes, session_timeout=4.0)
    # at 1.5 the group waits for task 3, then a, b and c share: partition 1 is still the dead worker's until 5
    assert who_and_when(records) == [
        ("task-1", "a", 0, 1),
        ("task-3", "a", 1, 4),
        ("task-2", "c", 5, 7),
        ("task-4", "c", 7, 11),
    ]


def test_tasks_that_nobody_is_left_to_do_have_no_row():
    dies = Change(at=1.5, worker="a", what="dies")
    assert who_and_when(simulate_worker_group(**FOUR, workers=["a"], changes=[dies])) == [("task-1", "a", 0, 1)]
    assert simulate_worker_group(**FOUR, workers=[]).empty


def test_the_group_may_begin_after_the_first_arrival():
    records = simulate_worker_group(partition=[0], scheduled_at=[10.0], service=[1.0], workers=["a"], start=12.0)
    assert who_and_when(records) == [("task-1", "a", 12, 13)]


def test_an_empty_partition_counts_when_partitions_are_dealt_out():
    two = {"partition": [0, 2], "scheduled_at": [0.0, 0.0], "service": [1.0, 1.0], "workers": ["a", "b"]}
    assert simulate_worker_group(**two)["worker"].tolist() == ["a", "b"]
    assert simulate_worker_group(**two, partitions=4)["worker"].tolist() == ["a", "a"]


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="have 2 and 1 and 1 entries; give as many of each"):
        simulate_worker_group(partition=[0, 1], scheduled_at=[0.0], service=[1.0], workers=["a"])


tasks = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 50), st.floats(0.01, 10)), max_size=40)


@settings(deadline=None)
@given(tasks, st.integers(1, 8))
def test_with_all_tasks_waiting_the_makespan_is_the_closed_form(rows, workers):
    partition, service = [row[0] for row in rows], [row[2] for row in rows]
    records = simulate_worker_group(
        partition=partition,
        scheduled_at=[0.0] * len(rows),
        service=service,
        workers=[f"worker-{number}" for number in range(workers)],
    )
    work = pd.Series(service, dtype="float64").groupby(pd.Series(partition, dtype="int64")).sum().to_dict()
    assert len(records) == len(rows)
    if rows:
        assert makespan(records) == pytest.approx(assignment.makespan(work, workers))


changes = st.lists(
    st.builds(
        Change,
        at=st.floats(0, 60),
        worker=st.sampled_from(["worker-1", "worker-2", "worker-3"]),
        what=st.sampled_from(["joins", "leaves"]),
    )
    | st.builds(Change, at=st.floats(0, 60), worker=st.just("worker-9"), what=st.just("dies")),
    max_size=4,
)


@settings(deadline=None)
@given(tasks, changes, st.floats(0, 3), st.floats(0, 8))
def test_whatever_happens_each_task_is_done_once_in_order_and_nobody_does_two_at_a_time(
    rows, events, handover, session_timeout
):
    records = simulate_worker_group(
        partition=[row[0] for row in rows],
        scheduled_at=[row[1] for row in rows],
        service=[row[2] for row in rows],
        workers=["worker-0", "worker-1", "worker-9"],  # worker-0 stays, so that all is done
        changes=events,
        handover=handover,
        session_timeout=session_timeout,
    )
    assert sorted(records["task_id"]) == sorted(f"task-{number}" for number in range(1, len(rows) + 1))
    assert (records["started_at"] >= records["scheduled_at"]).all()
    for column in ("worker", "partition"):
        for _, own in records.sort_values(["started_at", "finished_at"], kind="stable").groupby(column):
            assert (own["started_at"].to_numpy()[1:] >= own["finished_at"].to_numpy()[:-1]).all()
    for _, own in records.sort_values("offset").groupby("partition"):
        assert own["finished_at"].is_monotonic_increasing


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
    with pytest.raises(ValueError, match="of 1 or more"):
        simulate_lanes([1], [1.0], 0)
    with pytest.raises(ValueError, match="as many of each"):
        simulate_lanes([1, 2], [1.0], 1)
