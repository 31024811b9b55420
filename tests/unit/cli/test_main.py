"""What a user gets to see where the surroundings are not as they should be: one paragraph, status 1, no traceback."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.cli import job_commands, lab_commands, main, produce_command
from labkit.jobs import MAX_ATTEMPTS
from labkit.lab.doctor import Assessment, examine
from labkit.measure.records import Receipt
from labkit.settings import load_settings
from labkit.taskqueue.task import new_task
from tests.command_lines import COMMANDS

LOGGING = [
    *(["work"], ["produce"], ["bridge"], ["dispatch"], ["api"], ["celery", "worker"], ["celery", "beat"]),
    *(["jobs", "produce"], ["jobs", "consume", "--group", "g"], ["demo", "bridge"], ["demo", "priority"]),
]
#: The folders that the settings name, and commands that look into them.
FOLDERS = {
    "LABKIT_DATA_DIR": [["up"], ["status"], ["down"], ["logs"], ["reset", "--yes"], ["topics", "list"]],
    "LABKIT_CACHE_DIR": [["up"], ["status"]],
    "LABKIT_RESULTS_DIR": LOGGING,
    "LABKIT_LOGGING_DIR": [*LOGGING, ["up"]],
}
CASES = [(name, words) for name, commands in FOLDERS.items() for words in commands]


@pytest.mark.parametrize(("name", "words"), CASES, ids=[f"{name}-{'-'.join(words)}" for name, words in CASES])
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


@contextmanager
def full_disk():
    with Path("/dev/full").open("wb", buffering=0) as full:
        yield full.fileno()


@contextmanager
def closed_pipe():
    end, begin = os.pipe()
    os.close(end)
    try:
        yield begin
    finally:
        os.close(begin)


@contextmanager
def output_to(number, monkeypatch):
    """Standard output leads there; what cannot be written is forgotten at the end."""
    stream = io.TextIOWrapper(io.FileIO(number, "w", closefd=False), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    yield
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    stream.close()


HAS_FULL_DISK = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
SPEAKING = [[*words, "--help"] for words in COMMANDS] + [["status"], ["status", "--json"], ["down"], ["doctor"]]


@pytest.mark.parametrize("words", SPEAKING, ids=" ".join)
@pytest.mark.parametrize(
    ("target", "says"),
    [
        pytest.param(full_disk, "labkit: The system says: No space left on device.", marks=HAS_FULL_DISK),
        (closed_pipe, ""),
    ],
)
def test_where_nothing_can_be_printed_the_status_says_so(monkeypatch, capsys, tmp_path, words, target, says):
    """A full disk is told; whoever has closed a pipe knows of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "argv", ["labkit", *words])
    with target() as number, output_to(number, monkeypatch), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith(says)
    assert printed.count("\n") == bool(says)


@HAS_FULL_DISK
@pytest.mark.parametrize("words", [["status"], ["down"]], ids=" ".join)
def test_a_full_disk_below_the_output_is_said_also_at_the_very_end(tmp_path, words):
    surroundings = os.environ | {"LABKIT_DATA_DIR": str(tmp_path), "PYTHONUNBUFFERED": ""}
    with full_disk() as full:
        typed = [sys.executable, "-m", "labkit", *words]
        done = subprocess.run(typed, env=surroundings, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"labkit: The system says: No space left on device.")
    assert done.stderr.count(b"\n") == 1


TIMES = {"scheduled_at": 0.0, "produced_at": 0.0, "acknowledged_at": 0.0}


def test_a_receipt_that_cannot_be_printed_disturbs_no_client(monkeypatch):
    shown, jobs = produce_command._ReceiptCounts(one_by_one=True), job_commands._JobCounts()
    tasks = [new_task("message", "m", key="7") for _ in range(2)]
    with closed_pipe() as number, output_to(number, monkeypatch):
        for task, _ in zip(shown.watch(((one, "m") for one in tasks), None), jobs.watch(tasks), strict=True):
            receipt = Receipt(task_id=task.id, topic="t", partition=0, offset=0, **TIMES, error=None)
            shown.take(receipt)
            jobs.take(receipt)
    assert (shown._acknowledged, jobs.acknowledged) == (2, 2)


def test_the_last_line_of_what_was_sent_agrees_with_the_summary(capsys):
    """A task that was asked for and came to no turn, since Ctrl-C came before, is in neither; nor one turned away."""
    shown = produce_command._ReceiptCounts(one_by_one=False)
    tasks = [(new_task("message", text), text) for text in ("sent", "turned away", "never due")]
    with shown.shown():
        watched = shown.watch(iter(tasks), None)
        shown.take(Receipt(task_id=next(watched).id, topic="t", partition=0, offset=0, **TIMES, error=None))
        next(watched)
        next(watched)

    assert capsys.readouterr().out == "sent 1, acknowledged 1\n"
    assert shown.summary("topic").startswith("Sent 1 task to topic: 1 acknowledged, 0 refused")


def test_a_job_that_is_named_twice_is_made_once():
    assert [task.key for task in job_commands._new_jobs([5, 7, 5], None)] == ["5", "7"]


@pytest.mark.parametrize(("running", "first"), [(True, "topics  unknown: Kafka does not answer"), (False, "cache")])
def test_a_lab_whose_broker_does_not_answer_is_not_shown_as_one_without_topics(running, first):
    cache = SimpleNamespace(jars=1, jars_wanted=1, template=True, aot="ready", size=0, folder=Path("cache"))
    found = SimpleNamespace(running=running, topics=None, cache=cache, data_size=0, data_folder=Path("data"))
    assert next(iter(lab_commands._facts(found))).startswith(first)
