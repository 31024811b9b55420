"""The addresses of brokers as a setting names them: host:port, with commas between."""

from __future__ import annotations

import re

#: Where a Kafka listens of which nothing else is said.
PORT = 9092

_ADDRESS = re.compile(
    r"((SASL_)?(PLAINTEXT|SSL)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:,/\[\]]+)(:(?P<port>[0-9]{1,5}))?", re.IGNORECASE
)


def broker_addresses(text: str) -> str:
    """The same as host:port each, which all clients read: some take a protocol before it too, or no port.

    Raises `ValueError` for what is no address.
    """
    brokers = []
    for one in text.split(","):
        found = _ADDRESS.fullmatch(one.strip())
        port = 0 if found is None else int(found["port"] or PORT)
        if found is None or not 1 <= port <= 65535:
            raise ValueError(f"{one!r} is not host:port; write those of several brokers with commas between")
        brokers.append(f"{found['host']}:{port}")
    return ",".join(brokers)
