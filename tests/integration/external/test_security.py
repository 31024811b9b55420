"""TLS and SASL, over both client libraries, and what users hear when something about it is wrong."""

from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import BrokerUnreachable, NotAuthorized, SettingsError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport import ConsumerConfig, ProducerConfig, TopicPartition, connect_transport
from labkit.taskqueue.transport.confluent import client as confluent_client
from labkit.taskqueue.transport.kafka_python import client as kafka_python_client
from tests.contract.fixtures import Outbox, read

LIBRARIES = ["kafka-python", "confluent-kafka"]
CLIENTS = {
    "producer": lambda transport: transport.producer(ProducerConfig()),
    "consumer": lambda transport: transport.consumer(ConsumerConfig(group="g")),
    "admin": lambda transport: transport.admin(),
}


@pytest.fixture(params=LIBRARIES)
def library(request, monkeypatch):
    # what cannot be reached cannot be reached sooner, too
    monkeypatch.setattr(kafka_python_client, "CONNECT_TIMEOUT", 1.0)
    monkeypatch.setattr(confluent_client, "CONNECT_TIMEOUT", 1.0)
    return request.param


def ways(external_kafka) -> dict[str, Connection]:
    return {
        "SASL_SSL, PLAIN": external_kafka.sasl_ssl,
        "SASL_SSL, SCRAM-SHA-256": replace(external_kafka.sasl_ssl, sasl_mechanism="SCRAM-SHA-256"),
        "SASL_SSL, SCRAM-SHA-512": replace(external_kafka.sasl_ssl, sasl_mechanism="SCRAM-SHA-512"),
        "SASL_PLAINTEXT, PLAIN": external_kafka.sasl_plaintext,
        "SSL, with a certificate of the client": external_kafka.ssl,
    }


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("way", ways.__annotations__ and [
    "SASL_SSL, PLAIN",
    "SASL_SSL, SCRAM-SHA-256",
    "SASL_SSL, SCRAM-SHA-512",
    "SASL_PLAINTEXT, PLAIN",
    "SSL, with a certificate of the client",
])
def test_a_record_goes_there_and_back(external_kafka, library, way, unique_name):
    transport = connect_transport(ways(external_kafka)[way], library)
    with closing(transport.admin()) as admin, closing(transport.consumer(ConsumerConfig())) as reader:
        admin.create_topic(unique_name, partitions=1)
        with Outbox(transport) as outbox:
            outbox.send(unique_name, b"secret")
            outbox.delivered()
        reader.assign([TopicPartition(unique_name, 0)])
        assert [record.value for record in read(reader, 1)] == [b"secret"]
        admin.delete_topic(unique_name)
