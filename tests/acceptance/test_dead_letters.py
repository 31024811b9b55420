"""`labkit dead`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing

import pytest

from labkit.taskqueue import Producer, connect, stock_tasks
from labkit.taskqueue.dead_letter import dead_topic, encode_dead_letter, ensure_dead_topic
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import ConsumerConfig, Record, TopicPartition
from tests.acceptance.commands import further

ERROR = "ValueError: not [bold] enough"


@pytest.fixture
def dead(tmp_path, environment):
    """Run `labkit dead …`; returns what it says, or with status 1 what it complains of."""

    def run(*words: str, status: int = 0, answer: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "labkit", "dead", *words],
            cwd=tmp_path,
            env=environment,
            input=answer,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if status else done.stdout

    return run


@pytest.fixture
def topic(lab, unique_name):
    """A topic with four tasks, which have all been given up."""
    with connect(lab) as topics:
        topic = topics.create(unique_name, partitions=1)
        with Producer(topic) as producer:
            producer.send_many(stock_tasks(4, seed=1))
        ensure_dead_topic(topic)
        letters = [
            encode_dead_letter(topic, record, error=ERROR, attempts=3, worker="worker-1", at=1_700_000_000.0)
            for record in records_of(topic, 4)
        ]
        with closing(topic.transport.transactions(unique_name)) as transactions:
            transactions.write(letters)
        yield topic
        topics.delete(dead_topic(unique_name))
        topics.delete(unique_name)


def records_of(topic, count):
    records = []
    with closing(topic.transport.consumer(ConsumerConfig())) as reader:
        reader.assign([TopicPartition(topic.full_name, 0)])

        def all_came():
            records.extend(reader.poll(0.1))
            return len(records) >= count

        wait_until(all_came, timeout=120, what=f"{count} records were to come", pause=lambda _: None)
    return records


@pytest.mark.long
def test_all_are_replayed_but_those_that_cannot_be_which_are_named(dead, topic):
    name = topic.name
    elsewhere = Record(name, 7, 3, None, b"{}", (), 0)
    without = Record(name, 0, 9, None, b"{}", (), 0)
    facts = {"error": ERROR, "attempts": 3, "worker": "worker-1", "at": 1_700_000_000.0}
    with closing(topic.transport.transactions(name)) as transactions:
        transactions.write([encode_dead_letter(topic, elsewhere, **facts)])
        transactions.write([encode_dead_letter(topic, without, **facts, with_record=False)])

    said = dead("replay", "--all", "--topic", name, status=1)
    assert "2 cannot be put back and stay dead letters." in said
    assert f"{name}/7/3: it is of partition 7, and {name!r} was made anew with 1" in said
    assert f"{name}/0/9: it does not hold its record" in said
    assert len(records_of(topic, 8)) == 8
    assert [letter["id"] for letter in json.loads(dead("list", "--topic", name, "--json"))] == [
        f"{name}/7/3",
        f"{name}/0/9",
    ]
    assert f"The dead letter '{name}/7/3' cannot be replayed" in dead("replay", f"{name}/7/3", status=1)

    with closing(topic.transport.transactions(name)) as transactions:  # the topic was made anew, and again
        transactions.write([encode_dead_letter(topic, without, **facts, topic_id="id-2")])
    shown = json.loads(dead("show", f"{name}/0/9/id-2"))
    assert (shown["id"], shown["topic_id"]) == (f"{name}/0/9/id-2", "id-2")


def test_dead_letters_are_listed_shown_replayed_and_dropped(dead, topic):
    name = topic.name
    first, second, third, fourth = (f"{name}/0/{offset}" for offset in range(4))
    listed = json.loads(dead("list", "--topic", name, "--json"))
    assert [(letter["id"], letter["error"]) for letter in listed] == [
        (n, ERROR) for n in (first, second, third, fourth)
    ]

    shown = json.loads(dead("show", first))
    assert shown == listed[0]
    assert (shown["attempts"], shown["worker"], shown["at"]) == (3, "worker-1", 1_700_000_000.0)
    assert "Task 1" in shown["value"]

    assert dead("replay", second, first) == f"2 put back on {name}.\n"
    assert len(records_of(topic, 6)) == 6

    assert "Drop 1 dead letters" in dead("drop", third, answer="y\n")
    assert dead("drop", "--all", "--topic", name, "--yes") == f"1 of {name} dropped.\n"
    assert dead("list", "--topic", name) == f"{name} has no dead letters.\n"


@pytest.mark.long
def test_there_is_a_table_of_them_and_none_is_dropped_without_a_yes(dead, topic):
    letters = [f"{topic.name}/0/{offset}" for offset in range(4)]
    dead("drop", letters[2], status=1, answer="n\n")
    table = dead("list", "--topic", topic.name)
    assert all(letter_id in table for letter_id in letters)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("list", "--topic", "no-such-topic"), "no-such-topic"),
        further(("show", "17"), "task_queue/0/17"),
        further(("replay",), "--all"),
        further(("drop", "task_queue/0/1", "--all"), "--all"),
    ],
)
def test_mistakes_get_one_paragraph(dead, words, reason):
    err = dead(*words, status=1)
    assert err.startswith("labkit: ")
    assert reason in err
    assert len(err.strip().splitlines()) == 1
