"""A Celery worker that performs labkit's tasks: `labkit celery worker`."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import redis
from celery import bootsteps, signals

from labkit.dispatch.app import HEARTBEAT_INTERVAL, broker_url, make_app, redis_py_url
from labkit.dispatch.envelope import Envelope
from labkit.dispatch.kinds import import_handlers
from labkit.dispatch.performing import Performer
from labkit.dispatch.records import RecordStream
from labkit.dispatch.room import Presence, connect
from labkit.lab import attach_lab
from labkit.measure.records import TaskRecord
from labkit.settings import Settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.dead_letters import bury, ensure_dead_topic
from labkit.taskqueue.engine.retry import Retry
from labkit.taskqueue.transport.contract import Record

if TYPE_CHECKING:
    from celery import Celery

#: Where tasks run: in processes that are forked, in threads, or in the worker itself, one at a time.
Pool = Literal["prefork", "threads", "solo"]

log = logging.getLogger("labkit.celery")


def worker_app(settings: Settings, *, retry: Retry | None = None) -> Celery:
    """The application of a worker, with a Celery task for each handler.

    Raises `SettingsError`, `LabNotRunning` and `HandlerNotFound`.
    """
    url = broker_url(settings)
    import_handlers(settings)
    app = make_app(url, settings)
    places = _Places(url, settings)
    Performer(
        app,
        redis_py_url(url),
        retry=retry or Retry(),
        on_record=places.note,
        give_up=places.bury,
    ).register()
    app.steps["worker"].add(_presence_step(url, settings))
    return app


def run_worker(app: Celery, *, pool: Pool, concurrency: int, name: str) -> int:
    """Work until SIGINT or SIGTERM: then finish what is begun, and return the exit status."""
    # Celery would put handlers of its own on the root logger; ours are configured already
    signals.setup_logging.connect(_leave_logging_alone)
    worker = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        pool=pool,
        concurrency=concurrency,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def name_of(worker: Any) -> str:
    """The name that a worker was given; Celery adds the host."""
    return str(worker.hostname).partition("@")[0]


def _leave_logging_alone(**_: object) -> None:
    pass


class _Places:
    """Where records and dead letters go. Connected in the process that needs it, since a fork may not share it."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._settings = settings

    def note(self, record: TaskRecord) -> None:
        """Add to the stream of records."""
        self._records.append(record)

    @cached_property
    def _records(self) -> RecordStream:
        return RecordStream(connect(self._url), self._settings)

    def bury(self, envelope: Envelope, last: TaskRecord) -> None:
        """Write the dead letter; raises `TransportError`. Written twice, it is one: both have the same key."""
        key, value, headers = envelope.task.encode()
        record = Record(
            topic=envelope.topic,
            partition=envelope.partition,
            offset=envelope.offset,
            key=key,
            value=value,
            headers=tuple(headers),
            timestamp_ms=round(envelope.produced_at * 1000),
        )
        with attach_lab(settings=self._settings) as lab, connect_kafka(lab) as topics:
            topic = topics.get(envelope.topic)
            ensure_dead_topic(topic)
            letter = bury(
                topic,
                record,
                error=last.error or "",
                attempts=last.attempt,
                worker=last.worker,
                at=last.finished_at,
            )
            with closing(topic.transport.transactions(topic.full_group(f"celery.{os.getpid()}"))) as transactions:
                transactions.write([letter])


def _presence_step(url: str, settings: Settings) -> type[bootsteps.StartStopStep]:
    """A step of Celery's worker that says every second how many processes there are for tasks."""

    class PresenceStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = frozenset({"celery.worker.components:Timer", "celery.worker.components:Pool"})

        def start(self, worker: Any) -> None:
            self._presence = Presence(connect(url), settings, name_of(worker))
            self._say(worker)
            self._timer = worker.timer.call_repeatedly(HEARTBEAT_INTERVAL, self._say, (worker,))

        def stop(self, worker: Any) -> None:
            self._timer.cancel()
            try:
                self._presence.leave()
            except redis.RedisError as error:  # others will notice by its silence
                log.warning("the worker could not say goodbye: %s", error)

        def _say(self, worker: Any) -> None:
            try:
                self._presence.say(worker.concurrency)
            except redis.RedisError as error:
                log.warning("the worker could not say that it lives: %s", error)

    return PresenceStep
