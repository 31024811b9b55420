"""A history through its files and back; what is no history is told."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
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
    group=st.none() | texts,
    content=st.none() | texts,
)
SUFFIXES = pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
ONE = Event(what="sent", by="producer", seq=0, at=1.5, task="task-1")
SECOND = Event(what="committed", by="a", seq=0, at=2.5, partition=0, offset=3, beyond=(5, 7), group="g")


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


def test_a_line_that_is_no_utf_8_is_told(tmp_path):
    path = write_history([ONE], tmp_path / "run.jsonl")
    path.write_bytes(path.read_bytes() * 2 + b'{"what":"sent","by":"\xff","seq":0,"at":0}\n')
    with pytest.raises(HistoryUnreadable, match=r"line 3, is no event"):
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


def test_a_history_is_a_sequence_of_events():
    history = History([ONE, SECOND])
    assert list(history) == [ONE, SECOND]
    assert (history[0], history[-1], len(history)) == (ONE, SECOND, 2)
    assert history[1:] == History([SECOND])
    assert history != History([SECOND, ONE])
    assert SECOND in history
    assert repr(history) == "<History of 2 events by 2 actors>"


def test_a_history_takes_little_room():
    columns = play(rough_plan(1)).columns
    numbers = (*columns.numbers.values(), columns.at, columns.beyond, columns.ends)
    assert sum(column.nbytes for column in numbers) < 120 * len(columns)


@pytest.mark.parametrize("field", ["seq", "partition", "offset", "attempt"])
def test_a_number_beyond_64_bits_is_told(tmp_path, field):
    with pytest.raises(HistoryUnreadable, match="does not fit into 64 bits"):
        History([replace(ONE, **{field: 2**63})])
    (tmp_path / "run.jsonl").write_text(f'{{"what":"sent","by":"p","at":0,"seq":1,"{field}":{2**70}}}\n')
    with pytest.raises(HistoryUnreadable, match="64 bits"):
        read_history(tmp_path / "run.jsonl")


def test_a_field_that_no_event_has_is_told(tmp_path):
    """A slip in its name, or a later labkit: without it the checker would see less than it should."""
    path = write_history([ONE], tmp_path / "run.jsonl")
    path.write_text(path.read_text().replace('"task"', '"taks"'))
    with pytest.raises(HistoryUnreadable, match=r"line 1, is no event.*taks"):
        read_history(path)
    path = write_history([ONE], tmp_path / "run.parquet")
    table = parquet.read_table(path)
    parquet.write_table(table.append_column("taks", pa.array(["task-1"])), path)
    with pytest.raises(HistoryUnreadable, match=r"is no history of this labkit: it has a column taks"):
        read_history(path)


def test_a_table_by_an_older_labkit_lacks_columns_that_came_later(tmp_path):
    path = write_history([ONE, SECOND], tmp_path / "run.parquet")
    table = parquet.read_table(path)
    parquet.write_table(table.drop_columns(["group", "content"]), path)
    assert read_history(path) == History([ONE, replace(SECOND, group=None)])


@pytest.mark.parametrize("name", ["what", "by", "seq", "at"])
def test_a_row_without_what_every_event_has_is_told(tmp_path, name):
    path = write_history([ONE], tmp_path / "run.parquet")
    table = parquet.read_table(path)
    empty = pa.nulls(1, table[name].type)
    parquet.write_table(table.set_column(table.column_names.index(name), name, empty), path)
    with pytest.raises(HistoryUnreadable, match=f"there is no {name} in some of its rows"):
        read_history(path)


def test_a_history_of_several_row_groups_is_read_whole(tmp_path):
    path = write_history([ONE, SECOND] * 3, tmp_path / "run.parquet")
    parquet.write_table(parquet.read_table(path), path, row_group_size=1)
    assert read_history(path) == History([ONE, SECOND] * 3)
