"""Kafka's own tools: what each is told beside the user's words, and what is no tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import LabkitError, SettingsError
from labkit.lab.connection import Connection, java_config
from labkit.lab.kafka_tools import KAFKA_TOOLS, find_tool, needs_address, with_address

PLAIN = Connection(bootstrap_servers="127.0.0.1:9092,127.0.0.1:9093")
SECRET = Connection(
    bootstrap_servers="kafka.example.edu:9093",
    security_protocol="SASL_PLAINTEXT",
    sasl_username="ann",
    sasl_password='a"b\\c é',
)


def told(name: str, *words: str) -> list[str]:
    tool = find_tool(name)
    return with_address(tool, words, PLAIN) if needs_address(tool, words) else list(words)


def test_a_tool_is_told_where_kafka_is() -> None:
    address = ["--bootstrap-server", "127.0.0.1:9092,127.0.0.1:9093"]
    assert told("topics", "--list") == [*address, "--list"]
    assert told("broker-api-versions") == address
    assert told("cluster", "list-endpoints", "--include-fenced-brokers") == [
        "list-endpoints",
        *address,
        "--include-fenced-brokers",
    ]
    # what takes several values comes last
    words = ["--topic", "t", "--producer-props", "acks=all", "linger.ms=5"]
    assert told("producer-perf-test", *words) == [*address, *words]


@pytest.mark.parametrize(
    "line",
    [
        "topics --list --bootstrap-server localhost:9092",
        "topics --bootstrap-server=localhost:9092 --list",
        "cluster cluster-id -b localhost:9092",
        "metadata-quorum --bootstrap-controller localhost:9093 describe --status",
        "producer-perf-test --topic t --producer-props acks=1 bootstrap.servers=localhost:9092",
        "producer-perf-test --topic t --command-property=bootstrap.servers=localhost:9092",
        "topics --help",
        "transactions -h",
        "topics --version",
        "cluster",
        "dump-log --files 00000000000000000000.log",
    ],
)
def test_what_names_an_address_or_needs_none_stays_as_it_is(line: str) -> None:
    name, *words = line.split()
    assert told(name, *words) == words


def test_who_logs_in_is_told_in_a_file_that_has_no_name() -> None:
    words = with_address(find_tool("topics"), ["--list"], SECRET)
    assert words[:3] == ["--bootstrap-server", "kafka.example.edu:9093", "--command-config"]
    assert words[4:] == ["--list"]
    folder, number = words[3].rsplit("/", 1)
    assert folder == "/dev/fd"
    with open(int(number), encoding="ascii") as file:  # noqa: PTH123
        assert file.read() == (
            "security.protocol=SASL_PLAINTEXT\n"
            "sasl.mechanism=PLAIN\n"
            "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
            'username="ann" password="a\\u005c"b\\u005c\\u005cc \\u00e9";\n'
        )


@pytest.mark.parametrize("option", ["--command-config", "--consumer.config", "--producer.config=mine.properties"])
def test_a_file_of_the_users_own_is_left_alone(option: str) -> None:
    words = with_address(find_tool("console-consumer"), [option, "mine.properties"], SECRET)
    assert words == ["--bootstrap-server", "kafka.example.edu:9093", option, "mine.properties"]


def test_certificates_that_java_cannot_use_are_named(tmp_path: Path) -> None:
    file = tmp_path / "both.pem"
    connection = Connection(bootstrap_servers="k:9093", security_protocol="SSL", ssl_cert_file=file)
    with pytest.raises(SettingsError, match=r"both\.pem, which LABKIT_SSL_CERT_FILE names, cannot be read"):
        java_config(connection)
    file.write_text("-----BEGIN EC PRIVATE KEY-----\n")
    with pytest.raises(SettingsError, match=r"both\.pem is not written as PKCS #8.*openssl pkcs8"):
        java_config(connection)
    file.write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    text = file.read_text()
    assert java_config(connection) == {
        "security.protocol": "SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": text,
        "ssl.keystore.key": text,
    }


def test_what_is_no_tool_gets_the_list() -> None:
    assert len({tool.name for tool in KAFKA_TOOLS}) == len(KAFKA_TOOLS)
    with pytest.raises(
        LabkitError, match=r"'kafka-topic\.sh' of Kafka here\. Did you mean topics\? There are topics, "
    ):
        find_tool("kafka-topic.sh")
    with pytest.raises(LabkitError, match=r"no tool 'x' of Kafka here\. There are topics, .*, dump-log\."):
        find_tool("x")
