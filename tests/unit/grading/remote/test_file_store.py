"""The shared folder: its files are whole, it is private, and what is wrong with it is a sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from labkit.errors import SettingsError
from labkit.grading.remote.file_store import MARKER, FileStore, shown_address
from labkit.grading.remote.remote_errors import FilesUnavailable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir(mode=0o700)
    return tmp_path / "files"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files_on_a_disk(folder: Path, scheme: str) -> None:
    files = FileStore(f"{scheme}{folder}/")
    assert files.address == files.name == str(folder)
    files.mark()
    assert files.read("a", 3) is None
    for content in (b"first", b"abc"):
        files.write("a", content)
    assert (files.read("a", 3), files.read("a", 2)) == (b"abc", None)
    assert sorted(file.name for file in folder.iterdir()) == ["a", MARKER]


def test_files_elsewhere() -> None:
    files = FileStore(f"memory://{uuid4().hex}")
    files.mark()
    assert files.read("a", 3) is None
    files.write("a", b"abc")
    assert (files.read("a", 3), files.read("a", 2)) == (b"abc", None)


def test_a_folder_that_is_gone_is_not_made_anew(folder: Path) -> None:
    files = FileStore(str(folder))
    folder.rmdir()
    with pytest.raises(FilesUnavailable, match="cannot be read: No such file"):
        files.read("a", 3)
    with pytest.raises(FilesUnavailable, match="cannot be written: No such file"):
        files.write("a", b"")
    with pytest.raises(FilesUnavailable, match="cannot be written: No such file"):
        files.mark()
    assert not folder.exists()


def test_a_folder_on_which_nothing_is_mounted_is_not_read_or_written(folder: Path) -> None:
    files = FileStore(str(folder))
    with pytest.raises(FilesUnavailable, match="as if it was not mounted here"):
        files.read("a", 3)
    with pytest.raises(FilesUnavailable, match="as if it was not mounted here"):
        files.write("a", b"")
    assert not [*folder.iterdir()]


def test_a_folder_into_which_others_may_look_by_now_gets_nothing(folder: Path) -> None:
    files = FileStore(str(folder))
    files.mark()
    folder.chmod(0o755)
    with pytest.raises(FilesUnavailable, match="chmod o-rwx"):
        files.write("a", b"")


def test_an_address_is_shown_without_its_password() -> None:
    assert "secret" not in shown_address("s3://key:secret@host/bucket")


def test_what_the_system_refuses_is_unavailable(folder: Path) -> None:
    (folder / "a").mkdir()
    files = FileStore(str(folder))
    files.mark()
    with pytest.raises(FilesUnavailable, match="Is a directory"):
        files.read("a", 3)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nosuch://x", "The files cannot be at nosuch://x: "),
        ("s3://:secret@b:c/d", "The files cannot be at "),
        ("/nonexistent/x", "There is no folder /nonexistent/x. Is it mounted here?"),
        (f"{sys.prefix}", "which student code may read in the sandbox"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_sentence(address: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        FileStore(address)
    assert said in str(refused.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SettingsError, match="s3fs"):
        FileStore("s3://bucket/files")


def test_a_folder_that_others_may_look_into_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(SettingsError, match=r"Say `chmod o-rwx "):
        FileStore(str(folder))
    folder.chmod(0o770)
    FileStore(str(folder))
