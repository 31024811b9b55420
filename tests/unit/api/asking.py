"""Ask an application without a server: httpx over ASGI, one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
from starlette.types import ASGIApp


class Asking:
    """`ask.get("/")` and the like, for an application without a lifespan."""

    def __init__(self, app: ASGIApp, base_url: str = "http://127.0.0.1:8000") -> None:
        self._app = app
        self._base_url = base_url

    def request(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer; content that is no bytes is sent in chunks."""
        return asyncio.run(self._request(method, path, **request))

    def get(self, path: str, **request: Any) -> httpx.Response:
        """The answer to GET."""
        return self.request("GET", path, **request)

    def post(self, path: str, **request: Any) -> httpx.Response:
        """The answer to POST."""
        return self.request("POST", path, **request)

    async def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        content = request.pop("content", None)
        if content is not None and not isinstance(content, bytes):
            content = _chunks(content)
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=self._base_url) as client:
            return await client.request(method, path, content=content, **request)


async def _chunks(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
