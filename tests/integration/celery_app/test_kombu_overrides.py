"""A message is taken from Redis in one step: whoever dies with it in hand does not lose it."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from time import time

import pytest
from kombu import Consumer
from kombu.transport.redis import Transport as KombuTransport

from labkit.celery_app import kombu_overrides
from labkit.celery_app.application import QUEUE, key_prefix, level_key, make_app
from labkit.celery_app.capacity import Capacity
from labkit.celery_app.kombu_overrides import LabkitTransport
from labkit.celery_app.message_scripts import DUE, MOST_DUE
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import new_settings
from tests.integration.own_redis import STATES


@pytest.fixture
def settings():
    return new_settings(celery_visibility_timeout=1.0)


@pytest.fixture
def room(client, settings):
    return Capacity(client, settings)


@contextmanager
def taker(app, got):
    """A connection that takes as a worker does; ids go to `got` and are acknowledged."""

    def take(_body, message):
        got.append(message.headers["id"])
        message.ack()

    with app.connection_for_read() as connection:
        queue = app.amqp.queues[QUEUE]
        with Consumer(connection.default_channel, [queue], callbacks=[take], accept=["json"]):
            yield connection


@contextmanager
def unsettled_taker(app):
    """A connection that takes, and what it took, which is not acknowledged."""
    messages: list = []
    with app.connection_for_read() as connection:
        queue = app.amqp.queues[QUEUE]
        with Consumer(
            connection.default_channel,
            [queue],
            callbacks=[lambda _, message: messages.append(message)],
            accept=["json"],
        ):
            yield connection, messages


def drain(connection, got, *, until):
    def enough() -> bool:
        with suppress(TimeoutError):  # nothing came yet
            connection.drain_events(timeout=0.2)
        return until(got)

    wait_until(enough, timeout=120, what="messages were to be taken", interval=0.001)


def queued(client, settings) -> list[str]:
    """The ids of what waits in the first level, the next one first."""
    waiting = client.lrange(level_key(key_prefix(settings), 0), 0, -1)
    return [json.loads(message)["headers"]["id"] for message in reversed(waiting)]


def die_with_an_answer_unread(app, room):
    """Ask for a message as a worker does, and end when Redis has answered."""
    with taker(app, []) as connection:
        connection.transport.cycle.on_poll_start()
        wait_until(lambda: not sum(room.count().waiting), timeout=120, what="Redis was to hand it out")
        connection.default_channel.client.connection.disconnect()


def test_who_dies_with_the_answer_unread_leaves_the_message_to_others(app, room):
    assert isinstance(app.connection_for_read().transport, LabkitTransport)
    app.send_task("anything", queue=QUEUE, task_id="the one")
    die_with_an_answer_unread(app, room)
    assert room.count().unacknowledged == 1
    got: list[str] = []
    with taker(app, got) as another:
        drain(another, got, until=bool)
    assert got == ["the one"]
    assert (sum(room.count().waiting), room.count().unacknowledged) == (0, 0)


def test_with_the_transport_of_kombu_it_would_be_lost(lab, settings, room):
    theirs = make_app(lab.redis_url, settings)
    theirs.conf.update(broker_url=theirs.conf.broker_url.replace("labkit+", "redis+"), broker_transport=None)
    assert type(theirs.connection_for_read().transport) is KombuTransport
    theirs.send_task("anything", queue=QUEUE)
    die_with_an_answer_unread(theirs, room)
    assert (sum(room.count().waiting), room.count().unacknowledged) == (0, 0)


def test_urgent_messages_go_first_and_each_level_in_order(app):
    for number, priority in enumerate([9, 0, 5, 0, 9, 5]):
        app.send_task("anything", queue=QUEUE, task_id=f"{priority}-{number}", priority=priority)
    got: list[str] = []
    with taker(app, got) as connection:
        drain(connection, got, until=lambda got: len(got) == 6)
    assert got == ["0-1", "0-3", "5-2", "5-5", "9-0", "9-4"]


@pytest.mark.parametrize("batch", [False, True])
def test_who_waits_is_woken_at_once(app, batch):
    got: list[str] = []
    waits = []
    with taker(app, got) as connection, app.connection_for_write() as writing:
        producer = app.amqp.Producer(writing, auto_declare=False)
        channel = connection.default_channel
        for number in range(10):
            drain(connection, got, until=lambda got: channel._waits)
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.01)  # from now on it listens for the bell
            began = time()
            if batch:
                with producer.batch():
                    app.send_task("anything", queue=QUEUE, task_id=str(number), producer=producer)
            else:
                app.send_task("anything", queue=QUEUE, task_id=str(number), producer=producer)
            drain(connection, got, until=lambda got, number=number: len(got) > number)
            waits.append(time() - began)
    assert sorted(waits)[5] < 0.5  # without the bell it would look again after a second


@pytest.mark.parametrize("state", ["read_only", "busy", "unable_to_save", "killed"])
def test_who_cannot_acknowledge_now_does_so_later_also_over_another_connection(own_redis, state):
    """kombu gives it up: the message comes again, and whoever had it takes one less from then on."""
    settings = new_settings()  # by its visibility time-out nothing would come back within the test
    app, got = make_app(own_redis.url, settings), []
    with own_redis.client() as client:
        room = Capacity(client, settings)
        app.send_task("anything", queue=QUEUE, task_id="the one")
        with unsettled_taker(app) as (connection, messages):
            drain(connection, messages, until=bool)
            with STATES[state](own_redis):
                messages[0].ack()
        assert room.count().unacknowledged == 1
        with taker(app, got) as connection:
            drain(connection, got, until=lambda _: room.count().unacknowledged == 0)
        assert sum(room.count().waiting) == 0
    assert got == []


def test_what_is_not_done_goes_back_into_the_queue_also_where_redis_is_full(own_redis):
    """kombu's transaction would try it again and again, and the worker could not be ended."""
    settings = new_settings()
    app = make_app(own_redis.url, settings)
    with own_redis.client() as client:
        room = Capacity(client, settings)
        for number in range(3):
            app.send_task("anything", queue=QUEUE, task_id=str(number))
        with unsettled_taker(app) as (connection, messages):
            drain(connection, messages, until=lambda messages: len(messages) == 2)
            with STATES["full"](own_redis):
                connection.default_channel.close()
                count = room.count()
        assert (sum(count.waiting), count.unacknowledged) == (3, 0)
        assert queued(client, settings) == ["0", "1", "2"]


