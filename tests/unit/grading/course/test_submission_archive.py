"""Folders and zip files are read with care: what is in them is of students."""

from __future__ import annotations

import os
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from labkit.grading.course import submission_archive
from labkit.grading.course.course_errors import BadArchive
from labkit.grading.course.submission_archive import open_archive
from labkit.grading.notebook_file import MAX_NOTEBOOK


def archive(file: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return file


def contents(source: Path) -> dict[str, bytes | str]:
    with open_archive(source) as files:
        return {str(file.path): file.read() for file in files}


def test_notebooks_are_read_from_folders_and_zip_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("ada/a1.ipynb", "ada/.ipynb_checkpoints/a1-checkpoint.ipynb", "__MACOSX/ada/._a1.ipynb", "ben/a1.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    zipped = archive(tmp_path / "in.zip", *((name, (folder / name).read_bytes()) for name in names))
    assert contents(folder) == contents(zipped) == {"ada/a1.ipynb": b"{}"}
    assert contents(folder / "ada" / "a1.ipynb") == {"a1.ipynb": b"{}"}


def test_the_date_of_a_file_is_told(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 28, 10, 0, 0).astimezone()
    zipped = archive(tmp_path / "in.zip", (zipfile.ZipInfo("ada/a1.ipynb", (2026, 11, 28, 10, 0, 0)), b"{}"))
    (tmp_path / "a1.ipynb").write_bytes(b"{}")
    os.utime(tmp_path / "a1.ipynb", (moment.timestamp(),) * 2)
    for source in (zipped, tmp_path / "a1.ipynb"):
        with open_archive(source) as (file,):
            assert file.changed == moment.astimezone(UTC)


@pytest.mark.parametrize(
    "name", ["../a1.ipynb", "ada/../../a1.ipynb", "/etc/a1.ipynb", "C:/a1.ipynb", "ada\\..\\a1.ipynb"]
)
def test_a_zip_file_with_a_path_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    zipped = archive(tmp_path / "in.zip", ("ben/a1.ipynb", b"{}"), (name, b"{}"))
    with pytest.raises(BadArchive, match="would lie outside"), open_archive(zipped):
        pass


def test_a_zip_file_with_two_files_of_one_name_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped = archive(tmp_path / "in.zip", ("ben/a1.ipynb", b"{}"), ("ben/a1.ipynb", b"[]"))
    with pytest.raises(BadArchive, match="two files of one name"), open_archive(zipped):
        pass


def test_a_zip_file_that_is_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped = archive(tmp_path / "in.zip", *((f"s{number}/a1.ipynb", b"{}" * 100) for number in range(5)))
    for limit, most, said in (("MOST_FILES", 4, "more than 4 notebooks"), ("MOST_BYTES", 999, "unpacked")):
        with monkeypatch.context() as patched:
            patched.setattr(submission_archive, limit, most)
            with pytest.raises(BadArchive, match=said), open_archive(zipped):
                pass


def test_only_notebooks_that_belong_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission_archive, "MOST_FILES", 2)
    names = ["a/a1.ipynb", "a/x.py", "a/y.txt", "b/a1.ipynb", "b/a2.ipynb", "c/a2.ipynb"]
    zipped = archive(tmp_path / "in.zip", *((name, b"{}") for name in names))
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"{}")
    for source in (zipped, tmp_path / "in"):
        with open_archive(source, lambda path: path.stem == "a1") as files:
            assert [str(file.path) for file in files] == ["a/a1.ipynb", "b/a1.ipynb"]
        with pytest.raises(BadArchive, match="more than 2 notebooks"), open_archive(source):
            pass


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"no zip file"])
def test_what_is_no_zip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.zip").write_bytes(content)
    with pytest.raises(BadArchive, match="is no zip file"), open_archive(tmp_path / "in.zip"):
        pass
    with pytest.raises(BadArchive, match="is no folder, no zip file and no notebook"), open_archive(tmp_path / "none"):
        pass


def test_one_bad_file_keeps_out_no_other(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link/a1.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    bomb = b"0" * (MAX_NOTEBOOK + 1)
    zipped = archive(
        tmp_path / "in.zip",
        (link, b"/etc/passwd"),
        ("bomb/a1.ipynb", bomb),
        ("bad/a1.ipynb", b"x" * 99),
        ("ok/a1.ipynb", b"{}"),
    )
    damaged = zipped.read_bytes().replace(zipfile.crc32(b"x" * 99).to_bytes(4, "little"), b"\0" * 4)
    zipped.write_bytes(damaged)
    read = contents(zipped)
    assert read.pop("ok/a1.ipynb") == b"{}"
    assert "is a link" in str(read["link/a1.ipynb"])
    assert "larger than 16 MB" in str(read["bomb/a1.ipynb"])
    assert "cannot be unpacked" in str(read["bad/a1.ipynb"])


def test_a_file_that_is_larger_than_it_says_is_not_read_on(tmp_path: Path) -> None:
    size = MAX_NOTEBOOK + 1
    zipped = archive(tmp_path / "in.zip", ("ada/a1.ipynb", b"0" * size))
    zipped.write_bytes(zipped.read_bytes().replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert "cannot be unpacked" in str(contents(zipped)["ada/a1.ipynb"])


def test_links_and_pipes_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.ipynb")
    read = contents(folder)
    assert read == {
        "link.ipynb": "What was handed in is a link, and no notebook",
        "pipe.ipynb": "What was handed in is no file",
    }


def test_the_path_of_a_file_is_that_in_its_archive(tmp_path: Path) -> None:
    with open_archive(archive(tmp_path / "in.zip", ("b/a1.ipynb", b""), ("a/a1.ipynb", b""))) as files:
        assert [file.path for file in files] == [PurePosixPath("a/a1.ipynb"), PurePosixPath("b/a1.ipynb")]
