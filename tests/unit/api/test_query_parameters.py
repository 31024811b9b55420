"""Query parameters that an operation does not have."""

from __future__ import annotations

import pytest
from fastapi import Depends, FastAPI

from labkit.api.problems import add_handlers
from labkit.api.query_parameters import check_query
from tests.unit.api.asking import Asking


@pytest.fixture
def asked() -> Asking:
    app = FastAPI(dependencies=[Depends(check_query)])
    add_handlers(app)

    @app.get("/poll/{place:path}")
    async def poll(place: str, topic: str, ack: str = "auto") -> str:
        return f"{place} {topic} {ack}"

    @app.get("/bare")
    @app.get("/health/live")
    async def bare() -> str:
        return "bare"

    return Asking(app)


@pytest.mark.parametrize(
    ("query", "where", "what"),
    [
        ("topic=a&acks=explicit", "query/acks", "there is no such parameter; did you mean ack?"),
        ("colour=red", "query/colour", "there is no such parameter; there are topic, ack"),
        ("topic=a&topic=b", "query/topic", "give it once"),
        ("topic=a&=b", "query/", "there is no such parameter; there are topic, ack"),
        ("topic=a&place=b", "query/place", "there is no such parameter; there are topic, ack"),
    ],
)
def test_it_is_refused_by_name(asked: Asking, query: str, where: str, what: str) -> None:
    answer = asked.get(f"/poll/x?{query}")
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:labkit:invalid"
    assert answer.json()["detail"] == f"The request does not fit: {where}: {what}{'' if what.endswith('?') else '.'}"
    assert answer.json()["mistakes"] == [{"where": where, "what": what}]


def test_where_there_is_none_that_is_said(asked: Asking) -> None:
    assert "none is read here" in asked.get("/bare?x=1").json()["detail"]


@pytest.mark.parametrize("path", ["/poll/x?topic=a&ack=b", "/poll/x?token=secret&topic=a", "/bare?token=", "/bare"])
def test_those_that_there_are_and_the_token_are_taken(asked: Asking, path: str) -> None:
    assert asked.get(path).status_code == 200


def test_probes_may_have_what_they_like(asked: Asking) -> None:
    assert asked.get("/health/live?now=17").status_code == 200


@pytest.mark.parametrize("content", [b'{"ack": "explicit"}', [b"{}"]])
def test_a_body_where_none_is_read_is_refused(asked: Asking, content: bytes | list[bytes]) -> None:
    answer = asked.request("GET", "/poll/x?topic=a", content=content)
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "The request does not fit: body: there is none here; parameters go into the address."
    )


def test_an_empty_body_is_none(asked: Asking) -> None:
    assert asked.request("GET", "/poll/x?topic=a", headers={"Content-Length": "0"}).status_code == 200
