"""Where the API listens: two servers with default settings run side by side; and that it ends in bounded time."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI

from labkit.api import server
from labkit.api.messages.daemon_thread import on_daemon_thread
from labkit.api.security import Access
from labkit.api.server import ApiServer, listen
from labkit.cli.api_command import _in_shell
from labkit.errors import PortInUse, ServerFailed
from labkit.settings import Settings
from tests.conditions import PATIENCE, in_time

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


@pytest.fixture
def may_end() -> threading.Event:
    return threading.Event()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, may_end: threading.Event) -> ApiServer:
    """One without services, whose application does not end before it may."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = SimpleNamespace(end_waits=lambda: None)
        yield
        await on_daemon_thread(may_end.wait)

    monkeypatch.setattr(server, "make_app", lambda *_: FastAPI(lifespan=lifespan))
    return ApiServer(None, port=0, access=Access(token=None), settings=Settings(_env_file=None))


def test_a_token_of_any_signs_comes_through_in_the_address_and_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    token = """a&b#c d"e'f$HOME`g`!+%"""
    monkeypatch.setattr(server, "make_app", lambda *_: FastAPI())
    one = ApiServer(None, port=0, access=Access(token=token), settings=Settings(_env_file=None))
    try:
        assert parse_qs(urlsplit(one.page).query) == {"token": [token]}
        assert not urlsplit(one.page).fragment
    finally:
        one.start()
        one.stop()
    typed = _in_shell(token)
    assert subprocess.check_output(f"printf %s {typed}", shell=True, text=True) == f"Authorization: Bearer {token}"
    assert _in_shell("secret") == '"Authorization: Bearer secret"'


def test_a_server_that_does_not_end_is_left_behind_which_is_said(
    api: ApiServer, may_end: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.start()
    monkeypatch.setattr(server, "STOP_TIMEOUT", 0.1)
    with pytest.raises(ServerFailed, match=r"did not stop within 0\.1 s, and its thread is left behind"):
        in_time(api.stop)
    may_end.set()
    monkeypatch.setattr(server, "STOP_TIMEOUT", PATIENCE)
    api.stop()


def test_what_may_not_end_is_on_a_thread_that_keeps_no_process_from_its_end() -> None:
    assert asyncio.run(on_daemon_thread(lambda: threading.current_thread().daemon))


def test_what_nobody_waits_for_any_more_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    may_end, has_ended = threading.Event(), threading.Event()

    def call() -> None:
        may_end.wait(PATIENCE)
        has_ended.set()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await on_daemon_thread(call)

    asyncio.run(give_up())
    may_end.set()
    assert has_ended.wait(PATIENCE)
    assert not caplog.records
