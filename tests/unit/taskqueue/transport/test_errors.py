"""Whatever a broker answers, both client libraries' errors become the same one of labkit's."""

from __future__ import annotations

import kafka.errors
import pytest
from confluent_kafka import KafkaError

from labkit.errors import BrokerUnreachable, TransportError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent import client as confluent
from labkit.taskqueue.transport.kafka_python import client as kafka_python
from labkit.taskqueue.transport.kafka_python.network_overrides import ThreadEnded

CONNECTION = Connection(bootstrap_servers="127.0.0.1:1")
CODES = {
    code
    for name in dir(KafkaError)
    if name.isupper() and isinstance(code := getattr(KafkaError, name), int) and code > 0
}
#: The errors of Kafka's protocol that both libraries know.
ERRORS = {
    error.errno: error
    for error in vars(kafka.errors).values()
    if isinstance(error, type) and issubclass(error, kafka.errors.KafkaError) and getattr(error, "errno", 0) in CODES
}


@pytest.mark.parametrize("code", ERRORS, ids=lambda code: ERRORS[code].__name__)
def test_both_clients_say_the_same(code):
    ours = type(kafka_python.in_words(ERRORS[code](), CONNECTION))
    assert type(confluent.in_words(KafkaError(code), CONNECTION)) is ours


@pytest.mark.parametrize("code", [KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_LEADER_FOR_PARTITION])
def test_a_broker_that_is_not_ready_yet_is_one_that_does_not_answer(code):
    assert isinstance(confluent.in_words(KafkaError(code), CONNECTION), BrokerUnreachable)


def test_a_partition_without_a_leader_does_not_answer():
    assert isinstance(kafka_python.in_words(kafka.errors.UnknownBrokerIdError(-1), CONNECTION), BrokerUnreachable)


def test_a_client_that_has_broken_down_is_no_broker_that_is_away():
    """Who waits for a broker would wait for ever."""
    said = kafka_python.in_words(ThreadEnded("its I/O thread has ended by OSError('no more events')"), CONNECTION)
    assert type(said) is TransportError
    assert str(said) == (
        "A client of Kafka at 127.0.0.1:1 has broken down, and another is needed: "
        "its I/O thread has ended by OSError('no more events')."
    )


def test_a_group_that_another_program_shares_out_by_another_rule_is_told_so():
    code = KafkaError.INCONSISTENT_GROUP_PROTOCOL
    said = str(kafka_python.in_words(ERRORS[code](), CONNECTION))
    assert said == str(confluent.in_words(KafkaError(code), CONNECTION))
    assert "members of another program" in said
    assert "a group of another name" in said
