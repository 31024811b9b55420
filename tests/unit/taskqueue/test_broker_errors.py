"""Whatever error a broker or a client library has, whoever meets it is told a sentence, without names and numbers."""

from __future__ import annotations

import inspect
import re

import kafka.errors as kafka_errors
import pytest
from confluent_kafka import KafkaError, KafkaException

from labkit import kafka_words
from labkit.errors import LabkitError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent import client as confluent
from labkit.taskqueue.transport.kafka_python import client as kafka_python
from labkit.taskqueue.transport.kafka_python.producer import _Report

#: Nothing listens there.
CONNECTION = Connection(bootstrap_servers="127.0.0.1:1")
OF_KAFKA_PYTHON = [
    kind
    for _, kind in inspect.getmembers(kafka_errors, inspect.isclass)
    if issubclass(kind, kafka_errors.KafkaError) and kind is not kafka_errors.LogTruncationError  # made of offsets
]
OF_LIBRDKAFKA = sorted(
    {code for name, code in vars(KafkaError).items() if name.strip("_").isupper() and isinstance(code, int)}
)
#: What no user is to see: `[Error 17] InvalidTopicError: None`, `KafkaError{code=…}`.
_RAW = re.compile(r"\[Error|\bNone\b|\w+Error\b|KafkaError\{|_[A-Z]{3}|Broker:|Local:")


def must_be_a_sentence(error: LabkitError) -> None:
    said = str(error)
    assert not _RAW.search(re.sub(r"LABKIT_\w+|group\.\S+|`[^`]*`", "", said)), said
    assert said.endswith("."), said
    assert ".." not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("said", [(), (None,), ("",)], ids=["bare", "None", "empty"])
@pytest.mark.parametrize("kind", OF_KAFKA_PYTHON)
def test_an_error_of_kafka_python_is_a_sentence(kind, said):
    must_be_a_sentence(kafka_python.in_words(kind(*said), CONNECTION))


@pytest.mark.parametrize("kind", OF_KAFKA_PYTHON)
def test_so_is_the_reason_of_a_record_that_was_not_acknowledged(kind):
    told = []
    _Report(lambda _, refusal: told.append(refusal)).failure(kind())
    must_be_a_sentence(told[0])


@pytest.mark.parametrize("code", OF_LIBRDKAFKA)
def test_an_error_of_librdkafka_is_a_sentence(code):
    must_be_a_sentence(confluent.in_words(KafkaError(code), CONNECTION))


@pytest.mark.parametrize("code", sorted(set(kafka_words.SENTENCES) - {-1}))
def test_both_libraries_say_the_same_and_what_is_in_the_exception_too(code):
    said = kafka_words.SENTENCES[code]
    assert not said.endswith(".")
    assert kafka_python.words_of(kafka_errors.for_code(code)(None)) == said
    assert kafka_words.in_words(code, str(KafkaException(KafkaError(code)))) == said


def test_what_the_broker_says_of_this_very_error_goes_first():
    error = kafka_errors.InvalidConfigurationError("Unknown topic config name: colour")
    assert kafka_python.words_of(error) == "Unknown topic config name: colour"


def test_the_table_is_long():
    assert len(OF_KAFKA_PYTHON) > 100
    assert len(OF_LIBRDKAFKA) > 100
