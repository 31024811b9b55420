"""What Celery's workers do for Beat, on a real Kafka and a real Redis."""

from __future__ import annotations

import pytest

from labkit.celery_app.application import make_app
from labkit.celery_app.capacity import connect
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.periodic_tasks import (
    CELERY_GROUP,
    HEARTBEAT,
    HEARTBEAT_TOPIC,
    LAG,
    Lag,
    LagSample,
    LagStream,
    PeriodicTasks,
    lag_series,
)
from labkit.dispatch.celery_sender import CelerySender
from labkit.errors import RedisUnreachable
from labkit.settings import Settings
from labkit.taskqueue import Producer, Topics, WorkerGroup, new_task, stock_tasks
from labkit.taskqueue.transport import connect_transport


@pytest.fixture
def settings(lab, unique_name):
    return Settings(bootstrap_servers=lab.bootstrap_servers, redis_url=lab.redis_url, topic_prefix=f"{unique_name}.")


@pytest.fixture
def topics(lab, settings):
    with Topics(connect_transport(lab.connection, settings.transport), prefix=settings.topic_prefix) as topics:
        yield topics


@pytest.fixture
def runs():
    return []


@pytest.fixture
def app(settings, runs):
    app = make_app(settings.redis_url, settings)
    PeriodicTasks(settings.redis_url, settings, on_run=lambda: runs.append(1), clock=lambda: 1000.0).register(app)
    return app


def test_a_heartbeat_that_is_sent_twice_is_on_kafka_once(app, topics, settings, runs):
    for run in ("first", "second", "first"):
        app.tasks[HEARTBEAT].apply(task_id=f"{settings.topic_prefix}{run}").get()
    with WorkerGroup(topics.get(HEARTBEAT_TOPIC), group="readers") as group:
        found = group.drain(timeout=120)
    assert list(found["task_id"]) == [f"{settings.topic_prefix}{run}" for run in ("first", "second")]
    assert set(found["kind"]) == {"message"}


def test_heartbeats_go_to_the_topic_as_its_user_made_it(app, topics, settings):
    topics.create(HEARTBEAT_TOPIC, partitions=3)
    app.tasks[HEARTBEAT].apply(task_id=settings.topic_prefix).get()
    assert sum(topics.end_offsets(HEARTBEAT_TOPIC).values()) == 1


def test_the_lag_of_every_group_and_of_celery_is_a_series(app, topics, settings, runs):
    topic = topics.create("work", partitions=2)
    with Producer(topic) as producer, WorkerGroup(topic, group="workers") as group:
        producer.send_many(stock_tasks(4, seed=1))
        group.drain(timeout=120)
    with Producer(topic) as producer:
        producer.send_many(stock_tasks(3, seed=2))
    sender = CelerySender(app)
    sender.send([Envelope(task=new_task("sleep"), topic="work", partition=0, offset=0, rank=n, produced_at=0, sent_at=0)
                 for n in (0, 9)])  # fmt: skip
    sender.close()
    for _ in range(2):  # as Beat may send it
        app.tasks[LAG].apply(task_id=f"{settings.topic_prefix}only").get()
    series = lag_series(settings=settings)
    assert series.to_dict("records") == [
        {"at": 1000.0, "group": "workers", "topic": "work", "lag": 3},
        {"at": 1000.0, "group": CELERY_GROUP, "topic": "labkit", "lag": 2},
    ]
    assert runs


def test_a_sample_that_was_written_twice_counts_once_and_the_series_can_be_plotted(settings):
    stream = LagStream(connect(settings.redis_url), settings)
    for number in (1, 2, 2, 3):
        stream.append(LagSample(str(number), float(number), [Lag("g", "t", 10 * number), Lag("h", "t", 0)]))
    wide = lag_series(settings=settings).pivot_table(index="at", columns=["group", "topic"], values="lag")
    assert wide[("g", "t")].to_dict() == {1.0: 10, 2.0: 20, 3.0: 30}
    assert len(wide.plot().get_lines()) == 2


def test_without_samples_the_series_is_empty_and_has_its_columns(settings):
    series = lag_series(settings=settings)
    assert (list(series.columns), len(series)) == (["at", "group", "topic", "lag"], 0)
    assert series["lag"].dtype == "int64"


def test_a_redis_that_is_away_is_named(settings):
    with pytest.raises(RedisUnreachable):
        lag_series(settings=settings.model_copy(update={"redis_url": "unix:///nowhere.sock"}))


def test_what_fails_is_said_and_dropped(lab, settings, runs, caplog, tmp_path):
    nowhere = settings.model_copy(update={"bootstrap_servers": None, "data_dir": tmp_path})
    app = make_app(lab.redis_url, nowhere)
    PeriodicTasks(lab.redis_url, nowhere, on_run=lambda: runs.append(1)).register(app)
    result = app.tasks[HEARTBEAT].apply(task_id=settings.topic_prefix)
    assert result.successful()
    assert runs == []
    assert "labkit.heartbeat could not be done, the next one is to come" in caplog.text
