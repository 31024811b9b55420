"""A Celery of its own for each test, in the Redis of the lab: its keys have a prefix that no other test uses."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from labkit.celery_app.application import make_app
from labkit.celery_app.capacity import connect
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.kinds import import_handlers
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.lab import Lab
from labkit.settings import Settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.task import Task, new_task
from labkit.taskqueue.topics import Topics
from tests.integration.celery_app.handlers import MODULE


def new_settings(**more: object) -> Settings:
    values = {"topic_prefix": f"{uuid4().hex[:12]}.", "celery_imports": MODULE} | more
    return Settings(_env_file=None, **values)  # type: ignore[arg-type, call-arg]


def envelope(task: Task | None = None, *, rank: int = 0, topic: str = "t", offset: int = 0) -> Envelope:
    task = task or new_task("sleep", 0)
    place = {"topic": topic, "partition": 0, "offset": offset, "group": "dispatchers"}
    return Envelope(task=task, rank=rank, produced_at=1.0, sent_at=2.0, **place)


@pytest.fixture
def settings() -> Settings:
    made = new_settings()
    import_handlers(made)
    return made


@pytest.fixture
def client(lab: Lab) -> Iterator[redis.Redis]:
    with connect(lab.redis_url) as client:
        yield client


@pytest.fixture
def app(lab: Lab, settings: Settings):
    return make_app(lab.redis_url, settings)


@pytest.fixture(scope="session")
def topics(lab: Lab) -> Iterator[Topics]:
    with connect_kafka(lab) as topics:
        yield topics


@pytest.fixture(scope="session")
def at_work(lab: Lab) -> Iterator[Settings]:
    """The settings of a Celery with one worker of two threads."""
    made = new_settings()
    import_handlers(made)
    with CeleryWorker(lab, pool="threads", concurrency=2, settings=made):
        yield made
