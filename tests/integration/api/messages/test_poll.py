"""The next message, leases, and what becomes of what is not acknowledged."""

from __future__ import annotations

import asyncio

import pytest

from labkit.api.messages import Station
from labkit.errors import BadGroupName, StaleLease, UnknownMessage, UnknownQueue
from labkit.taskqueue import DeadLetters, Producer, new_task
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import FOR_EVER, PATIENCE, eventually
from tests.integration.api.messages.conftest import empty_redis, new_message

pytestmark = pytest.mark.anyio

#: Long enough that nothing else happens only after it, in seconds.
LEASE = 10.0


async def until_it_is_over(queues, got) -> None:
    """Return when the lease is over by the clock of Redis."""

    async def is_over() -> bool:
        seconds, micros = await queues._client.time()
        return seconds + micros / 1e6 > got.leased_until

    await eventually(is_over, "the lease was to be over")


async def poll_all(queues, group="g", *, explicit=False, queue="orders") -> list:
    found = []
    while (got := await queues.poll(queue, group, wait=0, explicit=explicit)) is not None:
        found.append(got)
    return found


async def station(queues, message_id, group="g"):
    journey = await queues.journey(message_id)
    return {one.group: one.station for one in journey.groups}.get(group)


async def dead_letters(topics, count: int) -> list:
    letters = DeadLetters(topics, "orders")
    await asyncio.to_thread(
        wait_until, lambda: len(letters.list()) >= count, timeout=120, what="dead letters", interval=0.1
    )
    return letters.list()


async def test_a_poll_finds_what_was_queued_before_it(crew) -> None:
    async with crew:
        queues = await crew.queues()
        message = new_message(1)
        await queues.create([message])
        got = await queues.poll("orders", "g", wait=0, explicit=False)
        assert (got.id, got.message, got.group, got.deliveries, got.token) == (message.id, message, "g", 1, None)
        assert await station(queues, message.id) is Station.ACKNOWLEDGED
        assert await queues.poll("orders", "g", wait=0, explicit=False) is None


async def test_a_queue_nobody_has_written_to_has_nothing(crew) -> None:
    async with crew:
        queues = await crew.queues()
        async with asyncio.timeout(PATIENCE / 2):
            assert await queues.poll("orders", "g", wait=0, explicit=False) is None


async def test_names_that_cannot_be(crew) -> None:
    async with crew:
        queues = await crew.queues()
        with pytest.raises(UnknownQueue):
            await queues.poll("nowhere", "g", wait=0, explicit=False)
        with pytest.raises(BadGroupName):
            await queues.poll("orders", "a~b", wait=0, explicit=False)


async def test_each_group_gets_everything_and_shares_it(crew) -> None:
    async with crew:
        first, second = await crew.queues(), await crew.queues()
        messages = [new_message(number) for number in range(200)]
        await first.create(messages)
        mine, other = await asyncio.gather(poll_all(first, "a"), poll_all(second, "a"))
        ids = sorted(message.id for message in messages)
        assert sorted(one.id for one in mine + other) == ids
        assert sorted(one.id for one in await poll_all(second, "b")) == ids
        assert (await first.lags()) == {"orders": 0, "emails": 0}


async def test_waiting_polls_get_a_message_as_soon_as_it_is_there(crew) -> None:
    async with crew:
        queues, other = await crew.queues(), await crew.queues()
        await poll_all(queues)
        polls = [one.poll("orders", "g", wait=FOR_EVER, explicit=True) for one in [queues, other] * 5]
        waiting = [asyncio.create_task(poll) for poll in polls]
        await asyncio.sleep(0)
        await queues.create([new_message(number) for number in range(10)])
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.gather(*waiting)
        assert sorted(one.message.title for one in found) == sorted(f"message {number}" for number in range(10))


async def test_a_poll_waits_no_longer_than_it_may_and_can_be_cancelled(crew) -> None:
    async with crew:
        queues = await crew.queues()
        assert await queues.poll("orders", "g", wait=0.3, explicit=True) is None
        task = asyncio.create_task(queues.poll("orders", "g", wait=30, explicit=True))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await queues.create([new_message(1)])
        assert (await queues.poll("orders", "g", wait=0, explicit=True)).id == new_message(1).id


