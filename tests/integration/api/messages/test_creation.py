"""The same message is on its topic once, however often, wherever and whenever it is created."""

from __future__ import annotations

import asyncio

import pytest

from labkit.api.messages import Station, reservation
from labkit.api.messages.reservation import RESERVATION
from labkit.errors import MessageTooLarge, UnknownQueue
from labkit.taskqueue.task import Task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from tests.conditions import PATIENCE
from tests.integration.api.messages.conftest import empty_redis, new_message

pytestmark = pytest.mark.anyio


def on_topic(topics, queue: str = "orders") -> list[str]:
    """The ids of the tasks on the topic."""
    return [Task.decode(record).id for record in read_topic(topics.transport, topics.prefix + queue)]


async def wait_for(child, word: str) -> None:
    await asyncio.to_thread(wait_until, lambda: child.has_said(word), timeout=120, what=f"{child.name}: {word}")


async def wait_for_end(child) -> None:
    await asyncio.to_thread(wait_until, lambda: not child.alive(), timeout=120, what=f"{child.name} was to die")


async def test_a_message_is_on_the_topic_under_its_id(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        message = new_message(1)
        assert await queues.create([message]) == [message.id]
        (record,) = read_topic(topics.transport, topics.prefix + "orders")
        task = Task.decode(record)
        assert (task.kind, task.id, task.idempotency_key) == ("message", str(message.id), str(message.id))
        journey = await queues.journey(message.id)
        assert journey is not None
        assert (journey.partition, journey.offset) == (record.partition, record.offset)
        assert journey.station is Station.QUEUED


async def test_the_ids_come_in_the_order_of_the_messages(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        messages = [new_message(number, "emails" if number % 3 else "orders") for number in range(20)]
        assert await queues.create([*messages, messages[0]]) == [one.id for one in [*messages, messages[0]]]
        assert len(on_topic(topics)) + len(on_topic(topics, "emails")) == 20


async def test_again_later_and_after_a_restart_nothing_new_is_queued(crew, topics) -> None:
    messages = [new_message(number) for number in range(5)]
    async with crew:
        first = await (await crew.queues()).create(messages)
    async with crew:
        again = await crew.queues()
        assert await again.create([*messages, new_message(9)]) == [*first, new_message(9).id]
        assert len(on_topic(topics)) == 6


async def test_one_that_does_not_fit_stops_the_whole_call(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        with pytest.raises(UnknownQueue, match="no queue 'nowhere'; there are orders, emails"):
            await queues.create([new_message(1), new_message(2, "nowhere")])
        with pytest.raises(MessageTooLarge, match="a record may take 1,000,000"):
            await queues.create([new_message(1), new_message(2, body="x" * 1_000_000)])
        assert on_topic(topics) == []
        assert await queues.journey(new_message(1).id) is None


async def test_a_hundred_at_once_in_two_processes_make_one(crew, topics) -> None:
    async with crew:
        message = new_message(1)
        job = {"role": "create", "messages": [message.payload()], "times": 50, "reservation": PATIENCE}
        children = [crew.child(**job) for _ in range(2)]
        for child in children:
            await wait_for(child, "ready")
        for child in children:
            child.tell("go")
        for child in children:
            await wait_for(child, "ids")
        answers = [ids for child in children for report in child.heard for ids in report.get("ids", ())]
        assert answers == [[str(message.id)]] * 100
        assert on_topic(topics) == [str(message.id)]


async def test_many_at_once_that_overlap(crew, topics, monkeypatch) -> None:
    monkeypatch.setattr(reservation, "RESERVATION", PATIENCE)  # nobody dies, but one may have to wait for its turn
    async with crew:
        queues = [await crew.queues(), await crew.queues()]
        messages = [new_message(number) for number in range(60)]
        batches = [messages[start : start + 20] for start in range(0, 41, 2)]
        works = [queues[number % 2].create(batch) for number, batch in enumerate(batches)]
        answers = await asyncio.gather(*works)
        assert answers == [[message.id for message in batch] for batch in batches]
        assert sorted(on_topic(topics)) == sorted(str(message.id) for message in messages)


@pytest.mark.parametrize("moment", [pytest.param("reserved", marks=pytest.mark.long), "produced"])
async def test_what_a_killed_process_began_is_finished_by_who_sends_it_again(crew, topics, moment) -> None:
    async with crew:
        queues = await crew.queues()
        await queues.create([new_message(number) for number in range(100, 130)])  # the floor is not the start
        messages = [new_message(number) for number in range(5)]
        child = crew.child(role="create", messages=[message.payload() for message in messages], dies=moment)
        await wait_for(child, "ready")
        child.tell("go")
        await wait_for_end(child)
        there = len(on_topic(topics))
        assert there == (30 if moment == "reserved" else 35)
        journey = await queues.journey(messages[0].id)
        assert journey is not None
        assert journey.station is Station.ACCEPTED
        async with asyncio.timeout(RESERVATION + 60):
            ids = await queues.create([*messages, new_message(99)])
        assert ids == [message.id for message in [*messages, new_message(99)]]
        assert len(on_topic(topics)) == 36
        assert sorted(set(on_topic(topics))) == sorted(on_topic(topics))
        journey = await queues.journey(messages[0].id)
        assert journey is not None
        assert journey.station is Station.QUEUED


async def test_a_reservation_from_before_the_clock_was_set_back_ends_as_if_it_was_made_now(crew, monkeypatch) -> None:
    monkeypatch.setattr(reservation, "RESERVATION", 600.0)
    async with crew:
        queues, message = await crew.queues(), new_message(1)
        await queues.create([new_message(2)])
        topic = queues._topics.known("orders")
        key, ids, reserve = topic.names.messages + str(message.id), [str(message.id)], queues._reservations.reserve
        assert (await reserve(topic, ids, owner="first")).new == ids
        await queues._client.hincrby(key, "until", 3_600_000)
        assert (await reserve(topic, ids, owner="next")).work == ids, "its owner may live"
        await queues._client.hincrby(key, "until", -600_000)
        assert (await reserve(topic, ids, owner="next")).taken == ids
        assert (await reserve(topic, ids, owner="late")).work == ids


async def test_when_redis_has_lost_everything_nothing_is_queued_twice(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        messages = [new_message(number) for number in range(700)]
        await queues.create(messages)
        await empty_redis(queues)
        assert len(await queues.create([*messages, new_message(999)])) == 701
        assert len(on_topic(topics)) == 701
        journey = await queues.journey(messages[0].id)
        assert journey is not None
        assert journey.station is Station.QUEUED
        assert journey.accepted_at is None
