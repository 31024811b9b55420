"""Folders that go with their owner, however it ends."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from labkit.temporary_folder import STAYS, passing_folder, remove_folder, sweep, temporary_folder

ROOT = Path(__file__).parents[2]
#: Makes a folder with a file in it, says where, and waits.
OWNER = """
import sys
from pathlib import Path
from labkit.temporary_folder import temporary_folder
folder = temporary_folder("records", Path(sys.argv[1]))
(folder / "kept").write_text("a record")
# and more
print(folder, flush=True)
sys.stdin.read()
"""


def owned(parent: Path, program: str = "") -> tuple[subprocess.Popen[str], Path]:
    """A process that owns a folder there, and the folder."""
    words = [sys.executable, "-c", OWNER.replace("# and more", program), str(parent)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def later(folder: Path) -> float:
    """A moment when nothing has changed in it for longer than it stays."""
    return folder.stat().st_mtime + STAYS + 60


def test_a_folder_is_one_s_own_and_goes(tmp_path: Path) -> None:
    with passing_folder("records", tmp_path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.parent == tmp_path
        (folder / "a" / "b").mkdir(parents=True)
    assert not folder.exists()
    remove_folder(folder)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    remove_folder(temporary_folder("records", tmp_path))
    before = psutil.Process().num_fds()
    for _ in range(20):
        remove_folder(temporary_folder("records", tmp_path))
    assert psutil.Process().num_fds() == before


def test_what_a_killed_process_had_goes_after_a_day_and_no_sooner(tmp_path: Path) -> None:
    process, folder = owned(tmp_path)
    sweep(tmp_path, later(folder))
    assert (folder / "kept").exists(), "its owner lives"
    end(process)
    sweep(tmp_path, folder.stat().st_mtime + STAYS - 60)
    assert (folder / "kept").read_text() == "a record"
    sweep(tmp_path, later(folder))
    assert not folder.exists()


def test_the_first_folder_that_a_process_makes_there_sweeps(tmp_path: Path) -> None:
    process, folder = owned(tmp_path)
    end(process)
    for path in (folder, folder / "kept"):
        os.utime(path, (0, 0))
    other, _ = owned(tmp_path)
    end(other)
    assert not folder.exists()


def test_what_was_changed_of_late_stays(tmp_path: Path) -> None:
    process, folder = owned(tmp_path)
    end(process)
    os.utime(folder, (0, 0))
    sweep(tmp_path, (folder / "kept").stat().st_mtime + 60)
    assert folder.exists()


def test_a_program_that_its_owner_has_started_does_not_keep_it(tmp_path: Path) -> None:
    owner, folder = owned(tmp_path, "import subprocess; subprocess.Popen(['cat'])")
    owner.kill()
    owner.wait()
    sweep(tmp_path, later(folder))
    assert not folder.exists()
    owner.communicate()


@pytest.mark.parametrize("name", ["records-2026_11_30", "records-abcdefgh.labkit2", "x.labkit", "records-abc.labkit"])
def test_what_has_another_name_is_another_s(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    sweep(tmp_path, later(tmp_path / name))
    assert (tmp_path / name).exists()


def test_a_link_and_a_file_of_such_a_name_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    (tmp_path / "records-abcdefgh.labkit").symlink_to(tmp_path / "mine")
    (tmp_path / "records-abcdefgi.labkit").touch()
    sweep(tmp_path, later(tmp_path))
    assert (tmp_path / "mine" / "kept").exists()
    assert (tmp_path / "records-abcdefgi.labkit").exists()


def test_all_temporary_folders_that_stay_for_a_while_are_such() -> None:
    """Redis's socket alone is elsewhere: it belongs to a lab that outlives the command which has started it."""
    makes = re.compile(r"mkdtemp\(|TemporaryDirectory\(")
    found = {
        file.relative_to(ROOT / "labkit").as_posix()
        for file in (ROOT / "labkit").rglob("*.py")
        if makes.search(file.read_text())
    }
    assert found == {"temporary_folder.py", "lab/startup.py", "grading/behaviour/effect_program.py"}
