"""Records on disk as they come: what a killed process leaves, and what a full disk costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labkit.errors import RecordsUnreadable
from labkit.measure import record_store
from labkit.measure.record_store import RecordStore, read_store
from labkit.measure.records import read_records, to_frame
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue.timeouts import wait_until

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
        patch.setattr(record_store.os, "write", write)
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
