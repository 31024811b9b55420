"""Errors as they reach a client: always problem+json, with what to do, never with a stack trace."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, field_validator

from labkit import errors
from labkit.api.problems import LASTING, PASSING, Problem, add_handlers, later
from tests.unit.api.asking import Asking


def answer_to(error: Exception):
    app = FastAPI()
    app.state.routers = (app.router,)

    @app.get("/")
    async def fail() -> None:
        raise error

    add_handlers(app)
    return Asking(app).get("/")


def test_a_problem_has_all_that_rfc_9457_asks_for():
    answer = answer_to(Problem(409, "It is there.", name="there", headers={"X-Y": "z"}, more=[1]))
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-y"] == "z"
    assert answer.json() == {
        "type": "urn:labkit:there",
        "title": "Conflict",
        "status": 409,
        "detail": "It is there.",
        "more": [1],
    }


def test_what_passes_says_when_to_try_again():
    assert answer_to(later(503, "Soon.", seconds=7)).headers["retry-after"] == "7"


@pytest.mark.parametrize(("kind", "told"), [*LASTING.items(), *PASSING.items()])
def test_errors_of_labkit_have_a_status(kind, told):
    answer = answer_to(kind("Do this."))
    assert (answer.status_code, answer.json()["type"]) == (told[0], f"urn:labkit:{told[1]}")
    assert answer.json()["detail"] == "Do this."
    assert ("retry-after" in answer.headers) == (kind in PASSING)


def test_a_more_special_error_has_the_status_of_its_kind():
    assert answer_to(errors.BrokerUnreachable()).status_code == 503


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), errors.LabkitError("secret")])
def test_a_defect_tells_nothing_about_itself(error):
    answer = answer_to(error)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    for word in ("secret", "Traceback", "ZeroDivision", ".py"):
        assert word not in answer.text


def test_a_text_that_utf8_cannot_hold_is_escaped():
    assert answer_to(Problem(422, "a \ud800 b")).json()["detail"] == "a \\ud800 b"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int

    @field_validator("number")
    @classmethod
    def small(cls, number: int) -> int:
        if number > 9:
            raise ValueError("write a small one")
        return number


@pytest.fixture
def reader():
    app = FastAPI()
    app.state.routers = (app.router,)

    @app.post("/one")
    async def one(part: Part) -> None: ...

    @app.post("/many")
    async def many(parts: list[Part]) -> None: ...

    add_handlers(app)
    return Asking(app)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/one", {"number": 1, "numbre": 2}, "body/numbre: there is no such field; did you mean number?"),
        ("/many", [{"number": 1, "colour": 2}], "body/0/colour: there is no such field; there are number."),
        ("/one", {"number": 10}, "body/number: write a small one."),
    ],
)
def test_a_body_that_does_not_fit_is_told_in_words_of_its_own(reader, path, body, told):
    answer = reader.post(path, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, f"The request does not fit: {told}")


@pytest.mark.parametrize("body", ["{", "[" * 100_000])
def test_what_is_no_json_or_too_deep_is_said_to_be_so(reader, body):
    answer = reader.post("/one", content=body.encode(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:labkit:not-json")