@pytest.mark.parametrize("is_ending", [True, False])
def test_what_a_worker_that_ends_rejects_is_the_next_ones_and_what_has_failed_lets_others_go_first(
    app, client, settings, is_ending
):
    app.conf.broker_transport_options |= {"is_ending": lambda: is_ending}
    for number in range(3):
        app.send_task("anything", queue=QUEUE, task_id=str(number))
    with unsettled_taker(app) as (connection, messages):
        drain(connection, messages, until=bool)
        messages[0].reject(requeue=True)
        assert queued(client, settings) == (["0", "1", "2"] if is_ending else ["1", "2", "0"])


def test_what_dead_workers_had_comes_before_what_waits_the_oldest_first(lab, client):
    settings = new_settings()  # with a visibility time-out within which nothing comes back by itself
    app = make_app(lab.redis_url, settings)
    for number in range(4):
        app.send_task("anything", queue=QUEUE, task_id=str(number))
    with unsettled_taker(app) as (connection, messages):
        drain(connection, messages, until=lambda messages: len(messages) == 3)
        connection.default_channel.leave_out([message.delivery_tag for message in messages])  # as one that is killed
    index = f"{key_prefix(settings)}unacked_index"
    for seconds, message in enumerate(messages):
        client.zadd(index, {message.delivery_tag: 1 + seconds})
    with app.connection_for_read() as connection:
        connection.default_channel.qos.restore_visible()
    assert queued(client, settings) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "noted", ["", "rubbish", "null", '[{"x": {"__type__": "?", "__value__": 0}}, "e", "r"]', "1" * 5000]
)
def test_what_is_noted_of_a_dead_worker_and_cannot_be_read_keeps_nothing_else_there(lab, client, noted):
    settings = new_settings()  # with a visibility time-out within which nothing comes back by itself
    app, prefix = make_app(lab.redis_url, settings), key_prefix(settings)
    for number in range(2):
        app.send_task("anything", queue=QUEUE, task_id=str(number))
    with unsettled_taker(app) as (connection, messages):
        drain(connection, messages, until=lambda messages: len(messages) == 2)
        connection.default_channel.leave_out([message.delivery_tag for message in messages])  # as one that is killed
    client.hset(f"{prefix}unacked", "odd", noted)
    tags = {messages[0].delivery_tag: 1, "odd": 2, messages[1].delivery_tag: 3}
    client.zadd(f"{prefix}unacked_index", tags)
    with app.connection_for_read() as connection:
        connection.default_channel.qos.restore_visible()
    assert queued(client, settings) == ["0", "1"]
    assert client.hlen(f"{prefix}unacked") == 0


@pytest.mark.parametrize(("state", "goes_on_over_it"), [("unable_to_save", True), ("read_only", False)])
def test_a_redis_that_refuses_is_asked_again_and_a_replica_over_a_new_connection(own_redis, state, goes_on_over_it):
    """Behind the address of what has become a replica there may be another by now."""
    app, got = make_app(own_redis.url, new_settings()), []
    with taker(app, got) as connection:
        drain(connection, got, until=lambda _: connection.default_channel.client.connection._sock is not None)
        before = connection.default_channel.client.connection._sock
        with STATES[state](own_redis):
            drain(connection, got, until=lambda _: connection.default_channel._ask_at > 0)
            assert (connection.default_channel.client.connection._sock is before) is goes_on_over_it
        app.send_task("anything", queue=QUEUE, task_id="the one")
        drain(connection, got, until=bool)
    assert got == ["the one"]


