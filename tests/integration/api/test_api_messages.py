"""Messages over HTTP, with Kafka and Redis behind it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx
import pytest

from labkit.api.api_process import ApiProcess
from labkit.api.client import ApiClient, new_message
from labkit.errors import ApiRefused
from labkit.redis_state import redis_client
from labkit.taskqueue import Topics
from labkit.taskqueue.transport import connect_transport
from tests.integration.api.conftest import TOKEN

AUTHOR = UUID("6f1f4c50-6f3f-4d3a-9b6f-3c1f0c0e7a11")
ALLOWED = {"Authorization": f"token {TOKEN}"}


def some(topic: str, count: int, name: str = "") -> list:
    name = name or uuid4().hex
    return [new_message(topic, f"{name} {number}", "a body", author=AUTHOR) for number in range(count)]


def as_json(messages: list) -> list[dict[str, str]]:
    return [message.payload() for message in messages]


def post(api: ApiProcess, path: str, json: object, **headers: str) -> httpx.Response:
    return httpx.post(api.url + path, json=json, headers=ALLOWED | headers, timeout=120)


def on_kafka(lab, settings, topic: str) -> int:
    with Topics(connect_transport(lab.connection, "kafka-python"), prefix=settings.topic_prefix) as topics:
        return sum(topics.end_offsets(topic).values())


def test_the_way_of_a_message(client):
    (message,) = some("orders", 1)
    (created,) = client.create([message])
    assert client.journey(created).station == "queued"
    delivery = client.poll("orders", group="way", wait=30, ack="explicit")
    assert (delivery.id, delivery.message.title, delivery.deliveries) == (created, message.title, 1)
    assert client.journey(created).station == "delivered"
    client.ack(delivery)
    journey = client.journey(created)
    assert journey.station == "acknowledged"
    assert (journey.partition, journey.offset) == (delivery.partition, delivery.offset)


def test_ids_come_in_order_and_the_same_message_is_queued_once(client, lab, api_settings):
    messages = some("emails", 7)
    ids = client.create(messages)
    before = on_kafka(lab, api_settings, "emails")
    assert client.create(messages[::-1]) == ids[::-1]
    assert on_kafka(lab, api_settings, "emails") == before


def test_all_or_nothing(api, lab, api_settings):
    before = on_kafka(lab, api_settings, "reports")
    messages = as_json(some("reports", 3))
    messages[2]["author"] = "nobody"
    answer = post(api, "/message/create", messages)
    assert answer.status_code == 422
    assert answer.json()["mistakes"][0]["where"] == "body/2/author"
    assert on_kafka(lab, api_settings, "reports") == before


def test_no_message_is_204_and_an_unknown_queue_422(api):
    query = {"topic": "reports", "group": f"g{uuid4().hex}"}
    nope = query | {"topic": "nope"}
    assert httpx.get(f"{api.url}/message/poll", params=nope, headers=ALLOWED, timeout=120).status_code == 422
    empty = httpx.get(f"{api.url}/message/poll", params=query, headers=ALLOWED, timeout=120)
    assert (empty.status_code, empty.content) == (204, b"")


def test_the_default_acknowledges_with_the_answer(client):
    (created,) = client.create(some("orders", 1))
    group = f"g{uuid4().hex}"
    deliveries = []
    while created not in [delivery.id for delivery in deliveries]:
        deliveries.append(client.poll("orders", group=group, wait=30))
    deliveries += iter(lambda: client.poll("orders", group=group), None)
    assert [delivery.id for delivery in deliveries].count(created) == 1
    assert {delivery.lease for delivery in deliveries} == {None}


def test_what_is_given_back_comes_again_and_its_old_lease_is_409(client):
    (created,) = client.create(some("orders", 1))
    group = f"g{uuid4().hex}"
    while (first := client.poll("orders", group=group, wait=30, ack="explicit")).id != created:
        client.ack(first)
    client.nack(first)
    second = client.poll("orders", group=group, wait=30, ack="explicit")
    assert (second.id, second.deliveries) == (created, 2)
    with pytest.raises(ApiRefused) as caught:
        client.ack(first)
    assert (caught.value.status, caught.value.type) == (409, "urn:labkit:stale-lease")
    client.ack(second)


def test_an_unknown_message_is_404(client):
    with pytest.raises(ApiRefused) as caught:
        client.journey(uuid4())
    assert caught.value.status == 404


def test_a_key_replays_the_first_answer(api):
    messages, key = as_json(some("emails", 2)), f'"{uuid4()}"'
    first = post(api, "/message/create", messages, **{"Idempotency-Key": key})
    again = post(api, "/message/create", messages, **{"Idempotency-Key": key.strip('"')})
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_a_key_for_another_request_is_422_and_one_of_a_refused_request_is_free(api):
    key = {"Idempotency-Key": str(uuid4())}
    wrong, right = as_json(some("emails", 1)), as_json(some("emails", 1))
    wrong[0]["topic"] = "nope"
    assert post(api, "/message/create", wrong, **key).status_code == 422
    assert post(api, "/message/create", right, **key).status_code == 200
    reused = post(api, "/message/create", as_json(some("emails", 1)), **key)
    assert (reused.status_code, reused.json()["type"]) == (422, "urn:labkit:key-reused")


@pytest.mark.long
def test_two_servers_and_many_senders_make_one_message(lab, api, api_settings):
    body = as_json(some("reports", 1))
    before = on_kafka(lab, api_settings, "reports")
    with ApiProcess(lab, token=TOKEN, settings=api_settings) as second, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda turn: post((api, second)[turn % 2], "/message/create", body), range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert on_kafka(lab, api_settings, "reports") == before + 1


def test_a_client_goes_on_with_the_server_that_is_left(lab, api, api_settings):
    with (
        ApiProcess(lab, token=TOKEN, settings=api_settings) as second,
        ApiClient(second.url, api.url, token=TOKEN) as client,
    ):
        messages = some("emails", 1)
        ids = client.create(messages)
        second.kill()
        assert client.create(messages) == ids


def test_a_key_of_another_program_is_a_problem_that_says_so_and_the_next_request_is_answered(api, lab, api_settings):
    with redis_client(lab.redis_url) as redis:
        redis.lpush(f"{api_settings.topic_prefix}labkit:api:key:theirs", "not ours")
    refused = post(api, "/message/create", as_json(some("orders", 1)), **{"Idempotency-Key": "theirs"})
    assert (refused.status_code, refused.json()["type"]) == (500, "urn:labkit:redis-refused")
    assert "LABKIT_TOPIC_PREFIX" in refused.json()["detail"]
    assert post(api, "/message/create", as_json(some("orders", 1)), **{"Idempotency-Key": "mine"}).is_success
