"""Kafka's own tools on a Kafka with TLS and SASL: who logs in is told in a file that nobody else finds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from labkit.lab.connection import Connection
from labkit.settings import environment_with


def tool(connection: Connection, *words: str) -> subprocess.CompletedProcess[str]:
    named = {name: value for name, value in asdict(connection).items() if value}
    return subprocess.run(
        [sys.executable, "-m", "labkit", "kafka", *words],
        env=environment_with(**named),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_tools_log_in_by_sasl_over_tls(external_kafka, unique_name):
    made = tool(external_kafka.sasl_ssl, "topics", "--create", "--topic", unique_name, "--partitions", "1")
    assert (made.returncode, made.stdout) == (0, f"Created topic {unique_name}.\n"), made.stderr
    by_scram = replace(external_kafka.sasl_plaintext, sasl_mechanism="SCRAM-SHA-512")
    offsets = tool(by_scram, "get-offsets", "--topic", unique_name)
    assert offsets.stdout == f"{unique_name}:0:0\n", offsets.stderr


@pytest.mark.long
def test_a_tool_shows_the_certificate_of_the_client_if_java_takes_its_key(external_kafka, tmp_path):
    refused = tool(external_kafka.ssl, "cluster", "cluster-id")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"labkit: The key in {external_kafka.ssl.ssl_key_file} is not written as PKCS #8")
    key = load_pem_private_key(external_kafka.ssl.ssl_key_file.read_bytes(), password=None)
    file = tmp_path / "pkcs8.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found = tool(replace(external_kafka.ssl, ssl_key_file=file), "cluster", "cluster-id")
    assert (found.returncode, found.stdout[:12]) == (0, "Cluster ID: "), found.stderr


@pytest.mark.long
def test_a_wrong_password_is_refused_in_the_words_of_the_tool(external_kafka):
    refused = tool(replace(external_kafka.sasl_ssl, sasl_password="wrong-horse"), "topics", "--list")
    assert refused.returncode == 1
    assert "Authentication failed" in refused.stdout + refused.stderr
    assert "wrong-horse" not in refused.stdout + refused.stderr
