"""`labkit records`, as a user types it."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from kafka import KafkaProducer

from labkit.taskqueue import connect
from tests.acceptance.commands import TIMEOUT, ended, further, said


@pytest.fixture
def topic(lab, unique_name):
    """With records that a plain client has written."""
    with connect(lab) as topics:
        topics.create(unique_name, partitions=1)
        with closing(KafkaProducer(bootstrap_servers=lab.bootstrap_servers)) as producer:
            producer.send(unique_name, key=b"k", value=b"\x1b[2J a\nb", headers=[("h", b"\x07")])
            producer.send(unique_name, key=b"k", value=None)
            producer.send(unique_name, value="漢字".encode() * 500)
        yield unique_name
        topics.delete(unique_name)


def test_records_of_any_client_are_shown_on_a_line_each(type_in, topic, lab):
    shown = said(type_in("records", topic, COLUMNS="60")).splitlines()
    assert [re.sub(r"\d{4}-\S+ \S+", "AT", line, count=1) for line in shown] == [
        r"0/0 AT k {h=\x07} \x1b[2J a\nb",
        "0/1 AT k {} (no value)",
        "0/2 AT (no key) {} 漢字漢字漢字漢字漢 …",
    ]
    assert said(type_in("records", topic, "--from", "1", "--count", "1", COLUMNS="60")).splitlines() == shown[1:2]

    follow = type_in("records", topic, "--from", "2", "--follow", COLUMNS="60")
    assert follow.stdout.readline().rstrip() == shown[2]
    with closing(KafkaProducer(bootstrap_servers=lab.bootstrap_servers)) as producer:
        producer.send(topic, value=b"news").get(TIMEOUT)
    assert follow.stdout.readline().endswith("(no key) {} news\n")
    assert ended(follow) == ""


def test_a_reader_that_has_seen_enough_hears_no_complaint(type_in, topic, lab):
    process = type_in("records", topic, "--follow")
    assert process.stdout.readline().startswith("0/0 ")
    process.stdout.close()  # as `head` does
    with closing(KafkaProducer(bootstrap_servers=lab.bootstrap_servers)) as producer:
        producer.send(topic, value=b"news").get(TIMEOUT)
    assert process.stderr.read() == ""
    assert process.wait(TIMEOUT) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("no-such-topic",), "There is no topic 'no-such-topic'."),
        further(("t", "--from", "soon"), "--from 'soon' is neither"),
    ],
)
def test_mistakes_get_one_paragraph(type_in, words, reason):
    err = said(type_in("records", *words), status=1)
    assert err.startswith(f"labkit: {reason}")
    assert len(err.strip().splitlines()) == 1
