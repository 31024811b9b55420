"""Addresses of brokers in a setting."""

from __future__ import annotations

import pytest

from labkit.broker_addresses import broker_addresses


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("kafka", "kafka:9092"),
        ("a:1, b:2", "a:1,b:2"),
        ("SASL_SSL://broker.example:9093,ssl://b", "broker.example:9093,b:9092"),
        ("[::1]:9092,[::1]", "[::1]:9092,[::1]:9092"),
    ],
)
def test_each_is_a_host_and_a_port(text: str, addresses: str) -> None:
    assert broker_addresses(text) == addresses


@pytest.mark.parametrize("text", ["", "a:b", "a:0", "a:65536", "http://a:1", ":9092", "a:1,", "a b:1", "::1"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        broker_addresses(text)
