"""The application: routes, guards, errors and the services behind them."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labkit.api.job_routes import job_creation, jobs
from labkit.api.message_routes import message_creation, messages
from labkit.api.messages import queue_names
from labkit.api.openapi import describe
from labkit.api.problems import add_handlers
from labkit.api.query_parameters import check_query
from labkit.api.security import OPEN_PATHS, Access, BodyLimit, Guard
from labkit.api.services import Services
from labkit.api.system_routes import system
from labkit.lab import Lab
from labkit.settings import Settings

log = logging.getLogger("labkit.api")

DESCRIPTION = (
    "Jobs and messages over HTTP, on Apache Kafka. Every error is problem+json (RFC 9457); what is too much now is "
    "answered by 429 with Retry-After."
)


def make_app(lab: Lab, settings: Settings, access: Access) -> FastAPI:
    """The application for this lab. Its `state.failure` is what its start failed with."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with Services(lab, settings) as services:
                app.state.services = services
                yield
        except BaseException as error:
            app.state.failure = error
            raise

    app = FastAPI(
        title="labkit",
        version=version("labkit"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # they would load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.failure = None
    app.state.routers = (message_creation, messages, job_creation, jobs, system)
    for router in app.state.routers:
        app.include_router(router, dependencies=[Depends(check_query)])
    add_handlers(app)
    # the last one added is the first one asked
    app.add_middleware(BodyLimit)
    app.add_middleware(Guard, access=access)
    app.add_middleware(_AccessLog)
    describe(app, queue_names(settings), with_token=access.token is not None, open_paths=OPEN_PATHS)
    return app


class _AccessLog:
    """One line per request, without its query, in which the token may stand."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                took = (time.perf_counter() - began) * 1000
                log.info("%s %s %d, %.1f ms", scope["method"], scope["path"], message["status"], took)
            await send(message)

        await self._app(scope, receive, send_and_note)
