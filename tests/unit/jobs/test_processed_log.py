"""`processed_jobs.log`: whole lines, each job once per group, whoever else writes."""

import json
import multiprocessing
import resource
from pathlib import Path

import pytest

from labkit.errors import ProcessedLogFailed
from labkit.jobs import ProcessedJob, ProcessedLog


def a_job(job_id, group="g", **more):
    return ProcessedJob(job_id=job_id, group=group, worker="w", attempt=1, started_at=1.0, finished_at=2.0, **more)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "processed_jobs.log"


def ids(log, group="g"):
    return [job.job_id for job in log.read() if job.group == group]


def test_a_line_per_job(path):
    log = ProcessedLog(path, "g")
    assert log.append(a_job(1))
    assert log.append(a_job(2))
    assert not log.append(a_job(1))
    assert 1 in log
    assert 3 not in log
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["job_id"] for line in lines] == [1, 2]
    assert set(lines[0]) == {"job_id", "group", "worker", "attempt", "started_at", "finished_at"}


def test_a_restart_and_another_writer_know_what_is_there(path):
    first = ProcessedLog(path, "g")
    first.append(a_job(1))
    second = ProcessedLog(path, "g")
    assert 1 in second
    second.append(a_job(2))
    assert 2 in first
    assert not first.append(a_job(2))


def test_each_group_has_its_own_lines(path):
    first, second = ProcessedLog(path, "g"), ProcessedLog(path, "other")
    assert first.append(a_job(1))
    assert 1 not in second
    assert second.append(a_job(1, "other"))
    assert (ids(first), ids(first, "other")) == ([1], [1])


def test_a_job_of_another_topic_is_another_job(path):
    log, other = ProcessedLog(path, "g"), ProcessedLog(path, "g")
    assert log.append(a_job(1, topic_id="a"))
    assert other.append(a_job(1, topic_id="b"))
    assert not log.append(a_job(1, topic_id="b"))
    assert [log.has(topic_id, 1) for topic_id in ("a", "b", "c")] == [True, True, False]


def test_a_line_of_an_older_labkit_says_nothing_of_a_topic(path):
    path.parent.mkdir()
    path.write_text('{"job_id":1,"group":"g","worker":"w","attempt":1,"started_at":1.0,"finished_at":2.0}\n')
    log = ProcessedLog(path, "g")
    assert ids(log) == [1]
    assert 1 in log
    assert not log.has("a", 1)
    assert log.append(a_job(1, topic_id="a"))


@pytest.mark.parametrize("torn", [b'{"job_id":2,"gro', b'{"job_id":2,"group":"g"}', b"x" * 200_000])
def test_a_torn_last_line_is_cut_off(path, torn):
    ProcessedLog(path, "g").append(a_job(1))
    with path.open("ab") as file:
        file.write(torn)  # as a writer leaves it that was killed
    log = ProcessedLog(path, "g")
    assert 2 not in log
    log.append(a_job(2))
    assert ids(log) == [1, 2]
    assert path.read_bytes().count(b"\n") == 2


def test_a_torn_first_line(path):
    path.parent.mkdir()
    path.write_bytes(b'{"job')
    log = ProcessedLog(path, "g")
    log.append(a_job(1))
    assert ids(log) == [1]


def test_files_are_set_aside_and_remembered(path):
    log, other = ProcessedLog(path, "g", max_bytes=300, older=2), ProcessedLog(path, "g", max_bytes=300, older=2)
    for job_id in range(1, 21):
        assert (log if job_id % 2 else other).append(a_job(job_id))
        assert job_id in log
        assert job_id in other
    assert sorted(file.name for file in path.parent.glob("*.log*")) == [
        "processed_jobs.log",
        "processed_jobs.log.1",
        "processed_jobs.log.2",
        "processed_jobs.log.lock",
    ]
    kept = ids(log)
    assert kept == list(range(kept[0], 21))
    assert all(file.stat().st_size < 420 for file in path.parent.glob("*.log*"))
    assert all(job_id in ProcessedLog(path, "g", max_bytes=300, older=2) for job_id in kept)


def test_what_stood_in_a_file_that_is_dropped_is_forgotten_by_a_single_writer_too(path):
    log = ProcessedLog(path, "g", max_bytes=300, older=2)
    for job_id in range(1, 201):
        log.append(a_job(job_id))
        with path.open("a") as file:
            file.write("none of ours\n")
    assert len(log._done | log._gone) <= len(ids(log)) < 20
    assert len(log._said) < 20
    assert ids(log)[-1] == 200


def test_of_files_that_are_taken_away_again_and_again_so_much_is_known(path, monkeypatch):
    monkeypatch.setattr("labkit.jobs.processed_log.MOST_GONE", 5)
    log = ProcessedLog(path, "g")
    for job_id in range(1, 41):
        assert log.append(a_job(job_id))
        assert not log.append(a_job(max(1, job_id - 1)))
        path.write_bytes(b"")
    assert len(log._done | log._gone) <= 6


