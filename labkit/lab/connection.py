"""How to reach a Kafka cluster: addresses, security, and the prefix that one user's names begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import SettingsError

if TYPE_CHECKING:
    from labkit.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Everything that a client of Kafka must know; the password stays out of the repr."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    topic_prefix: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the cluster is named by this machine's own address only, at which no other machine reaches it."""
        from labkit.lab.loopback import is_loopback  # which loads requests; a worker's process needs neither

        return all(is_loopback(f"kafka://{server.strip()}") for server in self.bootstrap_servers.split(","))


def plain_connection(bootstrap_servers: str, settings: Settings) -> Connection:
    """To the lab's own broker: on this machine, without a password."""
    return Connection(bootstrap_servers=bootstrap_servers, topic_prefix=settings.topic_prefix)


def external_connection(settings: Settings) -> Connection:
    """To the Kafka named by `LABKIT_BOOTSTRAP_SERVERS`, with its security settings."""
    if settings.bootstrap_servers is None:
        raise ValueError("bootstrap_servers is not set")
    return Connection(
        bootstrap_servers=settings.bootstrap_servers,
        security_protocol=settings.security_protocol,
        sasl_mechanism=settings.sasl_mechanism,
        sasl_username=settings.sasl_username,
        sasl_password=settings.sasl_password.get_secret_value() if settings.sasl_password else None,
        ssl_ca_file=_absolute(settings.ssl_ca_file),
        ssl_cert_file=_absolute(settings.ssl_cert_file),
        ssl_key_file=_absolute(settings.ssl_key_file),
        topic_prefix=settings.topic_prefix,
    )


def _absolute(file: Path | None) -> Path | None:
    """The same file, also for clients that are made after a handler has changed the working directory."""
    return None if file is None else file.absolute()


def librdkafka_config(connection: Connection) -> dict[str, str]:
    """The connection in the words of librdkafka (CONFIGURATION.md), for the admin calls of the lab itself."""
    config = {
        "bootstrap.servers": connection.bootstrap_servers,
        "security.protocol": connection.security_protocol,
        "ssl.ca.location": connection.ssl_ca_file,
        "ssl.certificate.location": connection.ssl_cert_file,
        "ssl.key.location": connection.ssl_key_file,
    }
    if connection.security_protocol.startswith("SASL_"):
        config |= {
            "sasl.mechanism": connection.sasl_mechanism,
            "sasl.username": connection.sasl_username,
            "sasl.password": connection.sasl_password,
        }
    return {name: str(value) for name, value in config.items() if value is not None}


_LOGIN_MODULES = {"PLAIN": "plain.PlainLoginModule", "SCRAM": "scram.ScramLoginModule"}


def java_config(connection: Connection) -> dict[str, str]:
    """The connection's security in the words of Kafka's Java clients; certificates and keys are in it as they are.

    Raises `SettingsError` for a file that cannot be read, and for a key that Java does not take.
    """
    config = {"security.protocol": connection.security_protocol}
    if connection.security_protocol.startswith("SASL_"):
        module = _LOGIN_MODULES[connection.sasl_mechanism.partition("-")[0]]
        user, password = _quoted(connection.sasl_username or ""), _quoted(connection.sasl_password or "")
        config |= {
            "sasl.mechanism": connection.sasl_mechanism,
            "sasl.jaas.config": f"org.apache.kafka.common.security.{module} required username={user} "
            f"password={password};",
        }
    if connection.security_protocol.endswith("SSL"):
        config |= _java_certificates(connection)
    return config


def _java_certificates(connection: Connection) -> dict[str, str]:
    config: dict[str, str] = {}
    if connection.ssl_ca_file is not None:
        certificates = _read_pem(connection.ssl_ca_file, "LABKIT_SSL_CA_FILE")
        config |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": certificates}
    if connection.ssl_cert_file is not None:
        chain = _read_pem(connection.ssl_cert_file, "LABKIT_SSL_CERT_FILE")
        key_file = connection.ssl_key_file
        key = chain if key_file is None else _read_pem(key_file, "LABKIT_SSL_KEY_FILE")
        if not re.search(r"^-+BEGIN PRIVATE KEY-", key, re.MULTILINE):
            raise SettingsError(
                f"The key in {key_file or connection.ssl_cert_file} is not written as PKCS #8, which is all that Java "
                "takes. Write it so by `openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW_KEY`, and name the new file in "
                "LABKIT_SSL_KEY_FILE; it fits everything else of labkit too."
            )
        config |= {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": chain, "ssl.keystore.key": key}
    return config


def _quoted(text: str) -> str:
    """As a login module reads it, where a backslash before a letter means another one."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _read_pem(file: Path, setting: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}, which {setting} names, cannot be read: {error}.") from error
