"""What a Celery worker does with an envelope: it calls the handler, once, tries again, or gives the task up.

Celery delivers at least once: a worker that is killed leaves its task to another, and a bridge that dies between Celery
and its commit sends a second time. So the handler is wrapped by `labkit.taskqueue.once`, unless it looks after that
itself (`once=False` in `@handles`). A handler that raises is tried again after a back-off, by a further message in
Celery's queue; after its last attempt the task becomes a dead letter on Kafka, as it would with a worker of labkit.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis
from billiard.process import current_process

from labkit.dispatch.envelope import Envelope
from labkit.dispatch.kinds import HANDLERS, Handling, celery_name, handler_of
from labkit.errors import BadRecord, InProgress, LabkitError, RedisUnreachable
from labkit.measure.records import DEAD, DONE, FAILED, REPEATED, TaskRecord
from labkit.taskqueue.engine.attempts import LOOK_AGAIN, describe
from labkit.taskqueue.engine.retry import Retry
from labkit.taskqueue.once import once
from labkit.taskqueue.task import Task

if TYPE_CHECKING:
    from celery import Celery

#: What a handler may raise that is its own failure.
FAILURES = (Exception, SystemExit)

log = logging.getLogger("labkit.celery")


class Performer:
    """Performs the tasks of one Celery application. `url` is that of the Redis which remembers what is done.

    `on_record` gets the record of each attempt, `give_up` that of each last attempt which has failed, with its task.
    `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        app: Celery,
        url: str,
        *,
        retry: Retry,
        on_record: Callable[[TaskRecord], object],
        give_up: Callable[[Envelope, TaskRecord], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._url = url
        self._retry = retry
        self._on_record = on_record
        self._give_up = give_up
        self._clock = clock
        self._rng = random.Random()

    def register(self) -> None:
        """Make a Celery task of each handler."""
        for handling in {celery_name(one.handler): one for one in HANDLERS.values()}.values():
            self._app.task(name=celery_name(handling.handler), bind=True, max_retries=None)(self._body(handling))

    def _body(self, handling: Handling) -> Callable[[Any, dict[str, Any], int], None]:
        def perform(celery_task: Any, message: dict[str, Any], attempt: int = 1) -> None:
            try:
                envelope = Envelope.from_json(message)
            except BadRecord:
                log.exception("a message was dropped")
                return
            try:
                again = self._attempt(handling, envelope, attempt, who_performs(celery_task.request.hostname))
            except (LabkitError, redis.RedisError) as error:
                # the attempt is over, but what must be noted of it could not be
                log.warning("task %s has to come again: %s", envelope.task.id, error)
                again = attempt, LOOK_AGAIN
            if again is not None:
                next_attempt, delay = again
                raise celery_task.retry(args=(message, next_attempt), countdown=delay)

        return perform

    def _attempt(self, handling: Handling, envelope: Envelope, attempt: int, worker: str) -> tuple[int, float] | None:
        """Make this attempt; the number of the next one and after how many seconds, None if there is none."""
        started_at = self._clock()
        called, error = self._try(handling, envelope.task)
        if isinstance(error, InProgress | RedisUnreachable):
            # somebody else is at it, or nobody can tell: no failure of this task
            return attempt, LOOK_AGAIN
        delay = None if error is None else self._retry.delay(attempt, self._rng)
        outcome = self._outcome(error, called=called, last=delay is None)
        record = envelope.record(
            outcome,
            worker=worker,
            attempt=attempt,
            started_at=started_at,
            finished_at=self._clock(),
            error=None if error is None else describe(error),
        )
        if outcome == DEAD:
            log.warning("task %s is given up after attempt %d: %s", envelope.task.id, attempt, record.error)
            self._give_up(envelope, record)
        self._on_record(record)
        return None if delay is None else (attempt + 1, delay)

    def _try(self, handling: Handling, task: Task) -> tuple[bool, BaseException | None]:
        """Whether the handler was called, and what it raised."""
        calls: list[str] = []

        def call(task: Task) -> None:
            calls.append(task.id)
            handling.handler(task)

        # the name decides what is remembered of the handler's runs
        call.__module__, call.__qualname__ = handling.handler.__module__, handling.handler.__qualname__
        guarded = once(url=self._url)(call) if handling.once else call
        try:
            guarded(task)
        except FAILURES as error:
            return bool(calls), error
        return bool(calls), None

    @staticmethod
    def _outcome(error: BaseException | None, *, called: bool, last: bool) -> str:
        if error is not None:
            return DEAD if last else FAILED
        return DONE if called else REPEATED


def who_performs(hostname: str) -> str:
    """The name of this process or thread of a Celery worker: that of the worker, and a number from 1 on."""
    worker = hostname.partition("@")[0]
    in_pool = re.fullmatch(r"ThreadPoolExecutor-\d+_(\d+)", threading.current_thread().name)
    index = in_pool.group(1) if in_pool else getattr(current_process(), "index", 0)
    return f"{worker}-{int(index) + 1}"


def sending_name(kind: str) -> str:
    """The name of the Celery task for this kind; raises `UnknownKind`."""
    return celery_name(handler_of(kind).handler)
