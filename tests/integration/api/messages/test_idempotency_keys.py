"""Keys of requests, over several processes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from labkit.api.messages import Begun, IdempotencyKeys, InFlight, Mismatch, Replay
from labkit.api.messages import idempotency_keys as module
from labkit.errors import RedisUnreachable
from tests.conditions import FOR_EVER, eventually

pytestmark = pytest.mark.anyio

#: Seconds that a mark has left when its renewal is waited for.
LEFT = 300


@pytest.fixture(autouse=True)
def nobody_dies(monkeypatch) -> None:
    """Where a test does not say otherwise, marks neither run out nor are renewed: that takes time on a busy machine."""
    monkeypatch.setattr(module, "IN_FLIGHT", 600.0)
    monkeypatch.setattr(module, "RENEWAL", FOR_EVER)


class Stores(AsyncExitStack):
    """As many as asked for, on one Redis."""

    def __init__(self, lab, settings) -> None:
        super().__init__()
        self._made = (lab, settings)

    def one(self) -> IdempotencyKeys:
        store = IdempotencyKeys(*self._made)
        self.push_async_callback(store.aclose)
        return store


@pytest.fixture
def stores(lab, make_settings) -> Stores:
    return Stores(lab, make_settings())


async def test_the_first_answer_is_replayed_everywhere(stores) -> None:
    async with stores:
        first, second = stores.one(), stores.one()
        assert await first.begin("k", "f") == Begun()
        assert await second.begin("k", "f") == InFlight()
        assert await first.begin("k", "f") == InFlight()
        await first.finish("k", "the answer")
        assert await second.begin("k", "f") == Replay("the answer")
        assert await first.begin("k", "f") == Replay("the answer")


async def test_another_request_under_the_same_key_is_a_mismatch_always(stores) -> None:
    async with stores:
        store = stores.one()
        await store.begin("k", "f")
        assert await store.begin("k", "other") == Mismatch()
        await store.finish("k", "a")
        assert await store.begin("k", "other") == Mismatch()
        assert await store.begin("k2", "other") == Begun()


async def test_a_key_that_was_given_back_is_new(stores) -> None:
    async with stores:
        store = stores.one()
        await store.begin("k", "f")
        await store.give_back("k")
        assert await store.begin("k", "other") == Begun()


async def test_of_many_at_once_one_begins(stores) -> None:
    async with stores:
        found = await asyncio.gather(*(stores.one().begin("k", "f") for _ in range(20)))
        assert found.count(Begun()) == 1
        assert found.count(InFlight()) == 19


async def test_the_mark_of_a_dead_process_runs_out_and_that_of_a_living_one_does_not(stores, monkeypatch) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT", 0.4)
    monkeypatch.setattr(module, "RENEWAL", 0.1)
    async with stores:
        living, other = stores.one(), stores.one()
        dead = IdempotencyKeys(*stores._made)
        await dead.begin("dead", "f")
        await dead.aclose()  # renews no more

        async def has_run_out() -> bool:
            return await other.begin("dead", "f") != InFlight()

        await eventually(has_run_out, "the mark of the dead process was to run out")
        monkeypatch.setattr(module, "IN_FLIGHT", 2 * LEFT)
        await living.begin("alive", "f")
        (mark,) = [name for name in await other._client.keys(f"{other._prefix}*") if b"alive" in name]
        await other._client.expire(mark, LEFT)

        async def is_renewed() -> bool:
            return await other._client.ttl(mark) > LEFT

        await eventually(is_renewed, "the mark of the living process was to be renewed")
        assert await other.begin("alive", "f") == InFlight()
        await living.finish("alive", "late")
        assert await other.begin("alive", "f") == Replay("late")


async def test_a_mark_from_before_the_clock_was_set_back_runs_out(stores) -> None:
    async with stores:
        dead, other = IdempotencyKeys(*stores._made), stores.one()
        await dead.begin("dead", "f")
        await dead.aclose()
        (mark,) = await other._client.keys(f"{other._prefix}*")
        await other._client.expire(mark, 3600)
        assert await other.begin("dead", "f") == InFlight()
        assert await other._client.pttl(mark) <= module.IN_FLIGHT * 1000


async def test_one_that_was_taken_for_dead_leaves_the_other_s_answer_alone(stores, monkeypatch) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT", 0.05)
    async with stores:
        slow, quick = stores.one(), stores.one()
        await slow.begin("k", "f")

        async def has_run_out() -> bool:
            return await quick.begin("k", "f") != InFlight()

        await eventually(has_run_out, "the mark was to run out")
        await quick.finish("k", "quick")
        await slow.finish("k", "slow")
        assert await slow.begin("k", "f") == Replay("quick")


async def lose(store: IdempotencyKeys, key: str) -> None:
    """As if Redis had come back empty."""
    assert await store._client.delete(store._prefix + key)


async def test_who_has_a_request_still_has_it_when_redis_has_lost_its_mark(stores) -> None:
    async with stores:
        store, other = stores.one(), stores.one()
        assert await store.begin("k", "f") == Begun()
        await lose(store, "k")
        assert await store.begin("k", "another") == Mismatch()
        assert await store.begin("k", "f") == InFlight()
        assert await other.begin("k", "f") == InFlight(), "the mark is there again"
        await lose(store, "k")
        await store.finish("k", "the answer")
        assert await store.begin("k", "f") == Replay("the answer")


async def test_a_mark_that_has_run_out_is_taken_again_while_its_request_goes_on(stores, monkeypatch) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.1)
    async with stores:
        store, other = stores.one(), stores.one()
        await store.begin("k", "f")
        await lose(store, "k")  # as in an outage that lasted longer

        async def is_there() -> bool:
            return bool(await other._client.exists(other._prefix + "k"))

        await eventually(is_there, "the mark was to be set again")
        assert await other.begin("k", "f") == InFlight()
        assert await other.begin("k", "another") == Mismatch()
        await store.finish("k", "the answer")
        assert await other.begin("k", "f") == Replay("the answer")


async def test_a_key_that_is_given_back_while_its_mark_is_renewed_is_new(stores, monkeypatch) -> None:
    async with stores:
        store, other = stores.one(), stores.one()
        await store.begin("k", "f")
        begin = store._begin

        async def overtaken(*words: object) -> object:
            await store.give_back("k")
            return await begin(*words)

        monkeypatch.setattr(store, "_begin", overtaken)
        await store.begin("k", "f")
        assert await other.begin("k", "mended") == Begun()


async def test_until_the_answer_is_kept_no_second_one_begins(stores, monkeypatch) -> None:
    async with stores:
        store = stores.one()
        await store.begin("k", "f")
        await lose(store, "k")
        finish, seen = store._finish, []

        async def slow(*words: object) -> object:
            seen.append(await store.begin("k", "f"))
            return await finish(*words)

        monkeypatch.setattr(store, "_finish", slow)
        await store.finish("k", "the answer")
        assert seen == [InFlight()]
        assert await store.begin("k", "f") == Replay("the answer")


async def test_a_repetition_is_replayed_that_another_process_has_answered_meanwhile(stores) -> None:
    async with stores:
        slow, quick = stores.one(), stores.one()
        await slow.begin("k", "f")
        await lose(slow, "k")
        assert await quick.begin("k", "f") == Begun()
        assert await slow.begin("k", "f") == InFlight()
        await quick.finish("k", "quick")
        assert await slow.begin("k", "f") == Replay("quick")
        await slow.give_back("k")
        assert await slow.begin("k", "f") == Replay("quick")


async def test_a_key_whose_beginning_nobody_answered_may_be_begun_again(stores, monkeypatch) -> None:
    async with stores:
        store = stores.one()

        async def away(*_: object) -> None:
            raise RedisUnreachable

        with monkeypatch.context() as patched:
            patched.setattr(store, "_begin", away)
            with pytest.raises(RedisUnreachable):
                await store.begin("k", "f")
        assert await store.begin("k", "f") == Begun()


async def test_answers_are_kept_for_a_day(stores) -> None:
    async with stores:
        store = stores.one()
        await store.begin("k", "f")
        await store.finish("k", "a")
        (name,) = await store._client.keys(f"{store._prefix}*")
        assert 86_390 < await store._client.ttl(name) <= 86_400