async def test_another_process_acknowledges_and_twice_is_no_error(crew) -> None:
    async with crew:
        queues, other = await crew.queues(api_lease=LEASE), await crew.queues()
        await queues.create([new_message(1)])
        got = await queues.poll("orders", "g", wait=0, explicit=True)
        assert got.token is not None
        assert await station(queues, got.id) is Station.DELIVERED
        await other.ack(got.id, got.token)
        await queues.ack(got.id, got.token)
        assert await station(queues, got.id) is Station.ACKNOWLEDGED
        await until_it_is_over(queues, got)
        assert await queues.poll("orders", "g", wait=0.3, explicit=True) is None
        with pytest.raises(StaleLease):
            await queues.nack(got.id, got.token)


async def test_what_is_not_acknowledged_in_time_comes_again_and_the_old_token_is_void(crew) -> None:
    async with crew:
        queues = await crew.queues(api_lease=LEASE)
        await queues.create([new_message(1)])
        first = await queues.poll("orders", "g", wait=0, explicit=True)
        assert await queues.poll("orders", "g", wait=0, explicit=True) is None
        second = await queues.poll("orders", "g", wait=60, explicit=True)
        assert (second.id, second.deliveries) == (first.id, 2)
        assert second.leased_until - LEASE >= first.leased_until - 0.001
        for late in (queues.ack, queues.nack):
            with pytest.raises(StaleLease, match="goes to another poller"):
                await late(first.id, first.token)
        await queues.ack(second.id, second.token)


@pytest.mark.long
async def test_a_lease_from_before_the_clock_was_set_back_ends(crew) -> None:
    async with crew:
        queues = await crew.queues(api_lease=LEASE)
        await queues.create([new_message(1)])
        first = await queues.poll("orders", "g", wait=0, explicit=True)
        leases = queues._topics.known("orders").names.queue("g").base + "leases"
        await queues._client.zincrby(leases, 3_600_000, str(first.id))
        second = await queues.poll("orders", "g", wait=60, explicit=True)
        assert (second.id, second.deliveries) == (first.id, 2)


async def test_a_lease_is_as_long_as_it_was_given_whatever_the_setting_of_another_process(crew) -> None:
    async with crew:
        queues, other = await crew.queues(api_lease=600.0), await crew.queues(api_lease=1.0)
        await queues.create([new_message(1), new_message(2)])
        long = await queues.poll("orders", "g", wait=60, explicit=True)
        short = await other.poll("orders", "g", wait=60, explicit=True)
        again = await other.poll("orders", "g", wait=60, explicit=True)
        assert again.id == short.id != long.id
        leases = queues._topics.known("orders").names.queue("g").base + "leases"
        assert await queues._client.zscore(leases, str(long.id)) == round(long.leased_until * 1000)
        await queues.ack(long.id, long.token)


async def test_a_queue_that_a_killed_process_fed_before_the_clock_was_set_back_is_fed(crew) -> None:
    async with crew:
        queues = await crew.queues()
        await queues.create([new_message(1)])
        await queues._client.set(queues._topics.known("orders").names.queue("g").feeder, "dead", px=3_600_000)
        assert (await queues.poll("orders", "g", wait=60, explicit=True)).id == new_message(1).id


async def test_a_lease_that_is_over_cannot_be_acknowledged_though_nobody_else_has_it(crew) -> None:
    async with crew:
        queues = await crew.queues(api_lease=1.0)
        await queues.create([new_message(1)])
        got = await queues.poll("orders", "g", wait=0, explicit=True)
        await until_it_is_over(queues, got)
        with pytest.raises(StaleLease):
            await queues.ack(got.id, got.token)


async def test_tokens_that_are_none(crew) -> None:
    async with crew:
        queues = await crew.queues()
        await queues.create([new_message(1)])
        got = await queues.poll("orders", "g", wait=0, explicit=True)
        for token in ("", "x", "orders~g", "orders~g~00", "nowhere~g~00", "orders~g/h~00", got.token + "0"):
            with pytest.raises(StaleLease):
                await queues.ack(got.id, token)
        with pytest.raises(UnknownMessage):
            await queues.ack(new_message(2).id, got.token)
        await queues.ack(got.id, got.token)


