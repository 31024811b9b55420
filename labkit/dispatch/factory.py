"""The factory of dispatchers and bridges for a lab, from the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import redis

from labkit.backpressure import Strategy
from labkit.celery_app.application import broker_url, make_app
from labkit.celery_app.capacity import Capacity, connect
from labkit.celery_app.kinds import import_handlers
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.celery_sender import CelerySender
from labkit.dispatch.dispatcher import Dispatcher
from labkit.dispatch.dispatcher_admission import DispatcherAdmission
from labkit.dispatch.session_options import DEFAULT_POLICY, limit_of
from labkit.errors import UnknownTopic
from labkit.jobs.topic_kind import topic_of_tasks
from labkit.lab import Lab, attach_lab
from labkit.parameters import checked
from labkit.policies import PriorityClass, make_policy
from labkit.settings import Settings, load_settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.topics import Topic, Topics
from labkit.typed_values import typed

#: The name of the class of a bridge, which has only one.
BRIDGE = "bridge"
#: The groups that bridges and dispatchers form.
BRIDGE_GROUP, DISPATCHER_GROUP = "celery_bridge", "dispatcher"


def class_topic(name: str) -> str:
    """The topic of a priority class."""
    return f"jobs.{name}"


@checked
def make_dispatcher(
    lab: Lab,
    topics: Topics,
    classes: Sequence[PriorityClass],
    policy: str = DEFAULT_POLICY,
    options: Mapping[str, float] | None = None,
    *,
    limit: int | None = None,
    admission: Strategy[Any] | None = None,
    name: str | None = None,
    partitions: int = 2,
    settings: Settings | None = None,
) -> Dispatcher:
    """A dispatcher for the topics `jobs.<class>`, which are made if they do not exist.

    `limit`: how many tasks may be taken per task that Celery performs at once, by default as in the settings.
    `admission` says who gets in (see `labkit.dispatch.dispatcher_admission`). The records of what is shed or given up
    go where those of Celery's workers go. Raises `SettingsError`, and `OtherTopicKind` if a
    topic holds jobs or dead letters.
    """
    settings = settings or load_settings()
    name = name or new_name("dispatcher")
    import_handlers(settings)
    url = broker_url(settings, lab)
    client = connect(url)
    for one in {class_topic(one.name) for one in classes} & set(topics.names()):
        topic_of_tasks(topics, one)  # before any topic is made
    return Dispatcher(
        [_get_or_create(topics, class_topic(one.name), partitions) for one in classes],
        classes,
        make_policy(policy, **(options or {})),
        CelerySender(make_app(url, settings)),
        group=DISPATCHER_GROUP,
        room=Capacity(client, settings, dispatcher=name, limit=limit_of(limit, settings)),
        admission=None if admission is None else _dispatcher_admission(admission, client, settings),
        name=name,
        on_record=RecordStream(client, settings).note,
        settings=settings,
    )


@checked
def make_bridge(
    lab: Lab,
    topics: Topics,
    topic: str = "task_queue",
    *,
    group: str = BRIDGE_GROUP,
    name: str | None = None,
    settings: Settings | None = None,
) -> Dispatcher:
    """A bridge: every record of the topic becomes a Celery task. Raises `UnknownTopic`, `OtherTopicKind`
    if the topic holds jobs or dead letters, and `SettingsError`.
    """
    settings = settings or load_settings()
    import_handlers(settings)
    url = broker_url(settings, lab)
    return Dispatcher(
        [topic_of_tasks(topics, topic)],
        [PriorityClass(name=BRIDGE)],
        make_policy("strict"),
        CelerySender(make_app(url, settings)),
        group=group,
        name=name or new_name("bridge"),
        on_record=RecordStream(connect(url), settings).note,
        settings=settings,
    )


def dispatcher_of_job(job: dict[str, Any], settings: Settings) -> Dispatcher:
    """What a `DispatcherProcess` asked for."""
    lab = attach_lab(settings=settings)
    topics = connect_kafka(lab)
    topics.know(job["own"])
    if job["topic"] is not None:
        return make_bridge(lab, topics, job["topic"], name=job["name"], settings=settings)
    return make_dispatcher(
        lab,
        topics,
        typed(job["classes"], list[PriorityClass]),
        job["policy"],
        job["options"],
        limit=job["limit"],
        name=job["name"],
        settings=settings,
    )


def _get_or_create(topics: Topics, name: str, partitions: int) -> Topic:
    try:
        return topics.get(name)
    except UnknownTopic:
        return topics.create(name, partitions=partitions)


def _dispatcher_admission(strategy: Strategy[Any], client: redis.Redis, settings: Settings) -> DispatcherAdmission:
    finished = RecordStream(client, settings)
    finished.skip()
    return DispatcherAdmission(strategy, finished=finished.read)


def new_name(what: str) -> str:
    """A name that no other process has."""
    return f"{what}-{uuid4().hex[:8]}"
