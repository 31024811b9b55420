"""A Kafka that is not the lab's: started apart from it, with TLS and SASL on its listeners."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from labkit.errors import LabkitError
from labkit.lab.aot_cache import CLUSTER_ID, Kafka, prepare_kafka
from labkit.lab.connection import Connection
from labkit.lab.kafka_server import aot_options, format_command, kafka_command, server_properties
from labkit.lab.probe import listens
from labkit.settings import load_settings
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import connect_transport
from tests.ports import own_ports

HOST = "127.0.0.1"
USER, PASSWORD = "student", "correct-horse"
#: On a busy machine too; each look at whether it answers is a client of its own, so there are few of them.
START_TIMEOUT, LOOK_INTERVAL = 240.0, 0.5

# repeated keys: the last one counts
_PROPERTIES = """
listeners=SASL_SSL://{host}:{ports[0]},SASL_PLAINTEXT://{host}:{ports[1]},SSL://{host}:{ports[2]},CONTROLLER://{host}:{ports[3]}
advertised.listeners=SASL_SSL://{host}:{ports[0]},SASL_PLAINTEXT://{host}:{ports[1]},SSL://{host}:{ports[2]}
listener.security.protocol.map=SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SSL

ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required

sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
"""
_LOGIN = "org.apache.kafka.common.security.{module} required{options};"


@dataclass(frozen=True, kw_only=True)
class ExternalKafka:
    """How to reach each listener, and a certificate authority that it does not trust."""

    sasl_ssl: Connection
    sasl_plaintext: Connection
    ssl: Connection
    other_ca_file: Path


@pytest.fixture(scope="session")
def external_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExternalKafka]:
    """Runs for the session, in a process of its own, from the jars that the lab has fetched."""
    folder = tmp_path_factory.mktemp("external-kafka")
    ports = own_ports(4)
    external = _certify(folder, ports)
    kafka = prepare_kafka(load_settings())
    properties = folder / "server.properties"
    properties.write_text(_properties(folder, ports), encoding="utf-8")
    _format(kafka, properties, folder)
    options = [] if kafka.aot is None else aot_options(kafka.aot)
    folders = {"properties": properties, "logs": folder, "temporary": folder}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            kafka_command(kafka.java, kafka.jars, **folders, extra_options=options),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        try:
            wait_until(
                lambda: process.poll() is not None or _answers(external.sasl_ssl),
                timeout=START_TIMEOUT,
                what="the external Kafka was to start",
                interval=LOOK_INTERVAL,
            )
            assert process.poll() is None, (folder / "out").read_text()
            yield external
        finally:
            process.kill()
            process.wait()


def _certify(folder: Path, ports: list[int]) -> ExternalKafka:
    authority, other = trustme.CA(), trustme.CA()
    server, client = authority.issue_cert(HOST, "localhost"), authority.issue_cert("student@example.org")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other-ca.pem"))
    (folder / "server.pem").write_bytes(_as_java_reads_it(server))
    client.private_key_pem.write_to_path(str(folder / "client-key.pem"))
    client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    sasl_ssl = Connection(
        bootstrap_servers=f"{HOST}:{ports[0]}",
        security_protocol="SASL_SSL",
        sasl_username=USER,
        sasl_password=PASSWORD,
        ssl_ca_file=folder / "ca.pem",
    )
    return ExternalKafka(
        sasl_ssl=sasl_ssl,
        sasl_plaintext=replace(
            sasl_ssl, bootstrap_servers=f"{HOST}:{ports[1]}", security_protocol="SASL_PLAINTEXT", ssl_ca_file=None
        ),
        ssl=Connection(
            bootstrap_servers=f"{HOST}:{ports[2]}",
            security_protocol="SSL",
            ssl_ca_file=folder / "ca.pem",
            ssl_cert_file=folder / "client.pem",
            ssl_key_file=folder / "client-key.pem",
        ),
        other_ca_file=folder / "other-ca.pem",
    )


def _as_java_reads_it(certificate: trustme.LeafCert) -> bytes:
    """Key and certificate in one file; the key as PKCS #8, which is all that Java takes as PEM."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pkcs8 + certificate.cert_chain_pems[0].bytes()


def _properties(folder: Path, ports: list[int]) -> str:
    text = server_properties(data=folder / "data", port=ports[0], controller_port=ports[3])
    text += _PROPERTIES.format(host=HOST, ports=ports, folder=folder)
    plain = _LOGIN.format(module="plain.PlainLoginModule", options=f' user_{USER}="{PASSWORD}"')
    scram = _LOGIN.format(module="scram.ScramLoginModule", options="")
    for listener in ("sasl_ssl", "sasl_plaintext"):
        text += f"listener.name.{listener}.plain.sasl.jaas.config={plain}\n"
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            text += f"listener.name.{listener}.{mechanism}.sasl.jaas.config={scram}\n"
    return text


def _format(kafka: Kafka, properties: Path, folder: Path) -> None:
    command = format_command(kafka.java, kafka.jars, properties=properties, cluster_id=CLUSTER_ID, logs=folder)
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        command += ["--add-scram", f'{mechanism}=[name="{USER}",password="{PASSWORD}"]']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _answers(connection: Connection) -> bool:
    _, _, port = connection.bootstrap_servers.rpartition(":")
    if not listens(int(port)):
        return False
    try:
        connect_transport(connection, "confluent-kafka").admin().close()
    except LabkitError:
        return False
    return True
