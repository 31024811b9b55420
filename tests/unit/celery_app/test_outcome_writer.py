"""The dead letters of Celery's workers stand beside the topic from which the task came, whoever has it for himself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from labkit.celery_app import outcome_writer
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.outcome_writer import _DeadLetters
from labkit.errors import BrokerUnreachable, TransportError, UnknownTopic
from labkit.settings import Settings
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.task import new_task
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport

PREFIX = "class."


@pytest.fixture
def transport(monkeypatch) -> MemoryTransport:
    """That of the lab to which a worker attaches."""
    transport = MemoryTransport()

    @contextmanager
    def attach(settings):
        yield SimpleNamespace(connection=SimpleNamespace(topic_prefix=settings.topic_prefix))

    monkeypatch.setattr(outcome_writer, "attach_lab", attach)
    monkeypatch.setattr(outcome_writer, "connect_kafka", lambda lab, prefix: Topics(transport, prefix=prefix))
    return transport


@pytest.fixture
def writer(transport):
    writer = _DeadLetters(Settings(_env_file=None, topic_prefix=PREFIX))
    yield writer
    writer.close()


def write(writer: _DeadLetters, *, topic_prefix: str | None, topic_id: str = "", topic: str = "t") -> str:
    """A letter for a task on `topic`; the id of the task."""
    task = new_task("sleep", 0)
    place = {"topic": topic, "partition": 0, "offset": 0, "topic_prefix": topic_prefix, "topic_id": topic_id}
    envelope = Envelope(task=task, rank=0, produced_at=1.0, sent_at=2.0, **place)
    how = {"worker": "w", "attempt": 3, "started_at": 3.0, "finished_at": 4.0, "error": "no"}
    writer.write(envelope, envelope.record("dead", **how))
    return task.id


def letters(topics: Topics, topic: str = "t") -> list[str]:
    return [letter.task().id for letter in DeadLetters(topics, topic).list()]


def test_a_letter_goes_to_the_topic_from_which_the_task_came_and_to_nobody_elses(transport, writer):
    """Two programs have a `t` for themselves, and there is one for everybody."""
    with (
        Topics(transport, prefix=PREFIX) as everybody,
        Topics(transport, prefix=PREFIX) as one,
        Topics(transport, prefix=PREFIX) as other,
    ):
        everybody.create("t", partitions=1)
        topics = [one.temporary("t", partitions=2), other.temporary("t", partitions=1), everybody.get("t")]
        sent = [write(writer, topic_prefix=topic.prefix) for topic in topics]
        assert [letters(Topics.of(topic)) for topic in topics] == [[one] for one in sent]


def test_one_that_does_not_say_it_means_the_topic_of_the_workers_settings(transport, writer):
    with Topics(transport, prefix=PREFIX) as everybody, Topics(transport, prefix=PREFIX) as other:
        everybody.create("t", partitions=1)
        other.temporary("t", partitions=1)
        sent = write(writer, topic_prefix=None)
        assert letters(everybody) == [sent]


def test_letters_of_a_topic_that_was_made_anew_stay_beside_those_of_the_new_one(transport, writer):
    with Topics(transport, prefix=PREFIX) as topics:
        topics.create("t", partitions=1)
        sent = [write(writer, topic_prefix=PREFIX, topic_id=topic_id) for topic_id in ("", "id-1", "id-2", "id-2")]
        assert letters(topics) == [sent[0], sent[1], sent[3]]


def test_a_topic_that_is_gone_for_some_seconds_is_said(transport, caplog):
    now = [100.0]
    writer = _DeadLetters(Settings(_env_file=None), measure=lambda: now[0])
    for now[0] in (100.0, 100.5, 104.9):  # it may be made anew just now
        with pytest.raises(UnknownTopic):
            write(writer, topic_prefix="gone.")
    assert "leaves no dead letter" not in caplog.text
    now[0] += 0.2
    write(writer, topic_prefix="gone.")
    assert "leaves no dead letter" in caplog.text
    assert "gone.t" in caplog.text
    now[0] += 1_000
    with pytest.raises(UnknownTopic):  # it may have been there meanwhile
        write(writer, topic_prefix="gone.")
    writer.close()


def test_a_topic_that_is_away_for_a_moment_gets_its_letter_also_the_second_time(transport):
    now = [100.0]
    writer = _DeadLetters(Settings(_env_file=None, topic_prefix=PREFIX), measure=lambda: now[0])
    with Topics(transport, prefix=PREFIX) as topics:
        for now[0] in (100.0, 200.0):
            with pytest.raises(UnknownTopic):
                write(writer, topic_prefix=PREFIX)
            topics.create("t", partitions=1)
            sent = write(writer, topic_prefix=PREFIX)
            assert letters(topics) == [sent]
            topics.delete("t")
            topics.delete("t.dead")
    writer.close()


class Silent:
    """The topics of dead letters that do not answer: a write waits in `entered` until `go_on`, and has no answer."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.entered, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def over(self, make):
        def transactions(transactional_id: str):
            client = make(transactional_id)
            write = client.write

            def write_or_wait(records, *rest):
                if records[0].topic in self.names:
                    self.entered.release()
                    assert self.go_on.acquire(timeout=60)
                    raise BrokerUnreachable("it does not answer")
                write(records, *rest)

            client.write = write_or_wait
            return client

        return transactions


def test_letters_of_a_topic_that_does_not_answer_keep_no_thread_and_no_other_topics_letters(transport, monkeypatch):
    now, silent = [100.0], Silent()
    monkeypatch.setattr(transport, "transactions", silent.over(transport.transactions))
    writer = _DeadLetters(Settings(_env_file=None, topic_prefix=PREFIX), measure=lambda: now[0])
    with Topics(transport, prefix=PREFIX) as topics, ThreadPoolExecutor(1) as thread:
        for name in ("t", "u"):
            topics.create(name, partitions=1)
        silent.names.add(f"{PREFIX}t.dead")
        for turn in range(3):
            held = thread.submit(write, writer, topic_prefix=PREFIX)
            assert silent.entered.acquire(timeout=60)
            now[0] += outcome_writer.LONGEST_TURN
            with pytest.raises(TransportError, match="not acknowledged yet"):  # at once, since it is long known
                write(writer, topic_prefix=PREFIX)
            if turn:  # the first one met all that are written just then
                sent = write(writer, topic_prefix=PREFIX, topic="u")
                assert letters(topics, "u")[-1:] == [sent]
            silent.go_on.release()
            with pytest.raises(BrokerUnreachable):
                held.result(timeout=60)
        silent.names.clear()
        sent = [write(writer, topic_prefix=PREFIX, topic=name) for name in "tu"]
        assert (letters(topics), writer._apart) == (sent[:1], {})
    writer.close()
