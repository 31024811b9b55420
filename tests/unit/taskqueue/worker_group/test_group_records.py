"""Where the records of a group will go is tried before its first task."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import RecordsUnwritable
from labkit.measure.records import read_records
from labkit.measure.task_record import DONE, TaskRecord
from labkit.taskqueue.worker_group.group_records import GroupRecords
from labkit.whole_file import whole_file

HAS_PROC = pytest.mark.skipif(not Path("/proc").exists(), reason="this system has no folder that nobody can write to")
UNWRITABLE = [".", "file/records.parquet", "x" * 300, "/dev/null"]


@pytest.mark.parametrize("where", [*UNWRITABLE, pytest.param("/proc/none/records.parquet", marks=HAS_PROC)])
def test_a_place_that_cannot_be_is_refused(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(RecordsUnwritable, match=r"The records cannot be written to .*Name "):
        GroupRecords(Path(where))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_still_to_be_made_is_none(tmp_path: Path) -> None:
    records = GroupRecords(tmp_path / "new" / "folder" / "records.parquet")
    records.leave()
    assert list(tmp_path.iterdir()) == [], "there were no records"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, and one for temporary files, in which nothing is left by others."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path


def refusing(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """From now on there is no room for whole files in these folders."""

    @contextmanager
    def write(path: Path) -> Iterator[Path]:
        if any(path.is_relative_to(folder) for folder in folders):
            raise OSError(errno.ENOSPC, "No space left on device")
        with whole_file(path) as part:
            yield part

    monkeypatch.setattr("labkit.measure.record_store.whole_file", write)


def a_record(task_id: str) -> TaskRecord:
    where: dict[str, Any] = {"topic": "t", "partition": 0, "offset": 0, "key": None, "priority": 0, "worker": "w"}
    names = ("scheduled_at", "produced_at", "received_at", "started_at", "finished_at")
    moments: dict[str, Any] = dict.fromkeys(names, 1.0)
    return TaskRecord(
        task_id=task_id, kind="", attempt=1, acknowledged_at=None, outcome=DONE, error=None, **where, **moments
    )


def left(target: Path) -> GroupRecords:
    records = GroupRecords(target)
    for number in range(3):
        records.append(a_record(task_id=f"t{number}"))
    return records


@pytest.mark.parametrize(("full", "place"), [((), "state"), (("state",), "temporary")])
def test_records_that_cannot_be_left_there_are_left_elsewhere_and_the_place_is_said(
    full: tuple[str, ...], place: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = elsewhere / "mine" / "records.parquet"
    records = left(wanted)
    refusing(monkeypatch, *(elsewhere / name for name in ("mine", *full)))
    with pytest.raises(RecordsUnwritable, match=r"No space left on device\. All 3 of them are in ") as refused:
        records.leave()
    assert records.target is not None
    assert records.target.is_relative_to(elsewhere / place)
    assert str(records.target) in str(refused.value)
    assert list(read_records(records.target)["task_id"]) == list(records.frame()["task_id"]) == ["t0", "t1", "t2"]
    assert not wanted.with_suffix(".parts").exists(), "what is in the file is not there twice"
    records.leave()  # once more is no error: nothing is left to do


def test_records_that_can_be_nowhere_stay_where_they_are_and_it_can_be_tried_again(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = elsewhere / "mine" / "records.parquet"
    records = left(wanted)
    with monkeypatch.context() as full:
        refusing(full, elsewhere)
        with pytest.raises(RecordsUnwritable, match=r"They are in the folder .*records\.parts"):
            records.leave()
    assert len(read_records(wanted.with_suffix(".parts"))) == 3
    records.leave()
    assert len(read_records(wanted)) == 3
    assert records.target == wanted
