"""Records and receipts as DataFrames, and through Parquet and back."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pandas.testing import assert_frame_equal

from labkit.errors import RecordsUnreadable
from labkit.measure import (
    FAILED,
    TaskRecord,
    read_records,
    receipts_to_frame,
    to_frame,
    with_receipts,
    write_records,
)
from labkit.measure.records import RECEIPT_COLUMNS, TURNED_AWAY_COLUMNS, TurnedAway, turned_away_frame
from labkit.measure.task_record import COLUMNS

DTYPES = {
    "task_id": "str",
    "kind": "str",
    "topic": "str",
    "partition": "int64",
    "offset": "int64",
    "key": "str",
    "priority": "int64",
    "worker": "str",
    "attempt": "int64",
    "scheduled_at": "float64",
    "produced_at": "float64",
    "acknowledged_at": "float64",
    "received_at": "float64",
    "started_at": "float64",
    "finished_at": "float64",
    "outcome": "str",
    "error": "str",
}

moments = st.floats(0, 2e9)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
whole = st.integers(0, 2**62)
some_records = st.lists(
    st.builds(
        TaskRecord,
        task_id=texts,
        kind=texts,
        topic=texts,
        partition=whole,
        offset=whole,
        key=st.none() | texts,
        priority=whole,
        worker=texts,
        attempt=whole,
        scheduled_at=moments,
        produced_at=moments,
        acknowledged_at=st.none() | moments,
        received_at=moments,
        started_at=moments,
        finished_at=moments,
        outcome=texts,
        error=st.none() | texts,
    ),
    max_size=5,
)


def test_a_frame_has_a_row_per_attempt_in_the_order_of_finishing(attempt):
    frame = to_frame([attempt(finished=3.0, number=1), attempt(finished=1.0, number=2), attempt(number=3)])
    assert list(frame["task_id"]) == ["task-2", "task-3", "task-1"]
    assert list(frame.index) == [0, 1, 2]
    assert tuple(frame.columns) == COLUMNS


def test_dtypes_are_the_same_with_no_row_and_with_nothing_but_none(attempt):
    for rows in ([], [attempt()], [attempt(key="a", error="x", acknowledged_at=1.0), attempt()]):
        assert {name: str(dtype) for name, dtype in to_frame(rows).dtypes.items()} == DTYPES


def test_what_is_missing_is_nan(attempt):
    frame = to_frame([attempt(key=None, acknowledged_at=None)])
    assert frame[["key", "error", "acknowledged_at"]].isna().all(axis=None)


@settings(deadline=None)
@given(some_records)
def test_parquet_gives_back_what_it_was_given(tmp_path_factory, rows):
    frame = to_frame(rows)
    path = write_records(frame, tmp_path_factory.mktemp("records") / "new folder" / "run.parquet")
    assert_frame_equal(read_records(path), frame)
    assert [file.name for file in path.parent.iterdir()] == ["run.parquet"]


def test_several_files_are_read_as_one(tmp_path, attempt):
    late, early = attempt(finished=2.0), attempt(finished=1.0)
    paths = [
        write_records(to_frame(rows), tmp_path / f"{number}.parquet")
        for number, rows in enumerate([[late], [], [early]])
    ]
    assert_frame_equal(read_records(*paths), to_frame([early, late]))


def test_no_file_is_no_record():
    assert_frame_equal(read_records(), to_frame([]))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, attempt):
    path = write_records(to_frame([attempt()]), tmp_path / "run.parquet")
    before = path.read_bytes()
    with pytest.raises(Exception, match="Could not convert"):
        write_records(to_frame([attempt()]).assign(odd=pd.Series([object()])), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.parquet"]


def test_a_file_that_is_cut_off_is_named(tmp_path, attempt):
    path = write_records(to_frame([attempt()]), tmp_path / "run.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecordsUnreadable, match=r"run\.parquet cannot be read as Parquet.*cut off"):
        read_records(path)


def test_an_empty_file_and_a_text_are_no_parquet(tmp_path):
    for content in (b"", b"task_id,worker\n"):
        path = tmp_path / "run.parquet"
        path.write_bytes(content)
        with pytest.raises(RecordsUnreadable, match="cannot be read as Parquet"):
            read_records(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordsUnreadable, match=r"no file .*none\.parquet"):
        read_records(tmp_path / "none.parquet")


def test_another_table_is_told_by_its_missing_columns(tmp_path, attempt):
    foreign = write_records(to_frame([attempt()]).drop(columns=["worker", "offset"]), tmp_path / "foreign.parquet")
    with pytest.raises(RecordsUnreadable, match="no column offset, worker"):
        read_records(foreign)


def test_a_column_of_another_kind_is_told(tmp_path, attempt):
    foreign = write_records(to_frame([attempt()]).assign(partition="first"), tmp_path / "foreign.parquet")
    with pytest.raises(RecordsUnreadable, match="does not hold records"):
        read_records(foreign)


def test_receipts_have_whole_partitions_also_where_one_is_missing(receipt):
    refused = receipt(2, partition=None, offset=None, acknowledged_at=None, error="no answer")
    frame = receipts_to_frame([receipt(1), refused])
    assert tuple(frame.columns) == RECEIPT_COLUMNS
    assert str(frame["partition"].dtype) == str(frame["offset"].dtype) == "Int64"
    assert frame["partition"].isna().tolist() == [False, True]
    assert frame["offset"][0] == 1
    assert {str(dtype) for dtype in receipts_to_frame([]).dtypes} == {"str", "Int64", "float64"}


def test_lateness_is_how_far_sending_was_behind_the_schedule(receipt):
    late = replace(receipt(1), produced_at=receipt(1).scheduled_at + 0.25)
    assert receipts_to_frame([receipt(1), late])["lateness"].tolist() == [0.0, 0.25]


def test_receipts_fill_in_when_the_broker_had_each_record(attempt, receipt):
    records = to_frame(
        [
            attempt(number=1),
            attempt(number=2, finished=2.0, acknowledged_at=5.0),
            attempt(number=3, finished=3.0, offset=9),
            attempt(number=1, finished=4.0, attempt=2, offset=10, outcome=FAILED),
        ]
    )
    receipts = receipts_to_frame([receipt(n, acknowledged_at=100.0 + n) for n in (1, 3)])
    filled = with_receipts(records, receipts)["acknowledged_at"]
    assert filled[0] == 101.0
    assert filled[1] == 5.0, "without a receipt it keeps what it had"
    assert filled[2:].isna().all(), "another offset is another record"
    assert records["acknowledged_at"].isna().sum() == 3, "the given frame is left alone"


def test_receipts_and_records_may_be_empty(attempt, receipt):
    records, receipts = to_frame([attempt(number=1)]), receipts_to_frame([receipt(1)])
    assert_frame_equal(with_receipts(records, receipts_to_frame([])), records)
    assert_frame_equal(with_receipts(to_frame([]), receipts), to_frame([]))


def test_a_worker_can_fill_in_records_without_waiting_for_pandas():
    heavy = {"pandas", "numpy", "pyarrow", "scipy", "matplotlib"}
    code = f"import sys, labkit.measure; print(sorted({heavy!r} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_one_row_per_moment_action_and_class_in_the_order_of_time():
    given = [(2.0, "shed_newest", 1), (1.0, "refuse", 0), (2.0, "shed_newest", 1), (2.0, "shed_newest", 0)]
    frame = turned_away_frame(TurnedAway(at=at, action=action, priority=rank) for at, action, rank in given)
    assert tuple(frame.columns) == TURNED_AWAY_COLUMNS
    assert [tuple(row) for row in frame.itertuples(index=False)] == [
        (1.0, "refuse", 0, 1),
        (2.0, "shed_newest", 0, 1),
        (2.0, "shed_newest", 1, 2),
    ]


def test_nothing_turned_away_has_the_same_columns():
    full = turned_away_frame([TurnedAway(at=1.0, action="spill", priority=0)])
    assert turned_away_frame([]).dtypes.to_dict() == full.dtypes.to_dict()
    assert turned_away_frame([]).empty
