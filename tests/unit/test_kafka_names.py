"""Names that Kafka refuses are refused in a sentence, and so is all that it refuses without a word."""

from __future__ import annotations

import kafka.errors
import pytest

from labkit.errors import LabkitError
from labkit.kafka_names import BadTopicName, must_be_group_name, must_be_topic_name
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.kafka_python.client import in_words


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ä", "a\n", "x" * 250])
def test_a_name_that_no_topic_may_have(name: str) -> None:
    with pytest.raises(BadTopicName, match="cannot be the name of a topic: "):
        must_be_topic_name(name)


@pytest.mark.parametrize("name", ["a", "...", "jobs.high", "__consumer_offsets", "x" * 249])
def test_a_name_that_a_topic_may_have(name: str) -> None:
    assert must_be_topic_name(name) == name


def test_a_group_may_have_nearly_any_name() -> None:
    assert must_be_group_name("any words ä/b") == "any words ä/b"
    for name in ("", "x" * 250):
        with pytest.raises(LabkitError, match="give it 1 to 249 characters"):
            must_be_group_name(name)


def test_what_kafka_refuses_without_a_word_is_told_in_those_of_its_protocol() -> None:
    connection = Connection(bootstrap_servers="h:1")
    said = str(in_words(kafka.errors.InvalidTopicError(None), connection))
    assert said.startswith("Kafka at h:1 refused the request: the name is none that a topic may have")
    assert "None" not in said
    assert "too few" in str(in_words(kafka.errors.InvalidPartitionsError("too few"), connection))
