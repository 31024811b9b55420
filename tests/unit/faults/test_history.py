"""A history through its files and back; what is no history is told."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from labkit.errors import HistoryUnreadable
from labkit.faults import Event, History, read_history, write_history
from tests.unit.faults.play import play, rough_plan

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
whole = st.integers(0, 2**62)
events = st.builds(
    Event,
    what=st.sampled_from(["sent", "received", "finished", "committed", "fault"]),
    by=texts,
    seq=whole,
    at=st.floats(allow_nan=False, allow_infinity=False),
    task=st.none() | texts,
    key=st.none() | texts,
    partition=st.none() | whole,
    offset=st.none() | whole,
    attempt=st.none() | whole,
    beyond=st.lists(whole, max_size=3).map(tuple),
    whom=st.none() | texts,
    note=st.none() | texts,
)
SUFFIXES = pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
ONE = Event(what="sent", by="producer", seq=0, at=1.5, task="task-1")


@SUFFIXES
@settings(max_examples=20)
@given(rows=st.lists(events, max_size=5))
def test_a_file_gives_back_what_it_was_given(tmp_path_factory, suffix, rows):
    history = History(rows)
    path = write_history(history, tmp_path_factory.mktemp("history") / "new folder" / f"run{suffix}")
    assert read_history(path) == history
    assert [file.name for file in path.parent.iterdir()] == [f"run{suffix}"]


@SUFFIXES
def test_a_whole_run_goes_through_its_file(tmp_path, suffix):
    history = play(rough_plan(1))
    assert read_history(write_history(history, tmp_path / f"run{suffix}")) == history


def test_json_lines_say_only_what_there_is_to_say(tmp_path):
    path = write_history([ONE], tmp_path / "run.jsonl")
    assert path.read_text() == '{"what":"sent","by":"producer","seq":0,"at":1.5,"task":"task-1"}\n'


def test_json_lines_that_were_cut_off_are_told_with_the_line(tmp_path):
    path = write_history([ONE, ONE, ONE], tmp_path / "run.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(HistoryUnreadable, match=r"run\.jsonl, line 3, .*cut off in the middle"):
        read_history(path)


def test_a_line_without_its_end_may_lack_something(tmp_path):
    path = write_history([ONE], tmp_path / "run.jsonl")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HistoryUnreadable, match="cut off"):
        read_history(path)


@pytest.mark.parametrize("line", ["no json", '{"what":"sent"}', '{"what":"eaten","by":"a","seq":0,"at":0}', ""])
def test_a_line_that_is_no_event_is_told(tmp_path, line):
    path = write_history([ONE], tmp_path / "run.jsonl")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(HistoryUnreadable, match=r"line 2, is no event"):
        read_history(path)


def test_parquet_that_was_cut_off_is_told(tmp_path):
    path = write_history([ONE], tmp_path / "run.parquet")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(HistoryUnreadable, match=r"run\.parquet cannot be read as Parquet.*cut off"):
        read_history(path)


def test_another_table_is_told_by_its_missing_columns(tmp_path):
    path = tmp_path / "run.parquet"
    parquet.write_table(pa.table({"what": ["sent"], "by": ["a"]}), path)
    with pytest.raises(HistoryUnreadable, match="no column seq, at"):
        read_history(path)


def test_an_unknown_kind_of_event_in_parquet_is_told(tmp_path):
    path = write_history([ONE], tmp_path / "run.parquet")
    table = parquet.read_table(path)
    parquet.write_table(table.set_column(0, "what", pa.array(["eaten"])), path)
    with pytest.raises(HistoryUnreadable, match=r"is no history of labkit.*eaten"):
        read_history(path)


@SUFFIXES
def test_a_missing_file_is_told(tmp_path, suffix):
    with pytest.raises(HistoryUnreadable, match="There is no file"):
        read_history(tmp_path / f"none{suffix}")


def test_another_kind_of_file_is_told(tmp_path):
    for call in (lambda path: write_history([ONE], path), read_history):
        with pytest.raises(HistoryUnreadable, match=r"end with \.jsonl or \.parquet"):
            call(tmp_path / "run.csv")
