"""The server itself: its start, its end, its health, and that it says nothing of its insides."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from uuid import UUID

import httpx
import pytest

from labkit.api import live_overview
from labkit.api.bounded_connection import connection_limit
from labkit.api.client import ApiClient
from labkit.api.security import Access
from labkit.api.server import ApiServer
from labkit.errors import ApiUnreachable, PortInUse
from labkit.taskqueue.timeouts import wait_until


@pytest.fixture(scope="module")
def server(lab, api_settings):
    with ApiServer(lab, port=0, access=Access(token=None), settings=api_settings) as running:
        yield running


def test_health_needs_no_token(api):
    assert httpx.get(f"{api.url}/health/live", timeout=120).json() == {"status": "alive"}
    assert httpx.get(f"{api.url}/health/ready", timeout=120).json() == {"status": "ready"}


def test_the_description_needs_the_token(api):
    assert httpx.get(f"{api.url}/openapi.json", timeout=120).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("DELETE", "/jobs", 405), ("GET", "/message/create", 405), ("PUT", "/message/poll", 405)],
)
def test_every_error_is_a_problem(server, method, path, status):
    answer = httpx.request(method, server.url + path, timeout=120)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_the_methods_of_an_address_are_those_of_all_its_routes(server):
    assert httpx.options(f"{server.url}/jobs", timeout=120).headers["allow"] == "GET, POST"


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"1" * 5_000])
def test_what_is_no_json_is_400_or_422(server, body):
    answer = httpx.post(f"{server.url}/jobs", content=body, headers={"Content-Type": "application/json"}, timeout=120)
    assert answer.status_code in (400, 422)
    assert "Traceback" not in answer.text


def test_a_body_that_is_no_json_by_its_type_is_415(server):
    answer = httpx.post(f"{server.url}/jobs", data={"job_id": "1"}, timeout=120)
    assert answer.status_code == 415
    assert "Content-Type: application/json" in answer.json()["detail"]


def test_a_stop_ends_streams_in_order(lab, api_settings):
    ended = threading.Event()
    connected = threading.Event()

    def listen(url: str) -> None:
        with httpx.stream("GET", f"{url}/jobs/stream", timeout=120) as answer:
            for _ in answer.iter_bytes():
                connected.set()
        ended.set()

    with ApiServer(lab, port=0, access=Access(token=None), settings=api_settings) as running:
        listener = threading.Thread(target=listen, args=(running.url,))
        listener.start()
        assert connected.wait(60)
    assert ended.wait(60), "the stream was closed, not broken off"
    listener.join()


@pytest.mark.parametrize("path", ["/message/poll?topic=orders&wait=30", "/message/poll?wait=30"])
def test_a_stop_wakes_long_polls(lab, api_settings, path):
    heard: list[httpx.Response] = []

    def ask(url: str) -> None:
        heard.append(httpx.get(f"{url}{path}&group=waits", timeout=120))

    with ApiServer(lab, port=0, access=Access(token=None), settings=api_settings) as running:
        waiting = threading.Thread(target=ask, args=(running.url,))
        waiting.start()
        bell = running._app.state.services.queues._bell
        wait_until(lambda: any(line._line for line in list(bell._lines.values())), timeout=60, what="it was to wait")
    waiting.join(120)
    assert [answer.status_code for answer in heard] == [204]


def test_streams_are_bounded(lab, api_settings, monkeypatch):
    monkeypatch.setattr(live_overview, "MOST_STREAMS", 1)
    with ApiServer(lab, port=0, access=Access(token=None), settings=api_settings) as running:
        with httpx.stream("GET", f"{running.url}/overview/stream", timeout=120) as first:
            assert first.status_code == 200
            too_many = httpx.get(f"{running.url}/jobs/stream", timeout=120)
            assert (too_many.status_code, too_many.headers["retry-after"]) == (429, "1")
        services = running._app.state.services
        wait_until(lambda: not services.live._streams, timeout=60, what="a stream that is left was to count no more")


def test_a_port_that_is_taken_is_said(lab, api_settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            ApiServer(lab, port=port, access=Access(token=None), settings=api_settings)


def test_nobody_at_the_address_is_said():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with ApiClient(address, patience=0) as client, pytest.raises(ApiUnreachable, match="labkit api"):
            client.overview()


def test_a_flood_of_idle_and_slow_connections_keeps_nobody_out(api, client):
    """By the byte, against the process as it serves; the limits themselves are in the unit tests."""
    port = int(api.url.rpartition(":")[2])
    flood: list[socket.socket] = []
    try:
        for number in range(connection_limit() + 50):
            flood.append(socket.create_connection(("127.0.0.1", port), 60))
            if number % 2:
                flood[-1].sendall(b"GET /jobs HTTP/1.1\r\nHost: loc")
        assert client.overview().queues
        assert httpx.get(f"{api.url}/health/ready", timeout=120).status_code == 200
        for slow in flood:
            slow.settimeout(120)
            with suppress(ConnectionResetError):
                while slow.recv(4096):  # a 408, or nothing where it gave way or had said nothing
                    pass
    finally:
        for slow in flood:
            slow.close()
    assert httpx.get(f"{api.url}/health/live", timeout=120).status_code == 200
    assert api.alive()


@pytest.mark.parametrize("path", ["/jobs", "/message/poll", "/overview", "/jobs/1"])
def test_a_body_where_none_is_read_is_refused(server, path):
    answer = httpx.request("GET", server.url + path, json={"ack": "explicit"}, timeout=120)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:labkit:invalid")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs", {"job_id": 5, "state": "NEW"}),
        (
            "/message/create",
            [
                {
                    "timestamp": "2026-01-31T12:00:00Z",
                    "title": "t",
                    "body": "b",
                    "topic": "orders",
                    "author": str(UUID(int=1)),
                    "to": "x",
                }
            ],
        ),
        (f"/message/{UUID(int=1)}/ack", {"lease": "x", "group": "g"}),
        (f"/message/{UUID(int=1)}/nack", {"lease": "x", "group": "g"}),
    ],
)
def test_fields_that_a_body_does_not_have_are_refused_everywhere(server, path, body):
    answer = httpx.post(server.url + path, json=body, timeout=120)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:labkit:invalid")
    assert all(mistake["what"].startswith("there is no such field; ") for mistake in answer.json()["mistakes"])