def test_of_jobs_in_files_that_were_taken_away_the_last_are_known(path, monkeypatch):
    monkeypatch.setattr("labkit.jobs.processed_log.MOST_GONE", 10)
    log = ProcessedLog(path, "g")
    for job_id in range(12):
        log.append(a_job(job_id))
        if job_id % 6 == 5:
            path.unlink()
    assert [job_id for job_id in range(12) if job_id in log] == list(range(2, 12))


def test_of_several_files_that_are_taken_away_at_once_the_last_jobs_are_known(path, monkeypatch):
    monkeypatch.setattr("labkit.jobs.processed_log.MOST_GONE", 10)
    log = ProcessedLog(path, "g", max_bytes=300)
    for job_id in range(20):
        log.append(a_job(job_id))
    kept = path.with_name(f"{path.name}.1")
    stood = [json.loads(line)["job_id"] for line in kept.read_text().splitlines()]
    for file in path.parent.glob("*.log*"):
        if file not in (kept, path.with_name(f"{path.name}.lock")):
            file.unlink()
    left = [job_id for job_id in range(20) if job_id not in stood][-10:]
    assert [job_id for job_id in range(20) if job_id in log] == sorted(stood + left)
    assert len(log._gone) == 10


def append_all(path: Path, start: int) -> None:
    log = ProcessedLog(path, "g", max_bytes=4000)
    for job_id in range(start, start + 60):
        log.append(a_job(job_id))


@pytest.mark.slow
def test_several_processes_append_every_job_once(path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append_all, args=(path, start)) for start in (1, 31, 61)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sorted(ids(ProcessedLog(path, "g"))) == list(range(1, 121))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ProcessedLogFailed, match=r"processed_jobs\.log"):
        ProcessedLog(tmp_path / "file" / "processed_jobs.log", "g")


GARBAGE = [
    b"hello\n",
    b"\xff\xfe\n",
    b"\0\0\0\n",
    b"\n",
    b"{}\n",
    b'{"job_id":"1"}\n',
    b"[" * 5000 + b"\n",
    b"x" * 200_000 + b"\n",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda line: line[:8].hex())
def test_a_line_of_something_else_is_passed_over_and_said_once(path, garbage, caplog):
    log, other = ProcessedLog(path, "g"), ProcessedLog(path, "g")
    assert log.append(a_job(1))
    with path.open("ab") as file:
        file.write(garbage)
    assert other.append(a_job(2))
    assert log.append(a_job(3))
    assert not log.append(a_job(2))
    assert ids(log) == [1, 2, 3]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, "by each that reads it"
    assert all(str(path) in text and "byte 8" in text and len(text) < 1000 for text in said)


def test_a_file_of_something_else_is_gone_on_with(path, caplog):
    path.parent.mkdir()
    path.write_text("hello\n")
    log = ProcessedLog(path, "g")
    assert log.append(a_job(1))
    assert ids(log) == [1]
    assert "hello" in caplog.text


@pytest.mark.parametrize("what", ["deleted", "truncated", "replaced"])
def test_a_file_that_is_taken_away_under_way_is_begun_anew_and_what_was_known_stays_so(path, what):
    log = ProcessedLog(path, "g")
    assert log.append(a_job(1))
    if what == "truncated":
        path.write_bytes(b"")
    else:
        path.unlink()
    if what == "replaced":
        ProcessedLog(path, "g").append(a_job(7))
    assert not log.append(a_job(1))
    assert log.append(a_job(2))
    assert ids(log) == ([7, 2] if what == "replaced" else [2])
    assert log.append(a_job(7)) == (what != "replaced")


def append_with_room_for_half(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, resource.RLIM_INFINITY))
    log = ProcessedLog(path, "g")
    with pytest.raises(ProcessedLogFailed, match="did not fit"):
        log.append(a_job(2))


def test_who_waits_behind_another_thread_waits_no_longer_than_for_another_process(path, monkeypatch):
    monkeypatch.setattr("labkit.jobs.processed_log.LOCK_TIMEOUT", 0.01)
    log = ProcessedLog(path, "g")
    with log._lock, pytest.raises(ProcessedLogFailed, match="cannot be used"):
        log.append(a_job(1))
    assert log.append(a_job(1))


@pytest.mark.slow
def test_a_full_disk_leaves_whole_lines(path):
    log = ProcessedLog(path, "g")
    log.append(a_job(1))
    child = multiprocessing.get_context("spawn").Process(target=append_with_room_for_half, args=(path,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert path.read_bytes().count(b"\n") == 1
    assert path.read_bytes().endswith(b"\n")
    assert log.append(a_job(2))
    assert ids(log) == [1, 2]
