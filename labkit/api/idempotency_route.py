"""The header Idempotency-Key after draft-ietf-httpapi-idempotency-key-header-07: the same request has one effect.

    no key, though one is required   400      another request under the same key   422
    the first is still in progress   409      it was answered                      the same answer again

Answers are kept for 24 h, see `IdempotencyKeys`. A request that was refused leaves nothing behind, so that it can be
mended and sent again under the same key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from labkit.api.messages import Begun, IdempotencyKeys, InFlight, Mismatch, Replay
from labkit.api.problems import Problem, later

HEADER = "Idempotency-Key"
#: The answer that was kept says so by this header.
REPLAYED = "Idempotency-Replayed"

#: What a key may be: printable ASCII in quotes, as a structured header has it (RFC 8941), or, as many clients write it,
#: without them.
KEY_PATTERN = r'^("[!#-\[\]-~]{1,255}"|[!#-\[\]-~]{1,255})$'

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class IdempotentRoute(APIRoute):
    """A route that heeds the header."""

    def get_route_handler(self) -> Handler:
        """The handler of the route with the key looked up before it and the answer kept after it."""
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            services = request.app.state.services
            key = key_of(request.headers.getlist(HEADER), required=services.settings.api_require_key)
            if key is None:
                return await handle(request)
            return await _once(services.keys, key, request, handle)

        return once


def key_of(given: list[str], *, required: bool) -> str | None:
    """The key in the header's values, None where there is none; raises `Problem`."""
    if not given:
        if required:
            raise Problem(
                400,
                f'This server asks for the header {HEADER}: "…" with a value that is new for every new request, '
                "as a UUID; a repeated request brings the same one.",
                name="key-missing",
            )
        return None
    if len(given) != 1 or not re.fullmatch(KEY_PATTERN, given[0].strip()):
        raise Problem(
            400,
            f"{HEADER} must be one text of 1 to 255 printable ASCII characters in quotes, without spaces.",
            name="key-malformed",
        )
    return given[0].strip().strip('"')


async def fingerprint_of(request: Request) -> str:
    """What a request is, in a hash: method, address and body."""
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode())
    digest.update(await request.body())
    return digest.hexdigest()


async def _once(keys: IdempotencyKeys, key: str, request: Request, handle: Handler) -> Response:
    fingerprint = await fingerprint_of(request)
    match await keys.begin(key, fingerprint):
        case Replay(answer=answer):
            return _unpacked(answer)
        case Mismatch():
            raise Problem(422, f"This {HEADER} was used for another request.", name="key-reused")
        case InFlight():
            raise later(409, f"The first request with this {HEADER} is still in progress.", name="key-in-flight")
        case Begun():
            return await _performed(keys, key, lambda: handle(request))


async def _performed(keys: IdempotencyKeys, key: str, perform: Callable[[], Awaitable[Response]]) -> Response:
    try:
        answer = await perform()
    except BaseException:
        await keys.give_back(key)
        raise
    await keys.finish(key, _packed(answer))
    return answer


def _packed(answer: Response) -> str:
    return json.dumps({"status": answer.status_code, "body": bytes(answer.body).decode()})


def _unpacked(packed: str) -> Response:
    answer = json.loads(packed)
    return Response(answer["body"], answer["status"], media_type="application/json", headers={REPLAYED: "true"})
