"""Every error as problem+json (RFC 9457): what happened and what to do, and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from labkit.api.limits import MAX_BATCH
from labkit.errors import (
    BadGroupName,
    BadJobId,
    DeadlineExceeded,
    IndexLost,
    LabkitError,
    MessageTooLarge,
    NotAMessage,
    RedisRefused,
    StaleLease,
    StoreInUse,
    TooManyGroups,
    TransportError,
    TryAgainLater,
    UnknownMessage,
    UnknownQueue,
)

log = logging.getLogger("labkit.api")


def allowed_methods(request: Request) -> list[str]:
    """The methods of all routes whose path is that of the request, sorted."""
    methods: set[str] = set()
    for route in (route for router in request.app.state.routers for route in router.routes):
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= set(getattr(route, "methods", None) or ())
    return sorted(methods)


MEDIA_TYPE = "application/problem+json"

#: What a client cannot try again as it is: its own mistakes, and keys of ours that are another program's. By the status
#: and the name of the problem.
LASTING: dict[type[LabkitError], tuple[int, str]] = {
    BadGroupName: (422, "invalid"),
    BadJobId: (422, "invalid"),
    NotAMessage: (422, "invalid"),
    UnknownQueue: (422, "unknown-queue"),
    MessageTooLarge: (413, "too-large"),
    UnknownMessage: (404, "unknown-message"),
    StaleLease: (409, "stale-lease"),
    RedisRefused: (500, "redis-refused"),
}
#: What a client may try again as it is, in a moment.
PASSING: dict[type[LabkitError], tuple[int, str]] = {
    TooManyGroups: (429, "too-many-groups"),
    TransportError: (503, "unavailable"),
    TryAgainLater: (503, "unavailable"),
    StoreInUse: (503, "unavailable"),
    IndexLost: (503, "unavailable"),
    DeadlineExceeded: (503, "unavailable"),
}
#: After how many seconds, where nothing better is known.
RETRY_AFTER = 1

#: Of the mistakes in one request, so many are told.
MOST_MISTAKES = 20


class Problem(Exception):
    """An answer that is an error. `name` makes the problem's type, `urn:labkit:<name>`; `more` are further members."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.name = name
        self.headers = dict(headers or {})
        self.more = more

    @property
    def title(self) -> str:
        """What the status means, in HTTP's words."""
        return HTTPStatus(self.status).phrase

    def response(self) -> JSONResponse:
        """The answer as it goes out."""
        body = {
            "type": f"urn:labkit:{self.name}" if self.name else "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": encodable(self.detail),
            **self.more,
        }
        return JSONResponse(body, self.status, headers=self.headers, media_type=MEDIA_TYPE)


def later(status: int, detail: str, *, seconds: int = RETRY_AFTER, name: str | None = None) -> Problem:
    """A problem that passes: the client is told in how many seconds to try again."""
    return Problem(status, detail, name=name, headers={"Retry-After": str(seconds)})


def encodable(text: str) -> str:
    """The text with what UTF-8 cannot hold (a lone surrogate, which JSON can name) written as an escape."""
    return text.encode(errors="backslashreplace").decode()


def add_handlers(app: FastAPI) -> None:
    """Have the application answer each of its errors by a problem."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(RequestValidationError, _of_mistakes)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(LabkitError, _of_labkit)
    app.add_exception_handler(ClientDisconnect, _of_nobody)
    app.add_exception_handler(Exception, _of_defect)


def _of_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return error.response()


def _of_mistakes(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "too_long" and tuple(one["loc"]) == ("body",) for one in found):
        return Problem(413, f"At most {MAX_BATCH} messages fit in one request.", name="too-large").response()
    if any(one["type"] == "json_invalid" for one in found):
        return Problem(400, "The body is not JSON.", name="not-json").response()
    if _body_is_no_json(request, found):
        return Problem(
            415, "The body must be JSON. Send the header `Content-Type: application/json`.", name="not-json"
        ).response()
    known = _fields_of_body(request)
    return unfit(
        {"where": _where(one["loc"]), "what": encodable(_what(one, known))} for one in found[:MOST_MISTAKES]
    ).response()


def unfit(mistakes: Iterable[dict[str, str]]) -> Problem:
    """Of a request in which this does not fit, and where; one mistake at least."""
    told = list(mistakes)
    sentence = f"The request does not fit: {told[0]['where']}: {told[0]['what']}"
    return Problem(422, sentence if sentence.endswith("?") else f"{sentence}.", name="invalid", mistakes=told)


def unknown_name(what: str, name: str, known: Sequence[str]) -> str:
    """That there is no such `what`, and which one may be meant, or which there are."""
    if close := get_close_matches(name, known, n=1):
        return f"there is no such {what}; did you mean {close[0]}?"
    return f"there is no such {what}; {'there are ' + ', '.join(known) if known else 'none is read here'}"


def _what(mistake: Mapping[str, Any], fields: Sequence[str]) -> str:
    if mistake["type"] == "extra_forbidden":
        return unknown_name("field", str(mistake["loc"][-1]), fields)
    return str(mistake["msg"]).removeprefix("Value error, ")


def _fields_of_body(request: Request) -> Sequence[str]:
    """What the body that is read here has, or each part of it where it is a list."""
    read = getattr(request.scope.get("route"), "body_field", None)
    if read is None:
        return ()
    kind = read.field_info.annotation
    return list(getattr(next(iter(get_args(kind)), kind), "model_fields", ()))


def _body_is_no_json(request: Request, found: Sequence[Any]) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    about_body = any(tuple(one["loc"]) == ("body",) and one["type"] != "missing" for one in found)
    return about_body and not (kind == "application/json" or kind.endswith("+json"))


def _where(places: Sequence[object]) -> str:
    return encodable("/".join(str(place) for place in places))


def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return Problem(404, "There is nothing at this address. `/openapi.json` lists what there is.").response()
    if error.status_code == 405:
        allowed = ", ".join(allowed_methods(request))
        return Problem(405, f"Here the methods are: {allowed}.", headers={"Allow": allowed}).response()
    if error.status_code == 400:  # FastAPI's word for a body that it could not even begin to read, as one too deep
        return Problem(400, "The body is not JSON, or JSON within JSON too often.", name="not-json").response()
    return Problem(error.status_code, str(error.detail), headers=error.headers).response()


def _of_labkit(_: Request, error: Exception) -> JSONResponse:
    for kind in type(error).__mro__:
        if kind in LASTING:
            status, name = LASTING[kind]
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.error("%s", error)  # whoever runs the server is to mend it
            return Problem(status, str(error), name=name).response()
        if kind in PASSING:
            status, name = PASSING[kind]
            return later(status, str(error), name=name).response()
    raise error  # a defect: the outermost handler answers, and the log has it


def _of_nobody(_: Request, error: Exception) -> JSONResponse:
    """A client that has gone before its request was whole; this is for the log of requests."""
    return Problem(400, "The request broke off.").response()


def _of_defect(_: Request, error: Exception) -> JSONResponse:
    return Problem(500, "The server could not do that. Its log says why.", name="defect").response()
