"""The size of a body, whether it is announced or comes in chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Body, FastAPI

from labkit.api.limits import MAX_BODY
from labkit.api.problems import add_handlers
from labkit.api.security import BodyLimit
from tests.unit.api.asking import Asking

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client() -> Asking:
    app = FastAPI()

    @app.post("/")
    async def length(text: str = Body()) -> int:
        return len(text)

    add_handlers(app)
    app.add_middleware(BodyLimit)
    return Asking(app)


def body_of(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def in_chunks(body: bytes, size: int = 100_000) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize("send", [bytes, in_chunks], ids=["announced", "chunked"])
def test_the_largest_body_goes_in(client, send):
    answer = client.post("/", content=send(body_of(MAX_BODY)), headers=JSON)
    assert (answer.status_code, answer.json()) == (200, MAX_BODY - 2)


@pytest.mark.parametrize("send", [bytes, in_chunks], ids=["announced", "chunked"])
def test_one_byte_more_is_413(client, send):
    answer = client.post("/", content=send(body_of(MAX_BODY + 1)), headers=JSON)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert "several requests" in answer.json()["detail"]


def test_nothing_is_read_of_a_body_that_announces_too_much() -> None:
    answers: list[Any] = []

    async def never(*_: object) -> Any:
        raise AssertionError("it was read, or handed on")

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"%d" % (MAX_BODY + 1))]}
    asyncio.run(BodyLimit(never)(scope, never, send))
    assert answers[0]["status"] == 413