async def test_nack_gives_it_to_the_next_poller_before_the_others(crew) -> None:
    async with crew:
        queues = await crew.queues()
        await queues.create([new_message(1), new_message(2)])
        first = await queues.poll("orders", "g", wait=0, explicit=True)
        await queues.nack(first.id, first.token)
        await queues.nack(first.id, first.token)
        again = await queues.poll("orders", "g", wait=0, explicit=True)
        assert (again.id, again.deliveries) == (first.id, 2)


async def test_after_so_many_deliveries_it_is_one_dead_letter_and_can_be_replayed(crew, topics) -> None:
    async with crew:
        queues, other = await crew.queues(api_deliveries=3), await crew.queues(api_deliveries=3)
        await queues.create([new_message(1)])
        for count in (1, 2, 3):
            got = await queues.poll("orders", "g", wait=0, explicit=True)
            assert got.deliveries == count
            await queues.nack(got.id, got.token)
        assert await other.poll("orders", "g", wait=0, explicit=True) is None
        (letter,) = await dead_letters(topics, 1)
        assert letter.task().id == str(got.id)
        assert (letter.attempts, letter.worker, letter.group) == (3, "api.g", "api.g")
        assert letter.id == f"orders/{got.partition}/{got.offset}"
        assert await station(queues, got.id) is Station.DEAD
        assert (await queues.lags())["orders"] == 0

        DeadLetters(topics, "orders").replay([letter.id])
        again = await queues.poll("orders", "g", wait=60, explicit=True)
        assert (again.id, again.deliveries) == (got.id, 1)
        await queues.ack(again.id, again.token)
        assert await station(queues, got.id) is Station.ACKNOWLEDGED


async def test_a_dead_letter_of_one_group_is_delivered_in_another(crew, topics) -> None:
    async with crew:
        queues = await crew.queues(api_deliveries=1)
        await queues.create([new_message(1)])
        got = await queues.poll("orders", "a", wait=0, explicit=True)
        await queues.nack(got.id, got.token)
        await dead_letters(topics, 1)
        other = await queues.poll("orders", "b", wait=0, explicit=True)
        await queues.ack(other.id, other.token)
        assert await station(queues, got.id, "a") is Station.DEAD
        assert await station(queues, got.id, "b") is Station.ACKNOWLEDGED


async def test_what_is_no_message_becomes_a_dead_letter_and_stops_nobody(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        with Producer(topics.get("orders")) as producer:
            producer.send(new_task("process_file", "Task 1: Process file A"))
        await queues.create([new_message(1)])
        got = await queues.poll("orders", "g", wait=0, explicit=False)
        assert got.id == new_message(1).id
        (letter,) = await dead_letters(topics, 1)
        assert "is not a message" in letter.error


async def test_a_topic_that_grows_is_read_whole(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        await queues.create([new_message(number) for number in range(20)])
        topics.grow("orders", partitions=4)
        await queues._topics.look("orders")
        await queues.create([new_message(number) for number in range(100)])
        found = await poll_all(queues)
        assert len({one.id for one in found}) == len(found) == 100
        assert {one.partition for one in found} == {0, 1, 2, 3}


async def test_the_lag_of_kafka_s_group_is_what_is_not_acknowledged(crew, topics) -> None:
    async with crew:
        queues = await crew.queues()
        await queues.create([new_message(number) for number in range(10)])
        found = await poll_all(queues, explicit=True)
        assert (await queues.lags())["orders"] == 10

        def lag() -> int:
            return sum(place.lag for place in topics.lag("orders", group="api.g"))

        assert lag() == 10
        for one in found:
            await queues.ack(one.id, one.token)
        assert (await queues.lags())["orders"] == 0
        await asyncio.to_thread(wait_until, lambda: lag() == 0, timeout=120, what="all was to be committed")


async def test_after_redis_has_lost_everything_what_was_not_acknowledged_comes_again(crew) -> None:
    async with crew:
        queues = await crew.queues()
        messages = [new_message(number) for number in range(20)]
        await queues.create(messages)
        leased = await queues.poll("orders", "g", wait=0, explicit=True)
        await empty_redis(queues)
        await queues.create(messages[:1])  # whoever comes first has the index built again
        found = await poll_all(queues)
        assert sorted(one.id for one in found) == sorted(message.id for message in messages)
        with pytest.raises((StaleLease, UnknownMessage)):
            await queues.ack(leased.id, leased.token)
