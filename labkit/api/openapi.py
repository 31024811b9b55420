"""The description of the API: which errors each operation may answer with, and the names of the queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from labkit.api.models import ProblemOut
from labkit.api.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

_REASONS = {
    400: "What came is not HTTP or JSON as it should be",
    401: "The token is missing or wrong",
    403: "The Host header or the page that asks is not allowed",
    404: "There is no such thing",
    405: "The address does not have this method",
    409: "It is in progress, or not there yet, or the lease is over",
    413: "Too many messages, or too large",
    415: "The body is not JSON",
    422: "A value does not fit",
    429: "The queue is full; Retry-After says when to try again",
    500: "A defect of the server; its log says more",
    503: "Kafka, Redis or the store is away; try again",
}
#: Those that come with a time.
_PASSING = (409, 429, 503)
#: What every operation behind the token may answer.
_COMMON = (400, 401, 403, 404, 405, 413, 422, 500, 503)

_RETRY_AFTER = {"Retry-After": {"description": "in so many seconds", "schema": {"type": "integer", "minimum": 1}}}


def problems(*statuses: int) -> Responses:
    """These errors and those that every operation has, for `responses=`."""
    return {status: _described(status) for status in sorted({*_COMMON, *statuses})}


def open_problems(*statuses: int) -> Responses:
    """The errors of an operation that needs no token."""
    return {status: _described(status) for status in sorted({400, 403, 404, 405, 413, 500, *statuses})}


def _described(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": _REASONS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemOut.__name__}"}}},
    }
    return described | ({"headers": _RETRY_AFTER} if status in _PASSING else {})


def describe(app: FastAPI, queues: Iterable[str], *, with_token: bool, open_paths: Iterable[str]) -> None:
    """Complete what FastAPI found out by itself, once, before the application serves."""
    described = app.openapi()
    schemas = described["components"]["schemas"]
    schemas[ProblemOut.__name__] = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schemas[ProblemOut.__name__].pop("$defs", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    names = list(queues)
    schemas["MessageIn"]["properties"]["topic"] |= {"enum": names}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
                if parameter["name"] == "topic":
                    parameter["schema"] |= {"enum": names}
            if with_token and path not in open_paths:
                operation["security"] = [{"token": []}, {"query": []}]
    if with_token:
        described["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "query": {"type": "apiKey", "in": "query", "name": "token"},
        }


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without null: a parameter is left out instead, and the text "null" is no null."""
    choices: list[dict[str, Any]] = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | choices[0]
