"""Query parameters and bodies that an operation does not have are refused: `acks=explicit` would be heard as nothing at
all, and so would `{"ack": "explicit"}` where no body is read.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastapi import Request

from labkit.api.problems import encodable, unfit, unknown_name
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
        raise unfit(mistakes)


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
    return unknown_name("parameter", name, known)
