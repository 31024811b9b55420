"""A topic of a queue is deleted, or made anew, while the API runs: the queue is that of the topic that is there now."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress

import pytest

from labkit.errors import NotAcknowledged, StaleLease, UnknownMessage, UnknownTopic
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, TopicPartition
from tests.conditions import PATIENCE, eventually
from tests.integration.api.messages.conftest import new_message

pytestmark = pytest.mark.anyio


def some(first: int, count: int) -> list:
    return [new_message(number) for number in range(first, first + count)]


def ids(messages) -> set:
    return {message.id for message in messages}


async def poll_until(queues, count: int, *, group: str = "g", queue: str = "orders") -> list:
    """So many deliveries, and all others that are there then."""
    found: list = []

    async def came() -> bool:
        while (got := await queues.poll(queue, group, wait=0, explicit=False)) is not None:
            found.append(got)
        return len(found) >= count

    await eventually(came, f"{count} messages were to be polled")
    return found


async def create_until_acknowledged(queues, messages) -> None:
    """As a client does that sends again what was not acknowledged."""

    async def is_created() -> bool:
        with suppress(NotAcknowledged, UnknownTopic):
            await queues.create(messages)
            return True
        return False

    await eventually(is_created, "the messages were to be created")


@pytest.mark.parametrize("number", [pytest.param(5, marks=pytest.mark.long), 25])
@pytest.mark.parametrize("settings", [{}, {"transport": "confluent-kafka"}], ids=["kafka-python", "confluent-kafka"])
async def test_every_message_of_the_new_topic_is_polled_once_and_none_of_the_old_one(
    crew, topics, number, settings
) -> None:
    async with crew:
        queues = await crew.queues(**settings)
        await queues.create(some(0, 10))
        assert len(await poll_until(queues, 5, group="h")) >= 5
        assert {got.id for got in await poll_until(queues, 10)} == ids(some(0, 10))
        await asyncio.to_thread(topics.recreate, "orders", partitions=2)
        # some of them are known from the topic that is no more
        new = some(max(0, 10 - number // 2), number)
        await create_until_acknowledged(queues, new)
        for group in ("g", "h"):
            found = await poll_until(queues, number, group=group)
            assert len(found) == number
            assert {got.id for got in found} == ids(new)
        assert (await queues.lags())["orders"] == 0
        await queues.create(new)
        assert await poll_until(queues, 0) == []


async def test_what_others_put_on_the_new_topic_beyond_the_old_place_is_polled_once(
    crew, topics, make_settings
) -> None:
    """The consumer of a feeder goes on in the midst of the new topic, and does not notice by itself."""
    async with crew:
        queues = await crew.queues()
        await queues.create(some(0, 10))
        await poll_until(queues, 10)
        await asyncio.to_thread(topics.recreate, "orders", partitions=2)
        others = await crew.queues()
        await others.create(some(100, 60))
        found = await poll_until(queues, 60)
        assert sorted(got.id for got in found) == sorted(ids(some(100, 60)))


async def test_leases_and_journeys_of_the_old_topic_are_void(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        await queues.create(some(0, 3))
        leased = await queues.poll("orders", "g", wait=0, explicit=True)
        await asyncio.to_thread(topics.recreate, "orders", partitions=2)
        await create_until_acknowledged(queues, some(100, 1))

        async def is_void() -> bool:
            return await queues.journey(leased.id) is None

        await eventually(is_void, "the old topic was to be forgotten")
        for settle in (queues.ack, queues.nack):
            with pytest.raises((StaleLease, UnknownMessage)):
                await settle(leased.id, leased.token)


async def test_a_topic_made_anew_with_fewer_partitions(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        await asyncio.to_thread(topics.recreate, "orders", partitions=4)
        await queues._topics.look("orders")
        await queues.create(some(0, 20))
        await poll_until(queues, 20)
        await asyncio.to_thread(topics.recreate, "orders", partitions=1)
        await create_until_acknowledged(queues, some(0, 40))
        found = await poll_until(queues, 40)
        assert sorted(got.id for got in found) == sorted(ids(some(0, 40)))
        assert {got.partition for got in found} == {0}


async def test_a_topic_that_is_deleted_for_good_is_named_until_it_is_made_anew(crew, topics, caplog) -> None:
    async with crew:
        queues = await crew.queues()
        await queues.create(some(0, 3))
        await poll_until(queues, 3)
        waiting = asyncio.create_task(queues.poll("orders", "g", wait=PATIENCE, explicit=False))
        await asyncio.to_thread(topics.delete, "orders")
        await eventually(lambda: "The topic 'orders' of a queue is gone" in caplog.text, "it was to be said")
        with pytest.raises(UnknownTopic, match="'orders' of this queue is gone"):
            await waiting
        with pytest.raises(UnknownTopic, match="'orders' of this queue is gone"):
            await queues.poll("orders", "g", wait=0, explicit=False)
        with pytest.raises(UnknownTopic, match="'orders' of this queue is gone"):
            await queues.create(some(0, 3))
        assert (await queues.lags())["orders"] == 0
        assert not topics.names().count("orders"), "nobody made it behind its owner's back"
        await queues.create([new_message(1, topic="emails")])
        assert len(await poll_until(queues, 1, queue="emails")) == 1
        await asyncio.to_thread(topics.create, "orders", partitions=3)
        await create_until_acknowledged(queues, some(0, 4))
        assert {got.id for got in await poll_until(queues, 4)} == ids(some(0, 4))


def commit_for(topic, other_id: str) -> None:
    places = [TopicPartition(topic.full_name, number) for number in range(topic.partitions)]
    with closing(topic.transport.consumer(ConsumerConfig(group=topic.full_group("api.g")))) as consumer:
        consumer.assign(places)
        consumer.commit({place: Position(2, OffsetMetadata(topic_id=other_id).encode(2)) for place in places})


async def test_what_was_committed_for_another_topic_is_not_believed(crew, topics) -> None:
    """Redis knows nothing of the group, and what Kafka knows is of a topic that bore the name before."""
    async with crew:
        queues = await crew.queues()
        await queues.create(some(0, 6))
        await asyncio.to_thread(commit_for, topics.get("orders"), "another")
        assert len(await poll_until(queues, 6)) == 6
