"""What the API answers when a topic of its queues is made anew, and when it is deleted for good."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from labkit.api.client import ApiClient, new_message
from labkit.errors import ApiRefused
from labkit.taskqueue import Topics
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import connect_transport
from tests.conditions import PATIENCE
from tests.integration.api.conftest import TOKEN

AUTHOR = UUID("6f1f4c50-6f3f-4d3a-9b6f-3c1f0c0e7a11")


@pytest.fixture
def topics(lab, api_settings):
    with Topics(connect_transport(lab.connection, "kafka-python"), prefix=api_settings.topic_prefix) as topics:
        yield topics


def some(count: int, topic: str = "orders") -> list:
    return [new_message(topic, f"message {number}", author=AUTHOR) for number in range(count)]


def poll_all(client: ApiClient, count: int) -> list[UUID]:
    """So many, and all others that are there then."""
    found: list[UUID] = []

    def came() -> bool:
        while (got := client.poll("orders", group="g")) is not None:
            found.append(got.id)
        return len(found) >= count

    wait_until(came, timeout=PATIENCE, what=f"{count} messages were to be polled")
    return found


@pytest.mark.long
def test_a_topic_made_anew_and_one_that_is_gone(api, client, topics):
    old = client.create(some(10))
    assert sorted(poll_all(client, 10)) == sorted(old)
    topics.recreate("orders", partitions=1)
    new = client.create(some(10))
    assert sorted(poll_all(client, 10)) == sorted(new)

    topics.delete("orders")
    with ApiClient(api.url, token=TOKEN, patience=0) as impatient:

        def is_said() -> bool:
            with pytest.raises(ApiRefused, match=r"'orders' of this queue is gone: somebody has deleted it"):
                impatient.create(some(1))
            try:
                impatient.poll("orders", group="g")
            except ApiRefused as error:
                return "'orders' of this queue is gone" in str(error)
            return False

        wait_until(is_said, timeout=PATIENCE, what="the topic was to be named")
        impatient.create(some(1, "emails"))
    assert httpx.get(f"{api.url}/health/ready", timeout=PATIENCE).status_code == 200
    answer = httpx.get(
        f"{api.url}/message/poll?topic=orders", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE
    )
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:labkit:unavailable")

    topics.create("orders", partitions=2)
    again = client.create(some(10))
    assert sorted(poll_all(client, 10)) == sorted(again)
