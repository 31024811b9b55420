"""How much room there is in Celery, counted in a real Redis."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.celery_app import capacity as room_module
from labkit.celery_app.application import LEVELS, key_prefix
from labkit.celery_app.capacity import Capacity, Presence, connect, running_workers, signs_key
from labkit.dispatch.celery_sender import CelerySender
from labkit.errors import RedisUnreachable
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import envelope


@pytest.fixture(autouse=True)
def _nothing_ends_by_itself(monkeypatch):
    monkeypatch.setattr(room_module, "SILENCE", 600.0)
    monkeypatch.setattr(room_module, "RESERVATION", 600.0)


@pytest.fixture
def presence(client, settings):
    return Presence(client, settings, "w1")


def room_of(client, settings, name="d1", limit=2) -> Capacity:
    return Capacity(client, settings, dispatcher=name, limit=limit)


def test_it_counts_every_level_and_what_is_taken(client, app, settings):
    sender = CelerySender(app)
    sender.send([envelope(rank=rank) for rank in range(LEVELS) for _ in range(rank + 1)])
    counting = room_of(client, settings)
    assert counting.count().waiting == tuple(range(1, LEVELS + 1))
    with app.connection_for_read() as connection, connection.SimpleQueue("labkit") as queue:
        queue.consumer.qos(prefetch_count=3)
        taken = [queue.get(timeout=120) for _ in range(3)]
        wait_until(lambda: counting.count().unacknowledged == 3, timeout=120, what="three were to be taken")
        count = counting.count()
        assert sum(count.waiting) == 52
        assert count.taken == 55, "taken and not acknowledged still fills the queue"
        taken[0].ack()
        wait_until(lambda: counting.count().taken == 54, timeout=120, what="one was to be done")
    sender.close()


def test_another_application_in_the_same_redis_does_not_count(client, app, settings):
    CelerySender(app).send([envelope()])
    other = settings.model_copy(update={"topic_prefix": "other."})
    assert room_of(client, other).count().taken == 0


def test_there_is_room_for_so_many_per_process(client, settings, presence):
    room = room_of(client, settings, limit=3)
    assert room.reserve(10).granted == 0, "nobody works"
    presence.say(2)
    count = room.reserve(10)
    assert (count.granted, count.concurrency, count.capacity) == (6, 2, 6)
    assert room.reserve(4).granted == 4
    Presence(client, settings, "w2").say(1)
    assert room.reserve(10).granted == 9
    presence.leave()
    assert room.reserve(10).granted == 3
    assert running_workers(client, settings) == {"w2": 1}


def test_what_waits_takes_its_place(client, app, settings, presence):
    presence.say(2)
    CelerySender(app).send([envelope(rank=rank) for rank in (0, 1, 9)])
    room = room_of(client, settings, limit=2)
    assert room.reserve(10).granted == 1
    CelerySender(app).send([envelope(), envelope()])
    assert room.reserve(10).granted == 0, "overfull is full"


def test_a_reservation_is_others_loss_until_the_next_one(client, settings, presence):
    presence.say(5)
    one, two = room_of(client, settings, "d1"), room_of(client, settings, "d2")
    assert one.reserve(7).granted == 7
    second = two.reserve(7)
    assert (second.granted, second.reserved, second.taken) == (3, 7, 7)
    assert one.reserve(0).granted == 0
    assert two.reserve(20).granted == 10
    assert room_of(client, settings).count().reserved == 10


def test_who_only_counts_reserves_nothing(client, settings, presence):
    presence.say(5)
    counting, one = Capacity(client, settings), room_of(client, settings)
    one.reserve(4)
    assert (counting.count().granted, counting.count().reserved) == (0, 4)
    assert one.reserve(10).granted == 10


def postpone(client, settings, name: str, milliseconds: float) -> None:
    """Let the reservation of this dispatcher end so much later."""
    key = f"{key_prefix(settings)}reserved"
    number, ends = client.hget(key, name).split()
    client.hset(key, name, b"%s %d" % (number, int(ends) + milliseconds))


def test_the_reservation_of_a_dead_dispatcher_ends(client, settings, presence):
    presence.say(5)
    assert room_of(client, settings, "dead").reserve(10).granted == 10
    living = room_of(client, settings)
    assert living.reserve(10).granted == 0
    postpone(client, settings, "dead", -room_module.RESERVATION * 1000)
    assert living.reserve(10).granted == 10


#: As what was noted before a clock was set back by an hour lies ahead, in ms.
AN_HOUR = 3_600_000


def test_a_reservation_from_before_the_clock_was_set_back_ends_as_if_it_had_begun_now(client, settings, presence):
    presence.say(5)
    assert room_of(client, settings, "one").reserve(10).granted == 10
    postpone(client, settings, "one", AN_HOUR)
    other = room_of(client, settings, "other")
    count = other.reserve(10)
    assert (count.granted, count.reserved) == (0, 10), "its dispatcher may live"
    postpone(client, settings, "one", -room_module.RESERVATION * 1000)
    assert other.reserve(10).granted == 10


def test_a_worker_whose_last_sign_is_from_before_the_clock_was_set_back_does_not_count(client, settings, presence):
    presence.say(2)
    signs = signs_key(key_prefix(settings))
    (run,) = client.zrange(signs, 0, -1)
    client.zincrby(signs, AN_HOUR, run)
    assert Capacity(client, settings).count().concurrency == 0
    presence.say(2)
    assert Capacity(client, settings).count().concurrency == 2, "one that lives gives the next sign"
    client.zincrby(signs, 30 * 24 * AN_HOUR, run)
    Capacity(client, settings).count()
    assert not client.exists(signs), "nothing is kept for ever"


def test_a_worker_that_is_silent_does_not_count(client, settings, presence):
    presence.say(2)
    room, signs = room_of(client, settings), signs_key(key_prefix(settings))
    assert room.count().concurrency == 2
    client.zincrby(signs, -(room_module.SILENCE * 1000 + 1), client.zrange(signs, 0, -1)[0])
    assert room.count().concurrency == 0
    assert running_workers(client, settings) == {}
    presence.say(2)
    assert room.count().concurrency == 2


def test_many_dispatchers_at_once_never_get_more_than_there_is(lab, client, settings, presence):
    presence.say(20)
    names, start, most = [f"d{number}" for number in range(6)], threading.Barrier(6), []

    def ask(name: str) -> None:
        with connect(lab.redis_url) as own:
            room = room_of(own, settings, name, limit=1)
            start.wait(60)
            for wanted in (3, 11, 20, 0, 7, 5) * 5:
                count = room.reserve(wanted)
                most.append(count.granted + count.reserved)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, names))
    assert max(most) == 20


def test_without_redis_it_says_so_and_works_again_with_it(own_redis, settings):
    with connect(own_redis.url) as client:
        room = room_of(client, settings)
        room.count()
        own_redis.kill()
        with pytest.raises(RedisUnreachable, match="Celery's queue"):
            room.reserve(1)
        own_redis.start()
        Presence(client, settings, "w1").say(1)
        assert room.reserve(9).granted == 2


def test_a_redis_that_takes_no_more_is_one_that_is_to_be_asked_again(own_redis, settings):
    with connect(own_redis.url) as client:
        Presence(client, settings, "w1").say(1)
        client.config_set("maxmemory", "1")
        with pytest.raises(RedisUnreachable, match="memory"):
            room_of(client, settings).reserve(1)
        client.config_set("maxmemory", "0")
        assert room_of(client, settings).reserve(1).granted == 1


def test_its_keys_have_the_prefix(client, app, settings, presence):
    presence.say(1)
    CelerySender(app).send([envelope()])
    room_of(client, settings).reserve(1)
    prefix = key_prefix(settings)
    keys = {key.decode().removeprefix(prefix) for key in client.scan_iter(f"{prefix}*")}
    assert {"workers", "signs", "reserved", "labkit"} <= keys
