"""Who may ask, and how much: the token, the Host header, requests that another site's page makes a browser send, and
the limit on the size of a body.

The token is given as to Jupyter: by the header `Authorization: token …` (or `Bearer …`), or by `?token=…`, since a
browser's EventSource cannot send headers. On the loopback address every web page of the user's browser could reach the
server too: by its address (refused by `Sec-Fetch-Site` and `Origin`), or by a name of its own that points to 127.0.0.1
(DNS rebinding, refused by the Host header). There are no CORS headers, so no other page can read an answer.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labkit.api.limits import MAX_BODY
from labkit.api.problems import Problem
from labkit.errors import SettingsError
from labkit.settings import Settings

LOOPBACK = "127.0.0.1"
#: What a Host header may name where the server listens on the loopback address only.
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

#: What needs no token: the page holds no data and asks for it, and probes of health have none.
OPEN_PATHS = frozenset({"/", "/health/live", "/health/ready"})

#: Headers of every answer; the page brings a policy of its own.
ANSWER_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the server listens and what it asks for. `token` None: nothing, which only loopback allows."""

    host: str = LOOPBACK
    token: str | None

    def __post_init__(self) -> None:
        if not self.host:
            raise SettingsError(f"Name an address by `--host`: {LOOPBACK} is for this machine only, 0.0.0.0 for all.")
        if self.token is None and not is_loopback(self.host):
            raise SettingsError(
                f"The token can be switched off only on this machine's own address, and {self.host} can be reached "
                f"from others. Leave the token on, or listen on {LOOPBACK}."
            )
        if self.token == "":
            raise SettingsError("The token of the API is empty. Set LABKIT_API_TOKEN to one, or leave it out.")


def access_of(settings: Settings, *, host: str = LOOPBACK, with_token: bool = True) -> Access:
    """What the settings ask for: their token, or else a new one. Raises `SettingsError`."""
    if not with_token:
        return Access(host=host, token=None)
    given = settings.api_token
    return Access(host=host, token=secrets.token_hex(24) if given is None else given.get_secret_value())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Lets in who may ask, and puts the headers on every answer. ASGI middleware."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._headers = [(name.encode(), value.encode()) for name, value in ANSWER_HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by a problem, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in self._headers if one[0] not in present)]
            await send(message)

        try:
            self._check(scope)
        except Problem as problem:
            await problem.response()(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if is_loopback(self._access.host):
            _check_host(headers)
        if scope["path"] in OPEN_PATHS:
            return
        _check_site(headers)
        if self._access.token is not None:
            _check_token(headers, scope["query_string"], self._access.token)


def _check_host(headers: Headers) -> None:
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        name = None
    if name not in LOOPBACK_NAMES:
        raise Problem(
            403, "This server answers to localhost and 127.0.0.1 only, and the Host header names another.", name="host"
        )


def _check_site(headers: Headers) -> None:
    """Browsers say where a request comes from; other clients say nothing."""
    site, origin = headers.get("sec-fetch-site", "none"), headers.get("origin")
    if site not in ("same-origin", "none") or (origin is not None and _host_of(origin) != headers.get("host")):
        raise Problem(403, "A page of another site asked for this. Only the page at / may.", name="cross-site")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _check_token(headers: Headers, query: bytes, token: str) -> None:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    candidates = [given.strip().encode("latin-1")] if scheme.lower() in ("token", "bearer") else []
    candidates += [one.encode() for one in parse_qs(query.decode("latin-1")).get("token", [])]
    if not any(secrets.compare_digest(one, token.encode()) for one in candidates):
        raise Problem(
            401,
            "The token is missing or wrong. `labkit api` prints it; send it as `Authorization: Bearer <token>`.",
            name="token",
            headers={"WWW-Authenticate": 'Bearer realm="labkit"'},
        )


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
