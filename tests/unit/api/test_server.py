"""Where the API listens: two servers with default settings run side by side."""

from __future__ import annotations

import logging

import pytest

from labkit.api.server import listen
from labkit.errors import PortInUse

HERE = "127.0.0.1"


def test_a_second_server_takes_a_free_port_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "labkit.api")
    with listen(HERE, 0, wished=1) as first:
        taken = first.getsockname()[1]
        with listen(HERE, None, wished=taken) as second:
            other = second.getsockname()[1]
            assert other != taken
        assert [record.getMessage() for record in caplog.records] == [
            f"Port {taken} is in use by another program, so the API is at port {other}."
        ]


def test_a_port_that_is_free_is_taken_as_wished(caplog: pytest.LogCaptureFixture) -> None:
    with listen(HERE, 0, wished=1) as first:
        port = first.getsockname()[1]
    with listen(HERE, None, wished=port) as again:
        assert again.getsockname()[1] == port
    assert not caplog.records


def test_a_port_that_is_named_is_taken_or_refused() -> None:
    with listen(HERE, 0, wished=1) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port}"):
            listen(HERE, port, wished=port)


def test_an_address_that_is_not_of_this_machine_is_refused() -> None:
    with pytest.raises(PortInUse, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", None, wished=0)
