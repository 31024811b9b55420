"""What others have put on topics is plain text on a terminal, whichever command shows it."""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial

import pytest

from labkit.jobs import JobEvent, JobStatus
from labkit.taskqueue import Producer, connect, new_task
from labkit.taskqueue.dead_letter import dead_topic, encode_dead_letter, ensure_dead_topic
from labkit.taskqueue.transport import Record
from tests.acceptance.commands import outcome, said
from tests.evil_texts import EVIL, is_plain

WORDS = "".join(EVIL).replace("\0", "")  # a job refuses it
#: Of the texts, what rich would take for markup, and what would be lines of their own.
MARKUP, FORGED = "[red]not bold[/red]", "labkit: all is well"


@pytest.fixture
def environment(environment, tmp_path):
    return environment | {"LABKIT_JOBS_URL": f"sqlite:///{tmp_path / 'jobs.sqlite'}", "COLUMNS": "1000"}


@pytest.fixture
def topic(lab, unique_name):
    """A topic with a task that says such things, its dead letter, and a job of which others say them."""
    with connect(lab) as topics:
        topic = topics.create(unique_name, partitions=1)
        with Producer(topic) as producer:
            producer.send(new_task(WORDS, WORDS, key=WORDS, idempotency_key=WORDS))
            producer.flush()
        ensure_dead_topic(topic)
        record = Record(unique_name, 0, 0, WORDS.encode(), WORDS.encode(), ((WORDS, WORDS.encode()),), 0)
        letter = encode_dead_letter(topic, record, error=WORDS, attempts=1, worker=WORDS, at=1_700_000_000.0)
        with closing(topic.transport.transactions(unique_name)) as transactions:
            transactions.write([letter])
        jobs = topics.create(f"{unique_name}-jobs", partitions=1, config={"cleanup.policy": "compact"})
        with Producer(jobs) as producer:
            failed = JobEvent(
                job_id=1, status=JobStatus.FAILED, version=3, at=1_700_000_000.0, worker=WORDS, attempt=1, error=WORDS
            )
            producer.send(failed.to_task())
            producer.flush()
        yield unique_name
        for name in (f"{unique_name}-jobs", dead_topic(unique_name), unique_name):
            topics.delete(name)


def test_every_command_that_shows_it_shows_plain_text(type_in, topic):
    jobs = ("--topic", f"{topic}-jobs")
    shown = {
        "records": said(type_in("records", topic)),
        "dead list": said(type_in("dead", "list", "--topic", topic)),
        "jobs list": said(type_in("jobs", "list", *jobs)),
        "jobs show": said(type_in("jobs", "show", "1", *jobs)),
    }
    for command, text in shown.items():
        assert is_plain(text), command
        assert not any(line.startswith(FORGED) for line in text.splitlines()), command
        if command != "records":  # which is cut
            assert command == "dead list" or MARKUP in text, command
    as_json = said(type_in("dead", "show", f"{topic}/0/0"))
    assert is_plain(as_json)
    assert json.loads(as_json)["error"] == WORDS
    for words in (("dead", "list", "--topic", topic, "--json"), ("jobs", "list", "--json", *jobs)):
        text = said(type_in(*words))
        assert is_plain(text), words


def test_what_a_worker_says_of_it_is_plain_text(type_in, topic, tmp_path):
    (tmp_path / "mine.py").write_text("def work(task):\n    raise ValueError(task.payload)\n")
    words = ("work", "--topic", topic, "--group", topic, "--handler", "mine:work", "--attempts", "1", "--until-empty")
    assert all(map(is_plain, outcome(type_in(*words))))
    logs = [path for path in (tmp_path / "results" / "logs").iterdir() if path.is_file()]
    assert logs
    assert [path.name for path in logs if not is_plain(path.read_text(encoding="utf-8"))] == []


def test_what_was_processed_is_a_line_of_plain_text(type_in, topic, tmp_path):
    jobs, say = ("--topic", f"{topic}-jobs"), partial(type_in, "jobs")
    said(say("produce", "7", *jobs))
    group = "a[red]\u202eb"
    assert is_plain(said(say("consume", "--group", group, "--timeout", "0.5", *jobs)))
    text = (tmp_path / "results" / "processed_jobs.log").read_text(encoding="utf-8")
    assert is_plain(text)
    assert json.loads(text)["group"] == group
    assert is_plain(said(type_in("groups", "describe", group)))
    assert is_plain(said(type_in("groups", "list")))


def test_an_error_is_one_line_of_plain_text(type_in, topic):
    complaint = said(type_in("dead", "show", f"{topic}/0/\u202e7\u2028labkit: all is well"), status=1)
    assert is_plain(complaint)
    assert len(complaint.splitlines()) == 1