@pytest.mark.parametrize("name", ["unacked", "unacked_index", level_key("", 5)])
def test_a_key_that_is_another_programs_costs_no_message_and_ends_nobody(app, client, settings, name):
    """A script that fails in the middle is not undone, so nothing is taken out of a queue before it can be noted."""
    got: list[str] = []
    client.set(foreign := f"{key_prefix(settings)}{name}", "another program's")
    with taker(app, got) as connection:
        app.send_task("anything", queue=QUEUE, task_id="the one", priority=6)
        drain(connection, got, until=lambda _: connection.default_channel._ask_at > 0)
        assert client.llen(f"{key_prefix(settings)}{level_key('', 6)}") == 1
        client.delete(foreign)
        drain(connection, got, until=bool)
    assert got == ["the one"]


def test_a_message_that_its_queue_refuses_stays_noted_until_its_visibility_timeout(app, client, settings):
    app.send_task("anything", queue=QUEUE)
    with unsettled_taker(app) as (connection, messages):
        drain(connection, messages, until=bool)
        client.set(foreign := level_key(key_prefix(settings), 0), "another program's")
        connection.default_channel.close()
    assert client.hlen(f"{key_prefix(settings)}unacked") == 1
    client.delete(foreign)
    got: list[str] = []
    with taker(app, got) as connection:
        drain(connection, got, until=bool)


def test_what_was_taken_before_the_clock_was_set_back_comes_back_too(app, room, client, settings):
    app.send_task("anything", queue=QUEUE, task_id="the one")
    die_with_an_answer_unread(app, room)
    index = f"{key_prefix(settings)}unacked_index"
    (tag,) = client.zrange(index, 0, -1)
    client.zincrby(index, 3600, tag)
    got: list[str] = []
    with taker(app, got) as another:
        drain(another, got, until=bool)
    assert got == ["the one"]


def test_what_is_due_is_put_back_by_one_worker_and_by_another_if_that_one_dies(app, room, client, settings):
    app.send_task("anything", queue=QUEUE, task_id="the one")
    die_with_an_answer_unread(app, room)
    index = f"{key_prefix(settings)}unacked_index"
    (tag,) = client.zrange(index, 0, -1)
    client.zadd(index, {tag: 1})

    def due() -> list[bytes]:
        return client.eval(DUE, 1, index, 60.0, 60, 10)

    assert due() == [tag]
    assert due() == []
    client.zincrby(index, -60, tag)  # as a minute later
    assert due() == [tag]


def test_what_is_due_is_so_by_the_microsecond(client, settings):
    index = f"{key_prefix(settings)}unacked_index"
    seconds, micros = client.time()
    taken = seconds + micros / 1e6 - 60.0
    client.zadd(index, {"the one": taken})
    assert client.eval(DUE, 1, index, 60.0, *MOST_DUE) == [b"the one"]
    assert client.zscore(index, "the one") >= taken + MOST_DUE[0] - 0.001, "it is another's no sooner"


def test_who_puts_back_takes_few_at_a_time_and_stops_long_before_they_are_anothers(app, client, settings, monkeypatch):
    index = f"{key_prefix(settings)}unacked_index"
    client.zadd(index, {str(number): 1 for number in range(30)})
    assert len(client.eval(DUE, 1, index, 3600.0, *MOST_DUE)) == 10
    put_back, now = [], [0.0]

    def restore(tag: str) -> None:
        put_back.append(tag)
        now[0] += 1.5

    with taker(app, []) as connection:
        qos = connection.default_channel.qos
        monkeypatch.setattr(qos, "restore_by_tag", restore)
        monkeypatch.setattr(kombu_overrides, "monotonic", lambda: now[0])
        qos.restore_visible()
    assert len(put_back) == 2


def test_a_message_that_another_has_put_back_and_a_third_one_taken_stays_noted(app, client, settings):
    prefix = key_prefix(settings)
    client.zadd(f"{prefix}unacked_index", {"the one": 1e12, "gone": 1e12})
    client.hset(f"{prefix}unacked", "the one", "what the third one has noted")
    with app.connection_for_read() as connection:
        for tag in ("the one", "gone"):
            connection.default_channel.settle(tag, b"")  # as it was seen: put back, and not taken yet
    assert client.zrange(f"{prefix}unacked_index", 0, -1) == [b"the one"]
    assert client.hkeys(f"{prefix}unacked") == [b"the one"]
