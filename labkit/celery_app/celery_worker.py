"""A Celery worker that performs labkit's tasks: `labkit celery worker`."""

from __future__ import annotations

import mmap
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import uuid4

from celery import bootsteps

from labkit.celery_app.application import HEARTBEAT_INTERVAL, broker_url, make_app, redis_py_url
from labkit.celery_app.capacity import Presence, connect
from labkit.celery_app.celery_overrides import make_program
from labkit.celery_app.celery_status import PERIODIC, OutcomeCounter
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.kinds import import_handlers
from labkit.celery_app.known_kinds import say_kinds
from labkit.celery_app.outcome_writer import OutcomeWriter
from labkit.celery_app.performer import Performer
from labkit.celery_app.periodic_tasks import PeriodicTasks
from labkit.celery_app.task_starts import TaskStarts
from labkit.celery_app.unknown_tasks import UnknownTasks
from labkit.errors import BadRecord, RedisRefused, RedisUnreachable
from labkit.logs.safe_logger import safe_logger
from labkit.outage import Outage
from labkit.redis_state import Refusals
from labkit.settings import Settings
from labkit.taskqueue.engine.attempts import LOOK_AGAIN
from labkit.taskqueue.engine.worker_config import Retry

if TYPE_CHECKING:
    from celery import Celery

#: Where tasks run: in processes that are forked, in threads, or in the worker itself, one at a time.
Pool = Literal["prefork", "threads", "solo"]

#: What comes of a worker that cannot say that it runs.
UNSEEN = "dispatchers do not count this worker, and its death is not noticed"

log = safe_logger("labkit.celery")


class SharedFlag:
    """A flag that processes share which were forked since. It needs no lock, which a killed process could hold."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def is_set(self) -> bool:
        """Whether anybody has set it and nobody has cleared it since."""
        return bool(self._memory[0])

    def set(self) -> None:
        """Set it for all."""
        self._memory[0] = 1

    def clear(self) -> None:
        """Clear it for all."""
        self._memory[0] = 0


def worker_app(settings: Settings, *, retry: Retry | None = None, tally: OutcomeCounter | None = None) -> Celery:
    """The application of a worker, with a Celery task for each handler and each periodic task.

    `tally` counts what becomes of them. Raises `SettingsError`, `LabNotRunning` and `HandlerNotFound`.
    """
    url, retry = broker_url(settings), retry or Retry()
    import_handlers(settings)
    app = make_app(url, settings)
    count = (lambda what: None) if tally is None else tally.add
    run = uuid4().hex
    starts = TaskStarts(connect(url), settings, run=run)
    writer = OutcomeWriter(url, settings, starts, count)
    ending, flag = SharedFlag(), SharedFlag()
    outage = Outage(log, "Celery's worker", "Redis", meanwhile="its tasks wait, which is no attempt", flag=flag)
    Performer(
        app,
        redis_py_url(url),
        retry=retry,
        starts=starts,
        write=writer.write,
        is_ending=ending.is_set,
        is_said=flag.is_set,
    ).register()
    PeriodicTasks(url, settings, on_run=lambda: count(PERIODIC)).register(app)
    app.unknown_tasks = UnknownTasks(writer)
    app.longest_wait = max(retry.longest, LOOK_AGAIN)
    app.on_process_died = _Deaths(starts)
    app.on_ending = ending.set
    app.outage = outage
    state = {"is_away": flag.is_set, "is_ending": ending.is_set}
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, **state}
    app.steps["consumer"].add(sign_step(partial(_presence_of, url, settings, run), outage, Refusals(log), UNSEEN))
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

    `prefetch` is how many tasks are taken per task at once, those that run included. `on_ready` is called when the
    first task can come, `on_ending` when it is to end, with the number of tasks that it has then, if there are any.
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


class _Deaths:
    """Notes which tasks had the processes that have died. What cannot be noted now is with the next one."""

    def __init__(self, starts: TaskStarts) -> None:
        self._starts = starts
        self._refusals = Refusals(log)
        self._open: deque[tuple[Envelope, int | None]] = deque()

    def __call__(self, arguments: Sequence[object], process: int | None) -> None:
        """A process has died with the task of this message."""
        try:
            self._open.append((Envelope.from_json(arguments[0]), process))
        except (BadRecord, IndexError):
            return  # it is not labkit's
        self._note()

    def _note(self) -> None:
        try:
            while self._open:
                self._note_first()
        except RedisUnreachable as error:
            log.warning("the death of a process has to be noted later: %s", error)

    def _note_first(self) -> None:
        try:
            self._starts.process_died(*self._open[0])
        except RedisRefused as error:
            self._refusals.say(error, "a task that kills its process is not recognised")
        self._open.popleft()


def _presence_of(url: str, settings: Settings, run: str, consumer: Any) -> Signs:
    client = connect(url)
    presence = Presence(client, settings, name_of(consumer), run=run)

    def say() -> None:
        presence.say(consumer.pool.num_processes)  # which may be others than at the start
        say_kinds(client, settings, run)

    return Signs(say, presence.leave)


class Signs(NamedTuple):
    """How a worker says in Redis that it lives, and that it ends."""

    say: Callable[[], object]
    leave: Callable[[], object]


def sign_step(
    signs_of: Callable[[Any], Signs], outage: Outage, refusals: Refusals, unseen: str
) -> type[bootsteps.StartStopStep]:
    """A step of Celery's worker that says every second that it lives, by the signs of its consumer; `unseen` is what
    comes of it where Redis refuses that.

    It belongs to the consumer, not to the whole worker: Celery clears all timers when the connection to the broker is
    lost, and starts the consumer's steps again when it is back.
    """

    def tell(call: Callable[[], object]) -> bool:
        """Whether Redis is there, and tasks may come, also where it has refused this."""
        try:
            call()
        except RedisUnreachable as error:
            outage.begins(error)
            return False
        except RedisRefused as error:
            refusals.say(error, unseen)
        return True

    class SignStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = frozenset({"celery.worker.consumer.tasks:Tasks"})

        _timer: Any = None

        def start(self, consumer: Any) -> None:
            self._signs = signs_of(consumer)
            self._say()
            self._timer = consumer.timer.call_repeatedly(HEARTBEAT_INTERVAL, self._say)

        def stop(self, _consumer: Any) -> None:
            if self._timer is None:
                return  # the connection was lost before this step was started
            self._timer.cancel()
            if not outage.on:  # else others will notice by its silence
                tell(self._signs.leave)

        def _say(self) -> None:
            if tell(self._signs.say):
                outage.ends()

    return SignStep
