"""Who is let in, asked of the guard alone."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from labkit.api.security import ANSWER_HEADERS, Access, Guard, access_of, is_loopback
from labkit.errors import SettingsError
from labkit.settings import Settings
from tests.unit.api.asking import Asking

TOKEN = "schlüssel-1"


def client(access: Access) -> Asking:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    @app.get("/jobs")
    def answer() -> str:
        return "in"

    app.add_middleware(Guard, access=access)
    return Asking(app)


@pytest.fixture
def guarded() -> Asking:
    return client(Access(token=TOKEN))


@pytest.mark.parametrize("scheme", ["token", "Bearer", "bearer", "TOKEN"])
def test_the_token_opens_in_a_header(scheme):
    ask = client(Access(token=TOKEN))
    assert ask.get("/jobs", headers={"Authorization": f"{scheme} {TOKEN}".encode()}).status_code == 200


def test_the_token_opens_in_the_address(guarded):
    assert guarded.get("/jobs", params={"token": TOKEN}).status_code == 200


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Bearer x", f"Basic {TOKEN}", TOKEN])
def test_anything_else_is_401_and_says_what_to_do(guarded, given):
    answer = guarded.get("/jobs", headers={"Authorization": given.encode()})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "labkit api" in answer.json()["detail"]


def test_a_prefix_of_the_token_is_not_the_token(guarded):
    assert guarded.get("/jobs", params={"token": TOKEN[:-1]}).status_code == 401
    assert guarded.get("/jobs", params={"token": TOKEN + "x"}).status_code == 401
    assert guarded.get("/jobs", params={"token": ""}).status_code == 401


def test_the_page_needs_no_token(guarded):
    assert guarded.get("/").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:1234", "LOCALHOST", "[::1]:8000"])
def test_names_of_this_machine_are_answered(host):
    assert client(Access(token=None)).get("/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8000", "192.168.1.5", "", "[", "localhost.evil"]
)
def test_a_name_that_was_rebound_to_this_machine_is_not(host):
    answer = client(Access(token=None)).get("/", headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:labkit:host"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8888"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_pages_in_the_users_browser_cannot_ask(headers):
    """Also without a token: a link, a picture or a form of another page would bring no header of ours."""
    answer = client(Access(token=None)).get("/jobs", headers=headers)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:labkit:cross-site"


def test_our_own_page_can(guarded):
    headers = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert guarded.get("/jobs", params={"token": TOKEN}, headers=headers).status_code == 200


def test_a_link_to_the_page_works():
    answer = client(Access(token=None)).get("/", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/", "/jobs"])
def test_every_answer_has_the_headers_and_none_for_other_origins(guarded, path):
    answer = guarded.get(path, headers={"Origin": "http://evil.example"})
    assert {name: answer.headers[name] for name in ANSWER_HEADERS} == ANSWER_HEADERS
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_preflight_is_not_answered(guarded):
    answer = guarded.request(
        "OPTIONS", "/jobs", headers={"Origin": "http://x.example", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_only_on_loopback_can_the_token_be_off(host):
    with pytest.raises(SettingsError, match="can be reached from others"):
        Access(host=host, token=None)
    assert Access(host=host, token="t").token == "t"


def test_an_empty_token_is_refused():
    with pytest.raises(SettingsError, match="empty"):
        Access(token="")


def test_on_all_addresses_any_name_is_answered_with_the_token():
    guarded = client(Access(host="0.0.0.0", token="t"))
    assert guarded.get("/jobs", headers={"Host": "lab.example", "Authorization": "token t"}).status_code == 200
    assert guarded.get("/jobs", headers={"Host": "lab.example"}).status_code == 401


def test_the_token_is_that_of_the_settings_or_a_new_one():
    assert access_of(Settings(api_token="given")).token == "given"
    first, second = access_of(Settings(api_token=None)).token, access_of(Settings(api_token=None)).token
    assert first != second
    assert len(first) == 48
    assert access_of(Settings(api_token="given"), with_token=False).token is None


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
)
def test_loopback(host, loopback):
    assert is_loopback(host) is loopback
