"""The limit on the size of a body, also where it comes in chunks that announce no length."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labkit.api.problems import Problem
from labkit.api.sizes import MAX_BODY

TOO_LARGE = f"The body is larger than {MAX_BODY:,} bytes. Send the messages in several requests."


class BodyLimit:
    """Answers 413 to a body that is too large, as soon as that is known. ASGI middleware.

    Starlette has such a middleware too; its answer is plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by a problem, or hand on and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > MAX_BODY:
            await Problem(413, TOO_LARGE, name="too-large").response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(413, TOO_LARGE)  # the one error that FastAPI lets through while it reads a body
            return message

        await self._app(scope, counted, send)
