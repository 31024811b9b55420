"""Where things lie, and what is said when they can't."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from labkit.errors import DiskFull, LabError, SettingsError
from labkit.lab import Lab
from labkit.lab.folders import LabFolders, cache_folder, check_space, data_folder, make_folder, named_lab
from labkit.settings import Settings


def test_by_default_the_users_own_folders() -> None:
    settings = Settings(data_dir=None, cache_dir=None)
    assert data_folder(settings) == platformdirs.user_data_path("labkit")
    assert cache_folder(settings) == platformdirs.user_cache_path("labkit")


def test_the_settings_go_before(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    assert named_lab(settings, "mine").root == tmp_path / "data" / "labs" / "mine"
    assert cache_folder(settings) == tmp_path / "cache"


def test_what_goes_with_another_kafka_has_a_folder_of_its_own(tmp_path: Path) -> None:
    def folder(address: str | None) -> Path:
        settings = Settings(data_dir=tmp_path, bootstrap_servers=address)
        return Lab._of("mine", named_lab(settings, "mine"), settings, None, None).data_folder

    own = folder(None)
    addresses = [
        "127.0.0.1:9092",
        "127.0.0.1:9093",
        "127.0.0.1_9092:9092",
        "[::1]:9092",
        ",".join(["broker:9092"] * 100),
    ]
    found = {folder(address) for address in addresses}
    assert len(found) == len(addresses)
    assert all(one.parent == own / "external" and len(one.name) < 100 for one in found)
    assert folder(addresses[0]) in found


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "x" * 33, "a b", "a\n"])
def test_a_name_that_is_no_folder(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be the name of a lab"):
        named_lab(Settings(), name)


def test_nobody_else_can_look_into_a_lab(tmp_path: Path) -> None:
    folders = LabFolders(tmp_path / "lab")
    folders.make()
    for folder in (folders.root, folders.kafka, folders.redis, folders.logs):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match=r"file/folder cannot be made: Not a directory.*LABKIT_DATA_DIR"):
        make_folder(tmp_path / "file" / "folder")


def test_space(tmp_path: Path) -> None:
    check_space(tmp_path, 1)
    with pytest.raises(DiskFull, match="MB left; 1000000000000 MB are needed"):
        check_space(tmp_path, 10**18)
