"""The outermost part of the application: what no answer can tell any more is told by a line of the log.

uvicorn would print a traceback of 70 lines for each request that was cut off, and for a start that failed for a reason
that labkit knows. What is a defect goes on to it.
"""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from labkit.api.problems import later
from labkit.errors import LabkitError
from labkit.logs.safe_logger import safe_logger

log = safe_logger("labkit.api")


class Backstop:
    """Around the application. ASGI."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and take what comes back as an error."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self._lifespan(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except asyncio.CancelledError:  # by uvicorn, which has waited long enough for it
            log.warning("%s %s was cut off, since the server ends.", scope["method"], scope["path"])
            if not started:
                await later(503, "The server ends.", name="unavailable").response()(scope, receive, send)
        except Exception as error:
            known = _known(error)
            if known is None:
                raise
            log.error("%s %s broke off: %s", scope["method"], scope["path"], known)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_words(message: Message) -> None:
            failure = getattr(self.app.state, "failure", None)
            if message["type"].endswith(".failed") and isinstance(failure, LabkitError):
                message["message"] = str(failure)
            await send(message)

        await self.app(scope, receive, send_in_words)


def _known(error: BaseException) -> LabkitError | None:
    """What labkit knows of it; None if there is anything else in it, as in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        found = [_known(one) for one in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, LabkitError) else None
