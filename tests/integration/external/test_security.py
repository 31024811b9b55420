"""TLS and SASL over both client libraries, and what users hear when something about it is wrong."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import BrokerUnreachable, NotAuthorized, SettingsError
from labkit.taskqueue.transport import (
    ConsumerConfig,
    ProducerConfig,
    Timeouts,
    TopicPartition,
    connect_transport,
    reachability,
)
from tests.conditions import PATIENCE
from tests.contract.fixtures import Outbox, read
from tests.ports import own_ports

WAYS = {
    "SASL_SSL, PLAIN": lambda kafka: kafka.sasl_ssl,
    "SASL_SSL, SCRAM-SHA-256": lambda kafka: replace(kafka.sasl_ssl, sasl_mechanism="SCRAM-SHA-256"),
    "SASL_SSL, SCRAM-SHA-512": lambda kafka: replace(kafka.sasl_ssl, sasl_mechanism="SCRAM-SHA-512"),
    "SASL_PLAINTEXT, PLAIN": lambda kafka: kafka.sasl_plaintext,
    "SSL, with the client's certificate": lambda kafka: kafka.ssl,
}
CLIENTS = {
    "producer": lambda transport: transport.producer(ProducerConfig()),
    "consumer": lambda transport: transport.consumer(ConsumerConfig(group="g")),
    "admin": lambda transport: transport.admin(),
}


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def library(request):
    return request.param


@pytest.fixture(autouse=True)
def asked_for_long(monkeypatch):
    """A server on a busy machine is asked why it cannot be used until it says so."""
    monkeypatch.setattr(reachability, "_ADDRESS_TIMEOUT", PATIENCE)


#: What cannot be reached is given up sooner.
IMPATIENT = Timeouts(connect=1.0)


@pytest.mark.parametrize("way", WAYS)
def test_a_record_goes_there_and_back(external_kafka, library, way, unique_name):
    transport = connect_transport(WAYS[way](external_kafka), library)
    with closing(transport.admin()) as admin, closing(transport.consumer(ConsumerConfig())) as reader:
        admin.create_topic(unique_name, partitions=1)
        with Outbox(transport) as outbox:
            outbox.send(unique_name, b"secret")
            outbox.delivered()
        reader.assign([TopicPartition(unique_name, 0)])
        assert [record.value for record in read(reader, 1)] == [b"secret"]
        admin.delete_topic(unique_name)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_password_is_not_authorized(external_kafka, library, client):
    connection = replace(external_kafka.sasl_ssl, sasl_password="wrong-horse")
    with pytest.raises(NotAuthorized, match=r"'student'.*LABKIT_SASL_PASSWORD") as caught:
        CLIENTS[client](connect_transport(connection, library))
    assert connection.bootstrap_servers in str(caught.value)
    assert "wrong-horse" not in str(caught.value)


def test_an_unknown_user_is_not_authorized(external_kafka, library):
    connection = replace(external_kafka.sasl_plaintext, sasl_mechanism="SCRAM-SHA-256", sasl_username="nobody")
    with pytest.raises(NotAuthorized, match="'nobody'"):
        connect_transport(connection, library).admin()


def test_a_certificate_that_is_not_trusted_is_named(external_kafka, library):
    connection = replace(external_kafka.sasl_ssl, ssl_ca_file=external_kafka.other_ca_file)
    with pytest.raises(BrokerUnreachable, match=r"certificate.*is not trusted.*LABKIT_SSL_CA_FILE"):
        connect_transport(connection, library).admin()


@pytest.mark.long
def test_a_certificate_for_another_host_is_named(external_kafka, library):
    port = external_kafka.sasl_ssl.bootstrap_servers.rpartition(":")[2]
    connection = replace(external_kafka.sasl_ssl, bootstrap_servers=f"127.0.0.2:{port}")
    with pytest.raises(BrokerUnreachable):
        connect_transport(connection, library).admin()


@pytest.mark.parametrize(("listener", "protocol"), [("sasl_plaintext", "SASL_SSL"), ("ssl", "PLAINTEXT")])
def test_the_wrong_protocol_is_named(external_kafka, library, listener, protocol):
    connection = replace(getattr(external_kafka, listener), security_protocol=protocol)
    with pytest.raises(BrokerUnreachable, match="LABKIT_SECURITY_PROTOCOL"):
        connect_transport(connection, library, timeouts=IMPATIENT).admin()


def test_a_file_that_is_not_there_is_named(external_kafka, library, tmp_path: Path):
    connection = replace(external_kafka.sasl_ssl, ssl_ca_file=tmp_path / "none.pem")
    with pytest.raises(SettingsError, match="LABKIT_SSL_CA_FILE"):
        connect_transport(connection, library).admin()


@pytest.mark.parametrize("client", CLIENTS)
def test_nobody_at_the_address(external_kafka, library, client):
    nobody = f"127.0.0.1:{own_ports(1)[0]}"
    connection = replace(external_kafka.ssl, bootstrap_servers=nobody, security_protocol="PLAINTEXT")
    with pytest.raises(BrokerUnreachable, match=f"{nobody}.*Nothing listens.*labkit status") as caught:
        CLIENTS[client](connect_transport(connection, library, timeouts=IMPATIENT))
    assert caught.value.__cause__ is not None


def test_a_name_that_is_not_known(external_kafka, library):
    connection = replace(external_kafka.ssl, bootstrap_servers="no-such-host.invalid:9092")
    with pytest.raises(BrokerUnreachable, match=r"no-such-host\.invalid.*not known"):
        connect_transport(connection, library, timeouts=IMPATIENT).admin()


def test_failures_do_not_reach_the_terminal_by_themselves(external_kafka, library):
    """The libraries log them; a program that has set up no logging shows only the exception."""
    code = (
        "import sys\n"
        "from labkit.errors import BrokerUnreachable\n"
        "from labkit.lab.connection import Connection\n"
        "from labkit.taskqueue.transport import Timeouts, connect_transport\n"
        "soon = Timeouts(connect=0.5)\n"
        "try:\n"
        "    connect_transport(Connection(bootstrap_servers=sys.argv[1]), sys.argv[2], timeouts=soon).admin()\n"
        "except BrokerUnreachable:\n"
        "    print('caught')\n"
    )
    nobody = f"127.0.0.1:{own_ports(1)[0]}"
    done = subprocess.run([sys.executable, "-c", code, nobody, library], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("caught\n", "")
