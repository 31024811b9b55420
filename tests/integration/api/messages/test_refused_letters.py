"""Dead letters that Kafka refuses, or has nowhere to put: the queue goes on, and the others notice nothing."""

from __future__ import annotations

import asyncio

import pytest

from labkit.taskqueue import DeadLetters
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.contract import Outgoing
from tests.integration.api.messages.conftest import new_message

pytestmark = pytest.mark.anyio

#: How long one waits for what comes, in seconds.
WAIT = 30.0


async def dead_letters(topics, count: int) -> list:
    def found() -> list:
        return DeadLetters(topics, "orders").list()

    await asyncio.to_thread(wait_until, lambda: len(found()) >= count, timeout=120, what="letters", interval=0.1)
    return await asyncio.to_thread(found)


def put(topics, *values: bytes) -> None:
    client = topics.transport.transactions(topics.get("orders").full_group("a-test"))
    client.write([Outgoing(topics.get("orders").full_name, 0, None, value) for value in values])
    client.close()


async def test_a_large_record_that_is_no_message_is_a_letter_and_the_queue_goes_on(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        await asyncio.to_thread(put, topics, b"x" * 999_900, b"x" * 1_048_000)
        message = new_message(1)
        await queues.create([message])
        got = await queues.poll("orders", "g", wait=WAIT, explicit=False)
        assert got is not None
        assert got.id == message.id
        assert sorted(len(letter.value) for letter in await dead_letters(topics, 2)) == [999_900, 1_048_000]


@pytest.mark.parametrize("made_anew", [False, True])
async def test_without_its_topic_of_dead_letters_a_queue_goes_on(crew, topics, made_anew) -> None:
    async with crew:
        queues = await crew.queues(api_deliveries=1)
        first, second = new_message(1), new_message(2)
        await queues.create([first])
        got = await queues.poll("orders", "g", wait=WAIT, explicit=True)
        await asyncio.to_thread(topics.delete, "orders.dead")
        if made_anew:  # so that no letter fits
            await asyncio.to_thread(topics.create, "orders.dead", partitions=1, config={"max.message.bytes": "100"})
        await queues.nack(got.id, got.token)
        if not made_anew:
            (letter,) = await dead_letters(topics, 1)
            assert letter.attempts == 1
        await queues.create([second])
        got = await queues.poll("orders", "g", wait=WAIT, explicit=False)
        assert got is not None
        assert got.id == second.id


@pytest.mark.long
async def test_many_records_that_are_no_message_and_no_letters_are_passed_over(
    crew, topics, monkeypatch, caplog
) -> None:
    """They take longer than the feeder has for them at once: it passes over each only when that is said."""
    monkeypatch.setattr("labkit.api.messages.dead_letter_sender.SEND_TIME", 0.01)
    async with crew:
        queues = await crew.queues()
        await asyncio.to_thread(topics.delete, "orders.dead")
        await asyncio.to_thread(topics.create, "orders.dead", partitions=1, config={"max.message.bytes": "100"})
        await asyncio.to_thread(put, topics, *[b"no message"] * 5)
        message = new_message(1)
        await queues.create([message])
        got = await queues.poll("orders", "g", wait=2 * WAIT, explicit=False)
        assert got is not None
        assert got.id == message.id
        said = lambda: caplog.text.count("cannot be written") == 5  # noqa: E731
        await asyncio.to_thread(wait_until, said, timeout=120, what="all were to be passed over")
        second = new_message(2)
        await queues.create([second])
        got = await queues.poll("orders", "g", wait=WAIT, explicit=False)
        assert got is not None
        assert got.id == second.id
