"""Records on disk as they come: what a killed process leaves, and what a full disk costs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labkit.errors import RecordsUnreadable, RecordsUnwritable
from labkit.measure import record_store
from labkit.measure.record_store import RecordStore, read_store
from labkit.measure.records import read_records, to_frame
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue.timeouts import wait_until
from tests.refused_threads import refuse_threads

LONG = 60


def record(number: int, **changes) -> TaskRecord:
    fields = {
        "task_id": f"task-{number}",
        "kind": "k",
        "topic": "t",
        "partition": number % 2,
        "offset": number // 2,
        "key": None if number % 3 else f"key {number}",
        "priority": 0,
        "worker": "worker-1",
        "attempt": 1,
        "scheduled_at": 1_764_000_000.1 + number,
        "produced_at": 1_764_000_000.2 + number,
        "acknowledged_at": None if number % 5 else 1_764_000_000.3,
        "received_at": 1_764_000_000.4 + number,
        "started_at": 1_764_000_000.5 + number,
        "finished_at": 1_764_000_000.6 + number // 4,
        "outcome": "done" if number % 7 else "failed",
        "error": None if number % 7 else "ValueError: no\n  with \u00e9 and \x00",
    }
    return TaskRecord(**{**fields, **changes})


@pytest.fixture
def store(tmp_path):
    store = RecordStore(tmp_path / "records", part_records=100)
    yield store
    store.close()


def add(store, records):
    for one in records:
        store.append(one)


@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 1234])
def test_the_frame_is_that_of_the_records(store, tmp_path, number):
    records = [record(n) for n in range(number)]
    add(store, records)
    expected = to_frame(records)
    assert store.frame().equals(expected)
    assert list(store.frame().dtypes) == list(expected.dtypes)
    assert len(store) == number
    assert store.outcomes.total() == number
    path = store.write(tmp_path / "all.parquet")
    assert read_records(path).equals(expected)
    store.close()
    assert store.frame().equals(expected)


def test_what_is_full_becomes_a_part(store):
    add(store, [record(n) for n in range(5000)])
    wait_until(lambda: len(store) == 5000 and bool(list(store.folder.glob("*.parquet"))), timeout=LONG, what="parts")
    store.close()
    assert len(store.frame()) == 5000
    assert len(list(store.folder.iterdir())) < 100


def test_a_folder_can_be_read_while_it_is_written_and_packed(store):
    add(store, [record(0)])
    store.flush()
    writer = threading.Thread(target=lambda: add(store, [record(number) for number in range(1, 3000)]))
    writer.start()
    sizes = [len(read_store(store.folder))]
    while sizes[-1] < 3000 and len(sizes) < 1000:
        sizes.append(len(read_store(store.folder)))
    writer.join()
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(store.frame()) == 3000


KILLED = """
import sys, threading
from pathlib import Path
from tests.unit.measure.test_record_store import record
from labkit.measure.record_store import RecordStore
store = RecordStore(Path(sys.argv[1]), part_records=100)
for number in range(250):
    store.append(record(number))
