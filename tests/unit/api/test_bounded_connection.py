"""Connections by the byte, against the real server with an application of two lines: slow, idle, many, and not read."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Request, Response

from labkit.api import bounded_connection, server
from labkit.api.bounded_connection import MOST_CONNECTIONS, connection_limit
from labkit.api.problems import add_handlers
from labkit.api.security import Access
from labkit.api.server import ApiServer
from labkit.settings import Settings
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE

SHORT = 0.3
GET = b"GET /short HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW_BODY = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.services = SimpleNamespace(end_waits=lambda: None)
    yield


def application() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    add_handlers(app)

    @app.get("/short")
    async def short() -> str:
        return "here"

    @app.get("/early")
    @app.post("/early")
    async def early() -> str:
        return "answered before the body has come"

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @app.get("/large")
    async def large() -> Response:
        return Response(b"x" * 50_000_000)

    return app


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setattr(server, "make_app", lambda *_: application())
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    with ApiServer(None, port=0, access=Access(token=None), settings=settings) as running:  # type: ignore[arg-type]
        yield running


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(api: ApiServer, opened: ExitStack) -> socket.socket:
    return opened.enter_context(socket.create_connection(("127.0.0.1", api.port), PATIENCE))


def heard(connection: socket.socket) -> bytes:
    """All until the server closes."""
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def answer(connection: socket.socket) -> bytes:
    connection.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    return heard(connection)


def problem(said: bytes) -> tuple[int, str]:
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head.lower()
    found = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % found["status"])
    return found["status"], found["type"]


def open_at(api: ApiServer) -> int:
    return len(api._server.server_state.connections)


def test_who_sends_nothing_is_let_go(api: ApiServer, opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_connection, "HEAD_TIMEOUT", SHORT)
    assert heard(connect(api, opened)) == b""


def test_who_sends_a_head_slowly_is_told(api: ApiServer, opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_connection, "HEAD_TIMEOUT", SHORT)
    slow = connect(api, opened)
    slow.sendall(GET[:20])
    assert problem(heard(slow)) == (408, "urn:labkit:too-slow")


def test_so_is_one_whose_second_request_is_slow(
    api: ApiServer, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = connect(api, opened)
    monkeypatch.setattr(bounded_connection, "HEAD_TIMEOUT", SHORT)
    slow.sendall(GET + GET[:20])
    first, _, second = heard(slow).partition(b'"here"')
    assert first.startswith(b"HTTP/1.1 200 ")
    assert problem(second) == (408, "urn:labkit:too-slow")


def test_who_sends_a_body_slowly_is_told(
    api: ApiServer, opened: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bounded_connection, "BODY_TIMEOUT", SHORT)
    slow = connect(api, opened)
    slow.sendall(SLOW_BODY)
    assert problem(heard(slow)) == (408, "urn:labkit:too-slow")
    assert b"here" in answer(connect(api, opened))
    assert not caplog.records


def test_who_was_answered_before_the_body_came_holds_no_place_by_it(
    api: ApiServer, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_connection, "BODY_TIMEOUT", SHORT)
    slow = connect(api, opened)
    slow.sendall(SLOW_BODY.replace(b"/body", b"/early"))
    assert heard(slow).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: open_at(api) == 0, timeout=PATIENCE, what="the connection was to go")


def test_who_reads_nothing_of_the_answer_is_let_go(
    api: ApiServer, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_connection, "READ_TIMEOUT", SHORT)
    deaf = connect(api, opened)
    deaf.sendall(GET.replace(b"/short", b"/large"))
    wait_until(lambda: open_at(api) == 1, timeout=PATIENCE, what="it was to be connected")
    wait_until(lambda: open_at(api) == 0, timeout=PATIENCE, what="the connection was to go")


def test_a_slow_reader_who_reads_gets_all(api: ApiServer, opened: ExitStack) -> None:
    reader = connect(api, opened)
    reader.sendall(GET.replace(b"/short", b"/large").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert len(heard(reader).partition(b"\r\n\r\n")[2]) == 50_000_000


def test_a_flood_of_idle_connections_leaves_room(
    api: ApiServer, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_connection, "MOST_CONNECTIONS", 20)
    flood = [connect(api, opened) for _ in range(100)]
    for _ in range(3):
        assert b"here" in answer(connect(api, opened))
        assert open_at(api) <= 20
    assert heard(flood[0]) == b"", "the one that has waited longest gives way"


def test_where_all_have_a_request_in_work_a_new_one_is_refused_in_order(
    api: ApiServer, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_connection, "MOST_CONNECTIONS", 3)
    for _ in range(3):
        connect(api, opened).sendall(SLOW_BODY)
    at_work = api._server.server_state.tasks
    wait_until(lambda: len(at_work) == 3, timeout=PATIENCE, what="all were to be at work")
    late = connect(api, opened)
    late.sendall(GET)
    said = heard(late)
    assert problem(said) == (429, "urn:labkit:connections")
    assert b"retry-after: 1\r\n" in said.lower()


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\na b: c\r\n\r\n"]
)
def test_what_is_no_http_is_a_problem_too(api: ApiServer, opened: ExitStack, said: bytes) -> None:
    odd = connect(api, opened)
    odd.sendall(said)
    assert problem(heard(odd)) == (400, "urn:labkit:no-http")


def test_rubbish_behind_an_answer_ends_the_connection_in_order(
    api: ApiServer, opened: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    odd = connect(api, opened)
    odd.sendall(b"POST /early HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert odd.recv(65_536).startswith(b"HTTP/1.1 200 ")
    odd.sendall(b"no chunk\r\n\r\n")
    assert b"HTTP/1.1" not in heard(odd)
    assert [record.getMessage() for record in caplog.records] == ["Invalid HTTP request received."]


def test_half_of_the_files_are_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, limit in (
        (256, 128),
        (100_000, MOST_CONNECTIONS),
        (bounded_connection.resource.RLIM_INFINITY, MOST_CONNECTIONS),
    ):
        monkeypatch.setattr(bounded_connection.resource, "getrlimit", lambda _, files=files: (files, files))
        assert connection_limit() == limit
