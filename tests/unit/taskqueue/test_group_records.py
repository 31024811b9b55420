"""Where the records of a group will go is tried before its first task."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import RecordsUnwritable
from labkit.taskqueue.group_records import GroupRecords


@pytest.mark.parametrize("where", [".", "file/records.parquet", "x" * 300, "/dev/null", "/proc/none/records.parquet"])
def test_a_place_that_cannot_be_is_refused(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    if not Path(where).parent.parent.exists():
        pytest.skip(f"this system has no {Path(where).parent.parent}")
    with pytest.raises(RecordsUnwritable, match=r"The records cannot be written to .*Name "):
        GroupRecords(Path(where))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_still_to_be_made_is_none(tmp_path: Path) -> None:
    records = GroupRecords(tmp_path / "new" / "folder" / "records.parquet")
    records.leave()
    assert list(tmp_path.iterdir()) == [], "there were no records"
