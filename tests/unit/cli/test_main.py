"""What a user gets to see where the surroundings are not as they should be: one paragraph, status 1, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.cli import main
from labkit.jobs import MAX_ATTEMPTS
from labkit.lab.doctor import Assessment, examine
from labkit.settings import load_settings

#: The folders that the settings name, and commands that look into them.
COMMANDS = {
    "LABKIT_DATA_DIR": [["up"], ["status"], ["down"], ["topics", "list"]],
    "LABKIT_CACHE_DIR": [["up"], ["status"]],
    "LABKIT_RESULTS_DIR": [["work"], ["produce"], ["bridge"], ["jobs", "produce"], ["celery", "beat"]],
}
CASES = [(name, words) for name, commands in COMMANDS.items() for words in commands]


@pytest.fixture
def labkit(monkeypatch, capsys, tmp_path):
    """Type a command in, in a folder of its own; returns its status, and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_DATA_DIR", str(tmp_path / "data"))

    def type_in(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["labkit", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    return type_in


@pytest.mark.parametrize(("name", "words"), CASES, ids=[f"{name}-{words[0]}" for name, words in CASES])
@pytest.mark.parametrize("below", [False, True], ids=["a file", "below a file"])
def test_a_file_in_the_place_of_a_folder_is_named(labkit, monkeypatch, tmp_path, name, words, below):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv(name, str(file / "folder" if below else file))
    status, said = labkit(*words)
    assert status == 1
    assert said.startswith("labkit: ")
    assert str(file) in said
    assert said.count("\n") == 1


def test_more_attempts_than_a_job_has_are_refused(labkit):
    status, said = labkit("jobs", "consume", "--group", "g", "--attempts", str(MAX_ATTEMPTS + 1))
    assert status == 2
    assert f"less than or equal to {MAX_ATTEMPTS}\n" in said


@pytest.mark.parametrize("name", ["LABKIT_DATA_DIR", "LABKIT_CACHE_DIR"])
@pytest.mark.parametrize("below", [False, True], ids=["a file", "below a file"])
def test_the_doctor_makes_all_checks_where_a_file_is_in_the_place_of_a_folder(monkeypatch, tmp_path, name, below):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("LABKIT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv(name, str(file / "folder" if below else file))
    findings = {finding.what: finding for finding in examine(load_settings())}
    assert findings["folders"].verdict is Assessment.BAD
    assert str(file) in findings["folders"].says
    assert "external Redis" in findings, "the last check"


def test_children_tell_how_they_end_and_sigterm_ends_it_whatever_has_started_it(labkit):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        labkit("--help")
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        assert signal.pthread_sigmask(signal.SIG_SETMASK, blocked) == set()
    finally:
        signal.signal(signal.SIGCHLD, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@pytest.mark.parametrize("content", [b"LABKIT_LAB=\xe4\n", b"LABKIT_LBA=mine\n", b"LABKIT_LAB='mine\n"])
def test_no_lab_is_deleted_where_the_env_file_cannot_be_read(labkit, tmp_path, content):
    kept = tmp_path / "data" / "default"
    kept.mkdir(parents=True)
    Path(".env").write_bytes(content)
    status, said = labkit("reset", "--yes")
    assert status == 1
    assert said.startswith("labkit: ")
    assert "ine 1" in said
    assert said.count("\n") == 1
    assert kept.exists()


def test_a_terminal_need_not_know_every_character(tmp_path):
    surroundings = os.environ | {"PYTHONIOENCODING": "ascii", "LABKIT_DATA_DIR": str(tmp_path), "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "labkit", "doctor"], env=surroundings, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr
    assert b"\\u2713" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_below_the_output_is_said(tmp_path):
    surroundings = os.environ | {"LABKIT_DATA_DIR": str(tmp_path)}
    with Path("/dev/full").open("wb") as full:
        words = [sys.executable, "-m", "labkit", "status"]
        done = subprocess.run(words, env=surroundings, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"labkit: The system says: No space left on device.")
    assert b"Traceback" not in done.stderr
