"""A group that polls no more costs next to nothing, its keys end, and it finds its place when it comes back."""

from __future__ import annotations

import asyncio

import pytest
import redis

from labkit.api.messages import MessageQueues, feeder
from labkit.api.messages.feeder import FIRST_READY
from labkit.api.messages.placement_scripts import BEGIN
from labkit.taskqueue.timeouts import wait_until
from tests.integration.api.messages.conftest import new_message

pytestmark = pytest.mark.anyio

MESSAGES = 3 * FIRST_READY
GROUPS = 5
#: How long one waits for what comes, in seconds.
WAIT = 60.0


@pytest.fixture
def client(lab):
    with redis.Redis.from_url(lab.redis_url) as client:
        yield client


def keys(client, prefix, what="*"):
    return [key.decode() for key in client.scan_iter(f"{prefix}labkit:api:{what}", count=1000)]


async def test_groups_that_polled_once_leave_their_place_only_and_all_keys_end(
    lab, make_settings, client, prefix, monkeypatch
):
    monkeypatch.setattr(feeder, "CLAIM", WAIT)  # they are fed also while this process has to wait for its turn
    async with MessageQueues(lab, make_settings()) as queues:
        await queues.create([new_message(number) for number in range(MESSAGES)])
        for number in range(GROUPS):
            assert await queues.poll("orders", f"g{number}", wait=WAIT, explicit=False)
        held = [client.hlen(key) for key in keys(client, prefix, "*:held")]
        assert held
        assert max(held) < 2 * FIRST_READY, "not all that there is, for one who may never come again"
        assert await queues.rest("orders") == 0, "they have polled lately"
        assert await queues.rest("orders", after=0) == 0, "they are still fed"
    async with MessageQueues(lab, make_settings()) as queues:
        assert await queues.rest("orders", after=0) == GROUPS
        assert len(keys(client, prefix, "*:q:*")) == GROUPS
        assert all(key.endswith(":pos") for key in keys(client, prefix, "*:q:*"))
        assert [key for key in keys(client, prefix) if client.pttl(key) < 0] == []
        assert (await queues.lags())["orders"] == MESSAGES - 1


def test_a_place_has_an_end_before_its_feeder_says_that_it_is_there(client, prefix):
    base = f"{prefix}labkit:api:orders:q:g:"
    assert client.register_script(BEGIN)(args=[base, 60_000, 0, 7, 1, 0]) == [7, 0]
    assert 0 < client.pttl(f"{base}pos") <= 60_000


async def test_a_group_that_polled_before_the_clock_was_set_back_comes_to_rest(lab, make_settings, client, prefix):
    async with MessageQueues(lab, make_settings()) as queues:
        await queues.create([new_message(number) for number in range(3)])
        assert await queues.poll("orders", "g", wait=WAIT, explicit=False)
    [groups] = keys(client, prefix, "*:groups")
    client.zincrby(groups, 3_600_000, "g")
    async with MessageQueues(lab, make_settings()) as queues:
        assert await queues.rest("orders", after=0) == 1


async def test_the_keys_of_a_group_whose_letter_is_refused_end(lab, make_settings, client, prefix, topics, caplog):
    async with MessageQueues(lab, make_settings(api_deliveries=1)) as queues:
        await queues.create([new_message()])
        got = await queues.poll("orders", "g", wait=WAIT, explicit=True)
        await asyncio.to_thread(topics.delete, "orders.dead")
        await asyncio.to_thread(topics.create, "orders.dead", partitions=1, config={"max.message.bytes": "100"})
        await queues.nack(got.id, got.token)
        is_refused = lambda: "cannot be written" in caplog.text  # noqa: E731
        await asyncio.to_thread(wait_until, is_refused, timeout=WAIT, what="it was to be refused")
    assert len(keys(client, prefix, "*:q:g:dying")) == 1
    assert [key for key in keys(client, prefix) if client.pttl(key) < 0] == []


async def test_the_keys_of_a_group_whose_lease_ends_when_nobody_feeds_it_end(lab, make_settings, client, prefix):
    settings = make_settings(api_deliveries=1)
    async with MessageQueues(lab, settings) as queues:
        await queues.create([new_message()])
        assert await queues.poll("orders", "g", wait=WAIT, explicit=True)
    [leases] = keys(client, prefix, "*:q:g:leases")
    client.zadd(leases, dict.fromkeys(client.zrange(leases, 0, -1), 0))  # all are over
    async with MessageQueues(lab, settings) as queues, asyncio.timeout(WAIT):
        while not keys(client, prefix, "*:q:g:dying"):
            assert await queues.rest("orders", after=0) == 0, "a letter is to be written"
            await asyncio.sleep(0.05)
    assert [key for key in keys(client, prefix) if client.pttl(key) < 0] == []


@pytest.mark.parametrize("is_forgotten", [False, True], ids=["at rest", "forgotten"])
async def test_a_group_that_comes_back_gets_what_it_has_not_settled(lab, make_settings, client, prefix, is_forgotten):
    """By its place, or where even that is gone, by the one that Kafka knows."""
    async with MessageQueues(lab, make_settings()) as queues:
        await queues.create([new_message(number) for number in range(10)])
        first = await queues.poll("orders", "g", wait=WAIT, explicit=True)
        done = [await queues.poll("orders", "g", wait=WAIT, explicit=False) for _ in range(3)]
        await queues.nack(first.id, first.token)
    async with MessageQueues(lab, make_settings()) as queues:
        assert await queues.rest("orders", after=0) == 1
        if is_forgotten:
            client.delete(*keys(client, prefix, "*:q:*"))
        found = {}
        while (got := await queues.poll("orders", "g", wait=0, explicit=False)) is not None:
            found[got.id] = got.deliveries
        assert len(found) == 7
        assert not found.keys() & {one.id for one in done}
        assert found.pop(first.id) == 2, "how often it was delivered is known"
        assert set(found.values()) == {1}


async def test_what_is_left_of_a_forgotten_group_is_passed_over(lab, make_settings, client, prefix):
    """Its keys do not end all at once; without its place the others count for nothing."""
    async with MessageQueues(lab, make_settings()) as queues:
        await queues.create([new_message(number) for number in range(5)])
        leased = await queues.poll("orders", "g", wait=WAIT, explicit=True)
    client.delete(*keys(client, prefix, "*:q:g:pos"))
    async with MessageQueues(lab, make_settings()) as queues:
        found = []
        while (got := await queues.poll("orders", "g", wait=0, explicit=False)) is not None:
            found.append(got.id)
        assert sorted(found) == sorted({new_message(number).id for number in range(5)})
        assert leased.id in found
