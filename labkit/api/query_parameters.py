"""Query parameters and bodies that an operation does not have are refused: `acks=explicit` would be heard as nothing at
all, and so would `{"ack": "explicit"}` where no body is read.
"""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import Any

from fastapi import Request

from labkit.api.problems import Problem, encodable
from labkit.api.security import OPEN_PATHS

#: Where the token may stand in every address.
_TOKEN = "token"  # noqa: S105 - a name


async def check_query(request: Request) -> None:
    """Raise `Problem` for a parameter that this operation does not have, or has twice, and for a body where it reads
    none. A dependency of all routes.
    """
    if request.scope["path"] in OPEN_PATHS:
        return  # probes and links may have what they like
    operation = _operation(request)
    known = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
    given = Counter(name for name, _ in request.query_params.multi_items())
    mistakes = [
        {"where": f"query/{encodable(name)}", "what": what}
        for name, times in given.items()
        if (what := _mistake(name, times, known)) is not None
    ]
    if "requestBody" not in operation and _has_body(request):
        what = "there is none here; parameters go into the address"
        mistakes.append({"where": "body", "what": what})
    if mistakes:
        first = mistakes[0]
        raise Problem(
            422, f"The request does not fit: {first['where']}: {first['what']}.", name="invalid", mistakes=mistakes
        )


def _operation(request: Request) -> dict[str, Any]:
    """What `/openapi.json` says of it."""
    described: dict[str, Any] = request.app.openapi()["paths"][request.scope["route"].path_format]
    operation: dict[str, Any] = described[request.method.lower()]
    return operation


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0").strip("0") != ""


def _mistake(name: str, times: int, known: list[str]) -> str | None:
    if name in known and times > 1:
        return "give it once"
    if name in (*known, _TOKEN):
        return None
    if close := get_close_matches(name, known, n=1):
        return f"there is no such parameter; did you mean {close[0]}?"
    return f"there is no such parameter; {'there is none' if not known else 'there are ' + ', '.join(known)}"
