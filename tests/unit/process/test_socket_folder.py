"""A folder for Unix sockets."""

from __future__ import annotations

import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from labkit.process.socket_folder import LONGEST_NAME, make_socket_folder
from labkit.temporary_folder import remove_folder


@pytest.mark.parametrize("length", [30, 79, 80, 200])
def test_a_socket_can_be_made_there_however_long_the_path_for_temporary_files_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    usual = Path(f"/tmp/{tmp_path.parent.name[:10]}-{tmp_path.name[-10:]}-".ljust(length, "x"))
    usual.mkdir()
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(usual))
        folder = make_socket_folder()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / ("x" * LONGEST_NAME)))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder.parent == usual) is (length <= 79)
        remove_folder(folder)
    finally:
        shutil.rmtree(usual)
