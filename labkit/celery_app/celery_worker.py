"""A Celery worker that performs labkit's tasks: `labkit celery worker`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import redis
from celery import bootsteps

from labkit.celery_app.application import HEARTBEAT_INTERVAL, broker_url, make_app, redis_py_url
from labkit.celery_app.capacity import Presence, connect
from labkit.celery_app.celery_overrides import make_program
from labkit.celery_app.celery_status import PERIODIC, OutcomeCounter
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.kinds import import_handlers
from labkit.celery_app.performer import Performer
from labkit.celery_app.periodic_tasks import PeriodicTasks
from labkit.celery_app.record_stream import RecordStream
from labkit.errors import BadRecord, LabkitError, UnknownKind, UnknownTopic
from labkit.lab import attach_lab
from labkit.logs.safe_logger import safe_logger
from labkit.measure.records import DEAD, TaskRecord
from labkit.settings import Settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.dead_letters import encode_dead_letter, ensure_dead_topic
from labkit.taskqueue.engine.failure import describe
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.transport.contract import Record

if TYPE_CHECKING:
    from celery import Celery

#: Where tasks run: in processes that are forked, in threads, or in the worker itself, one at a time.
Pool = Literal["prefork", "threads", "solo"]

#: What to do about a task that a worker does not know.
UNKNOWN = "LABKIT_CELERY_IMPORTS must name the same modules for workers as for dispatchers and bridges."

log = safe_logger("labkit.celery")


def worker_app(settings: Settings, *, retry: Retry | None = None, tally: OutcomeCounter | None = None) -> Celery:
    """The application of a worker, with a Celery task for each handler and each periodic task.

    `tally` counts what becomes of them. Raises `SettingsError`, `LabNotRunning` and `HandlerNotFound`.
    """
    url = broker_url(settings)
    import_handlers(settings)
    app = make_app(url, settings)
    count = (lambda what: None) if tally is None else tally.add
    places = _Places(url, settings, count)
    Performer(
        app,
        redis_py_url(url),
        retry=retry or Retry(),
        on_record=places.note,
        give_up=places.bury,
    ).register()
    PeriodicTasks(url, settings, on_run=lambda: count(PERIODIC)).register(app)
    app.on_unknown = places.refuse
    app.steps["consumer"].add(_presence_step(url, settings))
    return app


def run_worker(
    app: Celery,
    *,
    pool: Pool,
    concurrency: int,
    name: str,
    prefetch: int = 1,
    on_ready: Callable[[], object] = lambda: None,
    on_ending: Callable[[int], object] = lambda taken: None,
) -> int:
    """Work until SIGINT, SIGTERM or SIGHUP: then finish what is begun, and return the exit status.

    `prefetch` is how many tasks are taken per process, those that run included. `on_ready` is called when the first
    task can come, `on_ending` when it is to end, with the number of tasks that it has then, if there are any.
    """
    worker = make_program(
        app,
        on_ready=on_ready,
        on_ending=on_ending,
        hostname=f"{name}@{socket.gethostname()}",
        pool=pool,
        concurrency=concurrency,
        prefetch_multiplier=prefetch,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def name_of(part: Any) -> str:
    """The name that a worker, or its consumer, was given; Celery adds the host."""
    return str(part.hostname).partition("@")[0]


class _Places:
    """Where records and dead letters go. Connected in the process that needs it, since a fork may not share it."""

    def __init__(self, url: str, settings: Settings, count: Callable[[str], object]) -> None:
        self._url = url
        self._settings = settings
        self._count = count

    def note(self, record: TaskRecord) -> None:
        """Add to the stream of records."""
        self._records.append(record)
        self._count(record.outcome)

    @cached_property
    def _records(self) -> RecordStream:
        return RecordStream(connect(self._url), self._settings)

    def refuse(self, message: Any) -> bool:
        """Make a dead letter of a message with a task that this worker does not know; False if it has to come again."""
        try:
            (values, *_), _, _ = message.decode()
            envelope = Envelope.from_json(values)
        except (BadRecord, ValueError, TypeError):
            log.error("a message was dropped that is not one of labkit: %s", message.headers)
            return True
        now = time.time()
        record = envelope.record(
            DEAD,
            worker="celery",
            attempt=1,
            started_at=now,
            finished_at=now,
            error=describe(UnknownKind(f"The Celery worker has no task {message.headers['task']!r}. {UNKNOWN}")),
        )
        try:
            self.bury(envelope, record)
            self.note(record)
        except (LabkitError, redis.RedisError) as error:
            log.warning("task %s, which no worker knows, has to wait: %s", envelope.task.id, error)
            return False
        return True

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
            try:
                topic = topics.get(envelope.topic)
            except UnknownTopic as error:
                log.error("task %s leaves no dead letter: %s", envelope.task.id, error)  # to try again would not help
                return
            ensure_dead_topic(topic)
            letter = encode_dead_letter(
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
    """A step of Celery's worker that says every second how many processes there are for tasks.

    It belongs to the consumer, not to the whole worker: Celery clears all timers when the connection to the broker is
    lost, and starts the consumer's steps again when it is back.
    """

    class PresenceStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = frozenset({"celery.worker.consumer.tasks:Tasks"})

        _away = False
        _timer: Any = None

        def start(self, consumer: Any) -> None:
            self._presence = Presence(connect(url), settings, name_of(consumer))
            self._say(consumer)
            self._timer = consumer.timer.call_repeatedly(HEARTBEAT_INTERVAL, self._say, (consumer,))

        def stop(self, consumer: Any) -> None:
            if self._timer is None:
                return  # the connection was lost before this step was started
            self._timer.cancel()
            try:
                self._presence.leave()
            except redis.RedisError as error:  # others will notice by its silence
                self._note_absence(consumer, error)

        def _say(self, consumer: Any) -> None:
            try:
                self._presence.say(consumer.controller.concurrency)
            except redis.RedisError as error:
                self._note_absence(consumer, error)
            else:
                if self._away:
                    log.warning("%s goes on: Redis answers again", name_of(consumer))
                self._away = False

        def _note_absence(self, consumer: Any, error: redis.RedisError) -> None:
            if not self._away:
                log.warning("%s waits for Redis, and its tasks wait there: %s", name_of(consumer), error)
            self._away = True

    return PresenceStep
