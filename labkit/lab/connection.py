"""How to reach a Kafka cluster: addresses, security, and the prefix that one user's names begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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