assert store.flush()
print("written", flush=True)
threading.Event().wait()
"""


def test_a_killed_process_leaves_what_it_had_written(tmp_path):
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
    expected = to_frame([record(number) for number in range(250)])
    assert read_store(tmp_path).equals(expected)
    assert read_records(tmp_path).equals(expected)


def numbers(frame):
    return sorted(int(name.removeprefix("task-")) for name in frame["task_id"])


@pytest.mark.parametrize("cut", [0, 30], ids=["whole lines", "half a last line"])
def test_what_a_killed_run_has_left_is_neither_lost_nor_taken_for_the_own(tmp_path, caplog, cut):
    folder = tmp_path / "mine.parts"
    with subprocess.Popen([sys.executable, "-c", KILLED, folder], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
    for journal in folder.glob("*.jsonl"):
        journal.write_bytes(journal.read_bytes()[: len(journal.read_bytes()) - cut])
    survivors = numbers(read_store(folder))
    assert len(survivors) >= 247
    store = RecordStore(folder, part_records=100)
    add(store, [record(number) for number in range(1000, 1250)])
    assert numbers(store.frame()) == list(range(1000, 1250))
    wait_until(lambda: not store._folder.full and not store._waiting, timeout=LONG, what="parts were to be made")
    assert numbers(read_store(folder)) == [*survivors, *range(1000, 1250)]
    assert numbers(read_records(store.write(tmp_path / "mine.parquet"))) == list(range(1000, 1250))
    store.remove()
    assert numbers(read_store(folder)) == survivors
    assert len([said for said in caplog.messages if "records of other runs too" in said]) == 1


def test_stores_in_one_folder_do_each_other_no_harm(tmp_path):
    stores = [RecordStore(tmp_path / "shared", part_records=10) for _ in range(3)]
    writers = [
        threading.Thread(target=add, args=(store, [record(1000 * place + number) for number in range(105)]))
        for place, store in enumerate(stores)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for place, store in enumerate(stores):
        assert numbers(store.frame()) == list(range(1000 * place, 1000 * place + 105))
    for place, store in enumerate(stores):
        assert numbers(read_records(store.write(tmp_path / "all.parquet"))) == numbers(store.frame())
        store.remove()
        left = [number for other in range(place + 1, 3) for number in range(1000 * other, 1000 * other + 105)]
        if left:
            assert numbers(read_store(tmp_path / "shared")) == left
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]


LINE = b'{"task_id": "glued'


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(LINE, id="half a line"),
        pytest.param(b"\0" * 50 + b"\n", id="zeros"),
        pytest.param(b"{}\n", id="an empty object"),
        pytest.param(b"[]\n", id="a list"),
        pytest.param(b'{"task_id": 5}\n', id="another type"),
        pytest.param(b"\xff\xfe\n", id="no text"),
        pytest.param(b"\n\n", id="empty lines"),
        pytest.param(b"{" * 9999 + b"\n", id="too deep"),
    ],
)
def test_what_is_no_record_is_passed_over_and_said(tmp_path, caplog, garbage):
    store = RecordStore(tmp_path / "records")
    add(store, [record(number) for number in range(20)])
    store.close()
    [journal] = store.folder.glob("*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:10], garbage, *lines[10:]]))
    lost = [10] if garbage == LINE else []  # half a line is glued to the next one
    expected = [number for number in range(20) if number not in lost]
    assert numbers(read_store(store.folder)) == numbers(store.frame()) == expected
    assert "no records and are passed over" in caplog.text
    assert numbers(read_records(store.write(tmp_path / "all.parquet"))) == expected


def test_a_damaged_part_is_named(tmp_path):
    store = RecordStore(tmp_path / "records", part_records=10)
    add(store, [record(number) for number in range(10)])
    wait_until(lambda: list(store.folder.glob("*.parquet")) != [], timeout=LONG, what="a part was to be made")
    store.close()
    [part] = store.folder.glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-50])
    with pytest.raises(RecordsUnreadable, match=part.name):
        read_store(store.folder)
    with pytest.raises(RecordsUnwritable, match=part.name):
        store.write(tmp_path / "all.parquet")


def test_a_line_that_was_cut_off_is_left_out(store):
    add(store, [record(n) for n in range(3)])
    store.flush()
    [journal] = store.folder.glob("*.jsonl")
    data = journal.read_bytes()
    for end in (len(data) - 1, len(data) - 50, data.rfind(b"\n", 0, -1) + 1):
        journal.write_bytes(data[:end])
        assert list(read_store(store.folder)["task_id"]) == ["task-0", "task-1"]
    journal.write_bytes(b"")
    assert read_store(store.folder).empty


def test_it_is_written_without_anybody_asking(store):
    store.append(record(1))
    wait_until(lambda: store.outcomes.total() == 1, timeout=LONG, what="it was to be written")
    assert list(read_store(store.folder)["task_id"]) == ["task-1"]


def test_what_no_disk_takes_waits_and_the_rest_is_counted(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(record_store, "MOST_WAITING", 10)
    monkeypatch.setattr(record_store, "RETRY_INTERVAL", 0.01)
    (tmp_path / "records").write_text("in the way")
    store = RecordStore(tmp_path / "records")
    add(store, [record(n) for n in range(25)])
    assert not store.flush()
    assert (len(store), store.lost) == (10, 15)
    (tmp_path / "records").unlink()
    wait_until(lambda: store.outcomes.total() == 10, timeout=LONG, what="they were to be written")
    store.close()
    assert list(store.frame()["task_id"]) == [f"task-{n}" for n in range(10)]
    assert "15 were lost" in caplog.text


def test_what_waits_for_the_disk_is_among_the_records_all_the_same(tmp_path):
    (tmp_path / "records").write_text("in the way")
    store = RecordStore(tmp_path / "records")
    add(store, [record(0), record(1, worker="worker-2", error="half \ud800")])
    assert not store.flush()
    assert numbers(store.frame()) == [0, 1]
    assert store.counts() == ({"failed": 1, "done": 1}, 2)
    store.close()
    with pytest.raises(RecordsUnwritable, match=r"2 of them are in the memory of this program only"):
        store.write(tmp_path / "records" / "all.parquet")
    assert numbers(read_records(store.write(tmp_path / "all.parquet"))) == [0, 1]
    (tmp_path / "records").unlink()
    assert numbers(store.frame()) == numbers(read_store(store.folder)) == [0, 1]


def test_records_on_disk_and_records_that_wait_are_counted_once(store, tmp_path, monkeypatch):
    add(store, [record(number) for number in range(5)])
    assert store.flush()

    def fail(*_):
        raise OSError(5, "Input/output error")

    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", fail)  # what is written of a batch that fails cannot be taken away at once
        patch.setattr(os, "write", lambda file, data: real(file, data[:1000]) if len(data) > 1000 else fail())
        add(store, [record(number) for number in range(5, 10)])
        assert not store.flush()
        assert numbers(store.frame()) == list(range(10))
        with pytest.raises(RecordsUnwritable, match=r"5 of them are in the memory.*The others are in the folder"):
            store.write(Path(os.devnull) / "all.parquet")
    assert store.flush()
    assert numbers(store.frame()) == numbers(read_store(store.folder)) == list(range(10))


def test_records_whose_files_are_deleted_under_way_are_counted_as_lost(store, caplog):
    add(store, [record(number) for number in range(10)])
    store.flush()
    shutil.rmtree(store.folder)
    assert store.frame().empty
    assert (len(store), store.lost) == (0, 10)
    add(store, [record(number) for number in range(10, 20)])
    assert store.flush()
    assert numbers(store.frame()) == list(range(10, 20))
    assert (len(store), store.lost) == (10, 10)
    shutil.rmtree(store.folder)
    add(store, [record(number) for number in range(20, 30)])
    assert store.flush()
    assert numbers(store.frame()) == list(range(20, 30))
    assert (len(store), store.lost) == (10, 20)
    assert caplog.text.count("somebody has deleted their files") == 2


def test_parts_are_made_also_after_journals_were_deleted(store):
    with store._packing:  # nothing becomes a part
        for start in (0, 100, 200):
            add(store, [record(number) for number in range(start, start + 100)])
            assert store.flush()
        first, *_ = sorted(store.folder.glob("*.jsonl"))
        first.unlink()
    wait_until(lambda: len(list(store.folder.glob("*.parquet"))) == 2, timeout=LONG, what="parts were to be made")
    assert numbers(store.frame()) == list(range(100, 300))
    assert (len(store), store.lost) == (200, 100)
    shutil.rmtree(store.folder)
    add(store, [record(number) for number in range(400, 500)])
    wait_until(lambda: list(store.folder.glob("*.parquet")) != [], timeout=LONG, what="a part was to be made")
    assert numbers(store.frame()) == list(range(400, 500))
    assert (len(store), store.lost) == (100, 300)


def test_a_journal_that_cannot_become_a_part_is_tried_again_and_said_once(store, monkeypatch, caplog):
    monkeypatch.setattr(record_store, "RETRY_INTERVAL", 0.01)
    real, tries = pq.write_table, []

    def write_table(table, path):
        tries.append(path)
        if len(tries) <= 3:
            path.write_bytes(b"PAR1")
            raise OSError(28, "No space left on device")
        real(table, path)

    monkeypatch.setattr(pq, "write_table", write_table)
    add(store, [record(number) for number in range(100)])
    wait_until(lambda: list(store.folder.glob("*.parquet")) != [], timeout=LONG, what="a part was to be made")
    store.close()
    assert numbers(store.frame()) == list(range(100))
    assert caplog.text.count("records could not be written for now") == 1
    assert list(store.folder.glob("*.part")) == []


def test_a_file_of_the_same_name_that_another_writes_is_left_alone(store, tmp_path):
    other = tmp_path / "all.parquet.part"
    other.write_text("another's")
    store.append(record(1))
    assert numbers(read_records(store.write(tmp_path / "all.parquet"))) == [1]
    assert other.read_text() == "another's"


def test_half_a_batch_is_not_written_twice(store, monkeypatch):
    add(store, [record(0)])
    store.flush()
    real, calls = os.write, []

    def write(number, data):
        calls.append(number)
        if len(calls) == 1:
            return real(number, data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        add(store, [record(1), record(2)])
        assert not store.flush()
    assert store.flush()
    assert list(store.frame()["task_id"]) == ["task-0", "task-1", "task-2"]


def test_half_a_surrogate_pair_can_be_recorded(store):
    store.append(record(1, error="half \ud800", key="\udfff"))
    [row] = store.frame().to_dict("records")
    assert (row["error"], row["key"]) == ("half \\ud800", "\\udfff")


def test_a_temporary_folder_goes_with_the_store():
    store = RecordStore()
    assert store.frame().empty
    assert store.folder is None
    store.append(record(1))
    store.close()
    folder = store.folder
    assert len(store.frame()) == 1
    del store
    assert not folder.exists()


def test_a_folder_without_records_is_none(tmp_path):
    with pytest.raises(RecordsUnreadable, match="does not hold records"):
        read_store(tmp_path)


def test_a_store_that_is_removed_leaves_nothing(store):
    store.append(record(1))
    store.remove()
    assert not Path(store.folder).exists()


def test_a_disk_that_hangs_holds_up_a_close_no_longer_than_that(store, monkeypatch):
    write, hangs, may_go_on = store._folder.write, threading.Event(), threading.Event()

    def hang(*data):
        hangs.set()
        assert may_go_on.wait(LONG)
        write(*data)

    monkeypatch.setattr(store._folder, "write", hang)
    store.append(record(1))
    assert hangs.wait(LONG)
    with monkeypatch.context() as hurry:
        hurry.setattr(record_store, "CLOSE_TIMEOUT", 0.05)
        for end in (store.close, store.remove):
            with pytest.raises(RecordsUnwritable, match="The disk has not taken the newest records"):
                end()
    may_go_on.set()
    store.close()
    assert len(read_store(store.folder)) == 1


def test_records_that_no_thread_can_write_are_written_by_a_later_one(store, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        refuse_threads(patch, "labkit-records")
        add(store, [record(0), record(1)])
    add(store, [record(2)])
    wait_until(lambda: not store._waiting, timeout=LONG, what="they were to be written")
    store.close()
    assert len(read_store(store.folder)) == len(store) == 3
    assert caplog.text.count("records cannot be written for now: can't start new thread") == 1


def test_records_for_which_there_was_never_a_thread_are_written_at_the_end(store, monkeypatch):
    refuse_threads(monkeypatch, "labkit-records")
    add(store, [record(0), record(1)])
    store.close()
    assert len(read_store(store.folder)) == 2
