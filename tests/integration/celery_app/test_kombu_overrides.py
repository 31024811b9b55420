"""A message is taken from Redis in one step: whoever dies with it in hand does not lose it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from time import time

import pytest
from kombu import Consumer
from kombu.transport.redis import Transport as KombuTransport

from labkit.celery_app.application import QUEUE, make_app
from labkit.celery_app.capacity import Capacity
from labkit.celery_app.kombu_overrides import LabkitTransport
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import new_settings


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


def drain(connection, got, *, until):
    def enough() -> bool:
        with suppress(TimeoutError):  # nothing came yet
            connection.drain_events(timeout=0.2)
        return until(got)

    wait_until(enough, timeout=60, what="messages were to be taken", interval=0)


def die_with_an_answer_unread(app, room):
    """Ask for a message as a worker does, and end when Redis has answered."""
    with taker(app, []) as connection:
        connection.transport.cycle.on_poll_start()
        wait_until(lambda: not sum(room.count().waiting), timeout=60, what="Redis was to hand it out")
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
