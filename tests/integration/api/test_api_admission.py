"""A queue that is full tells its senders, until pollers have made room."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from labkit.api.client import ApiClient, new_message
from labkit.errors import ApiRefused
from labkit.taskqueue.timeouts import wait_until
from tests.integration.api.conftest import TOKEN

AUTHOR = UUID("6f1f4c50-6f3f-4d3a-9b6f-3c1f0c0e7a11")
API_SETTINGS = {"api_max_lag": 5, "api_require_key": True}
ALLOWED = {"Authorization": f"token {TOKEN}"}


def test_a_key_can_be_required(api):
    answer = httpx.post(f"{api.url}/jobs", json={}, headers=ALLOWED, timeout=120)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:labkit:key-missing")


def test_full_then_polled_then_open_again(api):
    with ApiClient(api.url, token=TOKEN, patience=0) as client:
        for number in range(5):
            client.create([new_message("orders", f"{number}", author=AUTHOR)])
        with pytest.raises(ApiRefused, match="orders is full") as caught:
            client.create([new_message("orders", "one more", author=AUTHOR)])
        assert caught.value.status == 429
        client.create([new_message("emails", "another queue", author=AUTHOR)])
        for _ in range(5):
            assert client.poll("orders", wait=30) is not None
        wait_until(
            lambda: client.overview().queues[0].unfinished < 5, timeout=120, what="the queue was to be seen as shorter"
        )
        assert client.create([new_message("orders", "now", author=AUTHOR)])


def test_a_patient_client_waits_as_long_as_it_is_told(api):
    pauses: list[float] = []
    taken: list[object] = []

    def make_room(seconds: float) -> None:
        pauses.append(seconds)
        while len(taken) < 5:
            if (delivery := poller.poll("reports", wait=30)) is not None:
                taken.append(delivery)
        wait_until(lambda: poller.overview().queues[2].unfinished < 5, timeout=120, what="there was to be room")

    with (
        ApiClient(api.url, token=TOKEN) as poller,
        ApiClient(api.url, token=TOKEN, patience=120, pause=make_room) as client,
    ):
        for number in range(6):
            client.create([new_message("reports", f"{number}", author=AUTHOR)])
    assert min(pauses, default=0.0) >= 1
