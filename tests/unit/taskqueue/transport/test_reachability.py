"""Why a cluster cannot be reached, in words."""

import socket

import pytest

from labkit.errors import SettingsError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.reachability import reason, refused, ssl_context, unreachable


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed(listening):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.mark.parametrize("address", ["nonsense", "localhost:", ":9092", "localhost:http"])
def test_what_is_not_an_address(address):
    assert reason(Connection(bootstrap_servers=address)) == f"{address!r} is not an address; write host:port."


def test_a_closed_port(closed):
    assert f"Nothing listens at {closed}" in reason(Connection(bootstrap_servers=closed))


def test_one_address_that_answers_is_enough(closed, listening):
    assert reason(Connection(bootstrap_servers=f"{closed}, {listening}")) is None


def test_every_address_has_its_reason(closed):
    sentences = reason(Connection(bootstrap_servers=f"{closed},nonsense"))
    assert f"Nothing listens at {closed}" in sentences
    assert "'nonsense' is not an address" in sentences


def test_a_listener_that_is_no_kafka(listening):
    error = unreachable(Connection(bootstrap_servers=listening))
    assert str(error).startswith(f"Kafka at {listening} does not answer. It accepts connections, but")
    assert "LABKIT_SECURITY_PROTOCOL" in str(error)


def test_a_refusal_names_the_user_and_not_the_password():
    connection = Connection(bootstrap_servers="kafka:9092", sasl_username="student", sasl_password="hush")
    message = str(refused(connection, "Authentication failed"))
    assert "kafka:9092" in message
    assert "'student'" in message
    assert "hush" not in message


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_without_tls_there_is_no_context(protocol):
    assert ssl_context(Connection(bootstrap_servers="kafka:9092", security_protocol=protocol)) is None


def test_a_certificate_file_that_is_none(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    connection = Connection(bootstrap_servers="kafka:9092", security_protocol="SSL", ssl_ca_file=file)
    with pytest.raises(SettingsError, match="LABKIT_SSL_CA_FILE"):
        ssl_context(connection)
