"""The image of containers, and the words for what is seen in one."""

from __future__ import annotations

import io
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import Limits, container_words
from labkit.grading.sandbox.container_words import image_archive, mount_words, shown_paths
from labkit.grading.sandbox.mounts import python_folders

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are what Linux has")


def test_the_image_holds_folders_and_links_only() -> None:
    name, content = image_archive()
    assert (name, content) == image_archive()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert all(member.isdir() or member.issym() for member in members.values())
    assert {"proc", "dev", "tmp", "home/student", "run/labkit"} <= set(members)
    assert stat.S_IMODE(members["tmp"].mode) == 0o1777
    assert stat.S_IMODE(members["sys"].mode) == 0o700


@pytest.mark.parametrize("name", ["a,b", "a:b", 'a"b'])
def test_a_path_that_no_engine_can_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SandboxUnavailable, match="a comma, a colon or a quotation mark"):
        mount_words(Limits(), {"/data/x": tmp_path / name})


def test_what_is_mounted_below_a_folder_that_is_shown_is_shown_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each with words of its own, by which it is read-only; also where a name leads to the folder."""
    real, link = tmp_path / "python-3", tmp_path / "python"
    (real / "a b").mkdir(parents=True)
    (tmp_path / "python-34").mkdir()
    link.symlink_to(real)
    monkeypatch.setattr(container_words, "python_folders", lambda: [link])
    points = [str(real), str(real / "a b"), str(real / "hidden"), str(tmp_path / "python-34"), "/"]
    monkeypatch.setattr(container_words, "mount_points", lambda: points)
    shown = shown_paths({})
    assert {inside: path for inside, path in shown.items() if inside.startswith(str(tmp_path))} == {
        str(link): link,
        f"{link}/a b": real / "a b",
    }
    words = mount_words(Limits(), shown)
    assert f"type=bind,source={real}/a b,target={link}/a b,readonly" in words


def test_what_is_hidden_stays_hidden_where_something_is_mounted_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hidden = str(python_folders()[0] / "lib")
    monkeypatch.setattr(container_words, "mount_points", lambda: [hidden])
    assert shown_paths({hidden: tmp_path})[hidden] == tmp_path
