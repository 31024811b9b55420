"""What a Celery worker does with an envelope: it calls the handler, once, tries again, or gives the task up.

Celery delivers at least once: a worker that is killed leaves its task to another, and a bridge that dies between Celery
and its commit sends a second time. So the handler is wrapped by `labkit.taskqueue.once`, unless it looks after that
itself (`once=False` in `@handles`). A handler that raises is tried again after a back-off, by a further message in
Celery's queue; after its last attempt the task becomes a dead letter on Kafka, as it would with a worker of labkit.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import redis
from billiard.process import current_process
from celery.exceptions import Reject

from labkit.celery_app.envelope import Envelope
from labkit.celery_app.kinds import HANDLERS, Handling, celery_name, handler_of
from labkit.errors import BadRecord, InProgress, LabkitError, LeaseLost, RedisUnreachable
from labkit.logs.safe_logger import safe_logger
from labkit.measure.records import DEAD, DONE, FAILED, REPEATED, TaskRecord
from labkit.taskqueue.engine.attempts import LOOK_AGAIN
from labkit.taskqueue.engine.failure import describe
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.once import once
from labkit.taskqueue.task import Task

if TYPE_CHECKING:
    from celery import Celery

#: What a handler may raise that is its own failure.
FAILURES = (Exception, SystemExit)

log = safe_logger("labkit.celery")


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
            # without shared=False it would be the task of all applications of this process
            options = {"name": celery_name(handling.handler), "bind": True, "max_retries": None, "shared": False}
            self._app.task(**options)(self._body(handling))

    def _body(self, handling: Handling) -> Callable[[Any, dict[str, Any], int], None]:
        run = _HandlerCall(handling, self._url)

        def perform(celery_task: Any, message: dict[str, Any], attempt: int = 1) -> None:
            try:
                envelope = Envelope.from_json(message)
            except BadRecord:
                log.exception("a message was dropped")
                return
            try:
                again = self._attempt(run, envelope, attempt, who_performs(celery_task.request.hostname))
            except (LabkitError, redis.RedisError) as error:
                # the attempt is over, but what must be noted of it could not be
                log.warning("task %s has to come again: %s", envelope.task.id, error)
                again = attempt, LOOK_AGAIN
            if again is not None:
                next_attempt, delay = again
                _come_again(celery_task, (message, next_attempt), delay)

        return perform

    def _attempt(self, run: _HandlerCall, envelope: Envelope, attempt: int, worker: str) -> tuple[int, float] | None:
        """Make this attempt; the number of the next one and after how many seconds, None if there is none."""
        started_at = self._clock()
        called, error = run(envelope.task)
        if isinstance(error, InProgress | LeaseLost | RedisUnreachable):
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

    @staticmethod
    def _outcome(error: BaseException | None, *, called: bool, last: bool) -> str:
        if error is not None:
            return DEAD if last else FAILED
        return DONE if called else REPEATED


class _HandlerCall:
    """Runs one handler, once for each task if its kind wants that. Used by all threads of a worker."""

    def __init__(self, handling: Handling, url: str) -> None:
        self._handler = handling.handler
        self._here = threading.local()

        @wraps(handling.handler)  # its name decides what is remembered of the handler's runs
        def call(task: Task) -> None:
            self._here.called = True
            self._handler(task)

        self._guarded = once(url=url)(call) if handling.once else call

    def __call__(self, task: Task) -> tuple[bool, BaseException | None]:
        """Whether the handler was called, and what it raised."""
        self._here.called = False
        try:
            self._guarded(task)
        except FAILURES as error:
            return self._here.called, error
        return self._here.called, None


def _come_again(celery_task: Any, arguments: tuple[dict[str, Any], int], delay: float) -> None:
    """Let the task come again, as the further message; or else, if the broker does not take that, as this one."""
    try:
        raise celery_task.retry(args=arguments, countdown=delay)
    except Reject as error:  # with which Celery would drop the message that it has
        raise Reject(error.reason, requeue=True) from error


def who_performs(hostname: str) -> str:
    """The name of this process or thread of a Celery worker: that of the worker, and a number from 1 on."""
    worker = hostname.partition("@")[0]
    in_pool = re.fullmatch(r"ThreadPoolExecutor-\d+_(\d+)", threading.current_thread().name)
    index = in_pool.group(1) if in_pool else getattr(current_process(), "index", 0)
    return f"{worker}-{int(index) + 1}"


def sending_name(kind: str) -> str:
    """The name of the Celery task for this kind; raises `UnknownKind`."""
    return celery_name(handler_of(kind).handler)
