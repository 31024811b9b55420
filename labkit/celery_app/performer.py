"""What a Celery worker does with an envelope: it calls the handler, once, tries again, or gives the task up.

Celery delivers at least once: a worker that is killed leaves its task to another, and a bridge that dies between Celery
and its commit sends a second time. So the handler is wrapped by `labkit.taskqueue.once`, unless it looks after that
itself (`once=False` in `@handles`). A handler that raises is tried again after a back-off, by a further message in
Celery's queue; after its last attempt the task becomes a dead letter on Kafka, as it would with a worker of labkit.

Whatever comes out of a handler is an outcome, and an outcome is written before its message is acknowledged. One that
cannot be written now goes back into the queue in place of its task, to the front, and no handler is called for it.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import redis
from billiard.process import current_process
from celery.exceptions import Reject, WorkerTerminate
from celery.exceptions import Retry as ComesAgain
from kombu.exceptions import OperationalError

from labkit.celery_app.celery_overrides import LabkitRequest, is_terminated
from labkit.celery_app.envelope import Delivered, Envelope
from labkit.celery_app.exclusive_run import ExclusiveRun
from labkit.celery_app.kinds import HANDLERS, Handling, celery_name, handler_of
from labkit.celery_app.message_headers import FIRST, SERIALIZER
from labkit.celery_app.task_starts import Start, TaskStarts
from labkit.errors import BadRecord, KillsItsWorker, RedisRefused, RedisUnreachable
from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import DEAD, DONE, FAILED, REPEATED, TaskRecord
from labkit.outage import Outage
from labkit.redis_state import Refusals, labkit_error
from labkit.taskqueue.engine.attempts import LOOK_AGAIN
from labkit.taskqueue.engine.failure import FailureCounter, describe, failure_of, is_no_attempt
from labkit.taskqueue.engine.outcome import outcome_of
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.once import once
from labkit.taskqueue.task import Task

if TYPE_CHECKING:
    from celery import Celery

#: How long to wait before Redis is asked again, in seconds.
RETRY_INTERVAL = 0.5
#: How long to go on asking when the worker is to end, in seconds.
PATIENCE = 5.0
#: After how long it is said that tasks wait for Redis, if their worker has not said it, in seconds.
SAY_AFTER = 10.0

#: Why a task is given up whose handler tells nothing.
_KILLER = "It was begun {} times, and each time the process or the worker that ran it died, or could not tell its end."

Found = TypeVar("Found")

log = safe_logger("labkit.celery")


class Performer:
    """Performs the tasks of one Celery application. `url` is that of the Redis which remembers what is done.

    `write` gets the outcome of each attempt with its envelope, and may raise: then it gets it again. `is_ending` tells
    whether the worker is to end, `is_said` whether it has said that it waits for Redis. `clock` gives seconds since the
    epoch.
    """

    def __init__(
        self,
        app: Celery,
        url: str,
        *,
        retry: Retry,
        starts: TaskStarts,
        write: Callable[[Envelope, TaskRecord], object],
        is_ending: Callable[[], bool] = lambda: False,
        is_said: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._url = url
        self._retry = retry
        self._starts = starts
        self._write = write
        self._is_ending = is_ending
        self._clock = clock
        self._rng = random.Random()
        self._told = FailureCounter()
        self._exclusive = ExclusiveRun()
        self._outage = _UnsaidOutage(is_said)
        self._refusals = Refusals(log)

    def register(self) -> None:
        """Make a Celery task of each handler."""
        for handling in {celery_name(one.handler): one for one in HANDLERS.values()}.values():
            # without shared=False it would be the task of all applications of this process
            options = {"name": celery_name(handling.handler), "bind": True, "max_retries": None, "shared": False}
            self._app.task(**options, serializer=SERIALIZER, Request=LabkitRequest)(self._body(handling))

    def _body(self, handling: Handling) -> Callable[..., None]:
        call = _HandlerCall(handling, self._url, self._outage)

        def perform(celery_task: Any, message: object, attempt: object = 1, outcome: object = None) -> None:
            try:
                delivery = Delivered.from_json(message, attempt, outcome)
            except BadRecord:
                log.exception("a message was dropped")
                return
            self._perform_or_requeue(celery_task, call, delivery)

        return perform

    def _perform_or_requeue(self, celery_task: Any, call: _HandlerCall, delivery: Delivered) -> None:
        """What is raised by no intention goes to Celery as a message to be delivered again: it would drop it.

        A start that ends so counts as one that ended with a death, so this does not go on without end.
        """
        try:
            self._perform(celery_task, call, delivery)
        except (Reject, ComesAgain):
            raise
        except Exception as error:  # noqa: BLE001 - see above
            why = describe(error)
            log.error("task %s has to come again: %s", delivery.envelope.task.id, failure_of(error).whole)
            self._end_start(self._starts.failed, delivery.envelope)
            threading.Event().wait(RETRY_INTERVAL)
        else:
            return
        raise Reject(why, requeue=True)  # without what was raised, which may be hostile

    def _perform(self, celery_task: Any, call: _HandlerCall, delivery: Delivered) -> None:
        envelope, attempt, record = delivery
        if record is None:
            record = self._attempt(call, envelope, attempt, who_performs(celery_task.request.hostname))
        if record is None:
            self._come_again(celery_task, delivery, LOOK_AGAIN)
        elif not self._is_written(envelope, record):
            # the longer it could not be written the longer it waits, since it goes before all others
            pause = max(LOOK_AGAIN, min(self._clock() - record.finished_at, self._retry.longest))
            self._come_again(celery_task, delivery._replace(outcome=record), pause)
        elif record.outcome == FAILED:
            self._end_start(self._starts.withdraw, envelope)
            delay = self._retry.delay(attempt, self._rng) or 0.0
            self._come_again(celery_task, Delivered(envelope, attempt + 1), delay)

    def _attempt(self, call: _HandlerCall, envelope: Envelope, attempt: int, worker: str) -> TaskRecord | None:
        """Make this attempt; its outcome, or None if it was none."""
        for alone in (False, True):
            with self._exclusive.running(alone=alone):
                start = self._start(envelope, alone=alone)
                if not start.must_be_alone:
                    return self._begun(call, envelope, attempt, worker, start)
        raise AssertionError("a task that is alone may begin")

    def _start(self, envelope: Envelope, *, alone: bool) -> Start:
        """Note the start. One that Redis refuses to note is made without it: that is no fault of the task."""
        try:
            return self._until_redis_answers(partial(self._starts.begin, envelope, alone=alone))
        except RedisRefused as error:
            self._refusals.say(error, "a task that kills its process is not recognised")
            return Start(deaths=0)

    def _end_start(self, change: Callable[[Envelope], object], envelope: Envelope) -> None:
        """The start that was noted is none any more, or tells of no death any more."""
        try:
            self._until_redis_answers(lambda: change(envelope))
        except RedisRefused as error:
            self._refusals.say(error, "a death of this worker may be laid to tasks that had ended")

    def _begun(
        self, call: _HandlerCall, envelope: Envelope, attempt: int, worker: str, start: Start
    ) -> TaskRecord | None:
        started_at, begun = self._clock(), time.monotonic()

        def record(outcome: str, error: BaseException | None, attempt: int) -> TaskRecord:
            told = None if error is None else self._told.tell(error)[0]
            times = {"started_at": started_at, "finished_at": started_at + (time.monotonic() - begun)}
            return envelope.record(outcome, worker=worker, attempt=attempt, error=told, **times)

        if start.to_blame:
            return record(DEAD, KillsItsWorker(_KILLER.format(start.deaths)), start.deaths)
        called, error = call(envelope.task.evolve(attempt=attempt))
        if error is not None and is_no_attempt(error):
            # somebody else is at it, or nobody can tell: no failure of this task
            self._end_start(self._starts.withdraw, envelope)
            return None
        if error is None:
            return record(DONE if called else REPEATED, None, attempt)
        return record(DEAD if self._retry.delay(attempt, self._rng) is None else FAILED, error, attempt)

    def _is_written(self, envelope: Envelope, record: TaskRecord) -> bool:
        """Write the outcome; False if that has to be done again, which is no matter of the handler any more."""
        try:
            self._until_redis_answers(lambda: self._write(envelope, record))
        except Reject:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the outcome must not be lost
            log.warning("the outcome of task %s has to be written later: %s", envelope.task.id, describe(error))
            self._end_start(self._starts.is_over, envelope)
            return False
        if record.outcome == DEAD:
            log.warning("task %s is given up after attempt %d: %s", envelope.task.id, record.attempt, record.error)
        return True

    def _come_again(self, celery_task: Any, delivery: Delivered, delay: float) -> None:
        """Let the task come again, as the further message; what has an outcome before all that waits. What is raised
        if the broker does not take that is for `_perform_or_requeue`.
        """
        how = {"args": delivery.to_json(), "countdown": delay, "headers": {FIRST: delivery.outcome is not None}}

        def send() -> Exception:
            try:
                comes_again: Exception = celery_task.retry(**how, throw=False)
            except Reject as error:  # with which Celery would drop the message that it has
                if isinstance(error.reason, OperationalError | redis.RedisError):
                    raise labkit_error(error.reason, "Celery's queue does not take a message") from error
                raise error.reason from error
            return comes_again

        raise self._until_redis_answers(send)

    def _until_redis_answers(self, ask: Callable[[], Found]) -> Found:
        """What it gives, when Redis answers. Raises `Reject` if the worker is to end before."""
        never = threading.Event()
        since: float | None = None
        while True:
            try:
                found = ask()
            except RedisUnreachable as error:
                self._outage.begins(error)
                now = time.monotonic()
                since = since or now
                if self._is_ending() and now - since >= PATIENCE:
                    raise Reject(str(error), requeue=True) from None  # others get it from Redis, when it is back
                never.wait(RETRY_INTERVAL)
            else:
                self._outage.ends()
                return found


class _UnsaidOutage(Outage):
    """Says that tasks wait for Redis where their worker does not: in the pool "solo" it cannot, and there may be keys
    that only tasks may not change.
    """

    def __init__(self, is_said: Callable[[], bool]) -> None:
        super().__init__(log, "A task of Celery's worker", "Redis", meanwhile="that is no attempt")
        self._is_said = is_said
        self._since: float | None = None

    def _turn(self, away: bool, turns: int | None, reason: object = None) -> None:
        """It was refused, again or for the first time; or it was not."""
        now = time.monotonic()
        self._since = (self._since or now) if away else None
        if not away or (now - (self._since or now) >= SAY_AFTER and not self._is_said()):
            super()._turn(away, turns, reason)


class _HandlerCall:
    """Calls one handler, once for each task if its kind wants that. Used by all threads of a worker."""

    def __init__(self, handling: Handling, url: str, outage: Outage) -> None:
        self._handler = handling.handler
        self._here = threading.local()

        @wraps(handling.handler)  # its name decides what is remembered of the handler's runs
        def call(task: Task) -> object:
            if is_terminated():
                raise WorkerTerminate  # what was raised for that did not come through
            self._here.called = True
            return self._handler(task)

        self._guarded = once(url=url, outage=outage)(call) if handling.once else call

    def __call__(self, task: Task) -> tuple[bool, BaseException | None]:
        """Whether the handler was called, and why it has not done its work; None if it has."""
        self._here.called = False
        error = outcome_of(self._guarded, task)
        if error is not None and is_terminated():
            raise WorkerTerminate  # it is the process that ends, whatever the handler makes of it
        return self._here.called, error


def who_performs(hostname: str) -> str:
    """The name of this process or thread of a Celery worker: that of the worker, and a number from 1 on."""
    worker = hostname.partition("@")[0]
    in_pool = re.fullmatch(r"ThreadPoolExecutor-\d+_(\d+)", threading.current_thread().name)
    index = in_pool.group(1) if in_pool else getattr(current_process(), "index", 0)
    return f"{worker}-{int(index) + 1}"


def sending_name(kind: str) -> str:
    """The name of the Celery task for this kind; raises `UnknownKind`."""
    return celery_name(handler_of(kind).handler)
