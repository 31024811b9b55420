"""What no answer can tell any more is a line of the log, and no traceback, unless it is a defect."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from labkit.api import server
from labkit.api.security import Access
from labkit.api.server import ApiServer
from labkit.errors import StoreFailed
from labkit.settings import Settings
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE

Serve = Callable[[FastAPI], ApiServer]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.failure = None
    app.state.services = SimpleNamespace(end_waits=lambda: None)
    yield


@pytest.fixture
def app() -> FastAPI:
    return FastAPI(lifespan=lifespan)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    def made(app: FastAPI) -> ApiServer:
        monkeypatch.setattr(server, "make_app", lambda *_: app)
        monkeypatch.setattr(server, "REQUEST_TIMEOUT", 1)
        return ApiServer(None, port=0, access=Access(token=None), settings=Settings(_env_file=None))  # type: ignore[arg-type, call-arg]

    return made


@pytest.mark.parametrize(("error", "is_told"), [(StoreFailed("It is away."), True), (ValueError("oh"), False)])
def test_a_stream_that_breaks_off(
    app: FastAPI, serve: Serve, caplog: pytest.LogCaptureFixture, error: Exception, is_told: bool
) -> None:
    @app.get("/stream", response_class=EventSourceResponse)
    async def stream() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(comment="there")
        raise error

    with serve(app) as api, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{api.url}/stream", timeout=PATIENCE)
    assert ("GET /stream broke off: It is away." in caplog.text) == is_told
    assert ("Traceback" not in caplog.text) == is_told


def test_a_request_that_does_not_end_when_the_server_does_is_answered(
    app: FastAPI, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    came = threading.Event()
    answers: list[httpx.Response] = []

    @app.get("/hang")
    async def hang() -> None:
        came.set()
        await asyncio.Event().wait()

    with serve(app) as api:
        asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{api.url}/hang", timeout=PATIENCE)))
        asking.start()
        assert came.wait(PATIENCE)
    wait_until(lambda: bool(answers), timeout=PATIENCE, what="it was to be answered")
    asking.join()
    assert answers[0].status_code == 503
    assert answers[0].json()["detail"] == "The server ends."
    assert "GET /hang was cut off" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_start_that_fails_for_a_known_reason(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def fails(app: FastAPI) -> AsyncIterator[None]:
        app.state.failure = StoreFailed("It is away.")
        app.state.services = SimpleNamespace(end_waits=lambda: None)
        raise app.state.failure
        yield

    with pytest.raises(StoreFailed, match="It is away"), serve(FastAPI(lifespan=fails)):
        pass
    assert "It is away." in caplog.text
    assert "Traceback" not in caplog.text
