"""The overrides of Celery's private parts: its worker as a program of labkit, how it is ended, and what ends with it.

They were made for the versions in `MADE_FOR`. A test fails when others are installed: then whoever moves them reads
what has changed there first.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from billiard.common import terminate_handler_fired
from celery import bootsteps, signals
from celery.app import trace
from celery.apps.worker import Worker, install_worker_term_hard_handler, on_cold_shutdown
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.exceptions import SecurityWarning, WorkerLostError, WorkerTerminate
from celery.platforms import EX_FAILURE, EX_OK
from celery.utils.threads import bound_open_broker_sockets, default_socket_timeout
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.state import maybe_shutdown

from labkit.celery_app.message_headers import bound_wait, check_headers
from labkit.celery_app.pool_process import PoolProcess
from labkit.logs.safe_logger import safe_logger
from labkit.process.signals import ENDING, ending_signals, have_effect_in_copy

if TYPE_CHECKING:
    from celery import Celery

log = safe_logger("labkit.celery")

#: The versions of the distributions whose private parts are used here.
MADE_FOR = {"celery": "5.7.0", "billiard": "4.3.2"}

#: How often a worker that is to end looks whether a task still runs, in seconds.
LOOK_INTERVAL = 0.1
#: How long to wait before the broker is tried again, in seconds.
RECONNECT_INTERVAL = 1.0
#: How long to try to close a connection that is lost, in seconds.
CLOSE_TIMEOUT = 5.0
#: How long a process of the pool may take to start, in seconds. Celery's 4 are too few for a computer that is busy.
START_TIMEOUT = 30.0
#: How often a worker looks which processes of its pool have died, in seconds.
MAINTAIN_INTERVAL = 0.5
#: How long a process of the pool may take to end that was told to, in seconds; then it is killed.
END_TIMEOUT = 5.0


class Program(Worker):  # type: ignore[misc]
    """Celery's worker. `on_ready` is called when the first task can come, `on_ending` when it ends with tasks left."""

    on_ready: Callable[[], object]
    on_ending: Callable[[int], object]
    #: whether somebody has asked it to end
    ending = False
    #: the process that it is, of which a handler may fork copies
    _owner = 0
    #: whether it has a connection to the broker, and its loop runs
    connected = False

    def on_consumer_ready(self, consumer: Any) -> None:
        """Celery calls this once."""
        super().on_consumer_ready(consumer)
        self.on_ready()

    def install_platform_tweaks(self, worker: Any) -> None:
        """Celery calls this to set its handlers of signals."""
        heeded, self._owner = ending_signals(), os.getpid()
        super().install_platform_tweaks(worker)
        # Celery would have a closed terminal (SIGHUP) start it anew in the background
        for number in ENDING:
            signal.signal(number, self._end_in_order if number in heeded else signal.SIG_IGN)

    def end_if_idle(self) -> None:
        """When it is to end and no task runs, leave the loop; with status 0, not with 1 as Celery after Ctrl-C."""
        if self.ending and not (self.connected and state.reserved_requests):
            state.should_stop = EX_OK

    def _end_in_order(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            have_effect_in_copy(number)
            return
        self.ending = True
        self.app.on_ending()
        # a second one ends the tasks that run; they go back to the queue
        install_worker_term_hard_handler(self, sig=signal.Signals(number).name, callback=_give_back)
        if isinstance(self.pool, SoloPool) and state.active_requests:
            # the loop waits for the task, and a handler of signals must not print
            threading.Thread(target=self.on_ending, args=(len(state.reserved_requests),), name="ending").start()
        if not self.connected:
            self.end_if_idle()


def _give_back(worker: Program) -> None:
    """What runs goes back to the queue; threads cannot be ended, and Celery's loop puts back what they have."""
    if isinstance(worker.pool, PreforkPool):
        for request in [one for one in state.reserved_requests if one not in state.active_requests]:
            request.terminate(worker.pool)  # as soon as a process begins with it; Celery would wait for its end
        threading.Thread(target=_kill_late, args=(worker.pool,), name="end-of-pool", daemon=True).start()
        on_cold_shutdown(worker)
    elif isinstance(worker.pool, SoloPool) and state.active_requests:
        raise WorkerTerminate(EX_FAILURE)


def _kill_late(pool: PreforkPool) -> None:
    """Celery waits for the end of each process that has a task, however long one takes that it could not end."""
    threading.Event().wait(END_TIMEOUT)
    for process in list(pool._pool._pool):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


class EndingStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Of Celery's consumer: when the worker is to end, takes no more tasks and lets those finish that run.

    Celery itself ends the processes of its pool first, and may lose the results of those which finish meanwhile: then
    their tasks are not acknowledged and go back to the queue, although they are done.
    """

    requires = frozenset({"celery.worker.consumer.tasks:Tasks"})

    _timer: Any = None

    def start(self, consumer: Any) -> None:
        """There is a connection, and the loop is about to run."""
        consumer.controller.connected = True
        self._takes_tasks = True
        self._timer = consumer.timer.call_repeatedly(LOOK_INTERVAL, self._look, (consumer,))

    def stop(self, consumer: Any) -> None:
        """The connection is lost, perhaps before this step was started, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
        consumer.controller.connected = False
        consumer.controller.end_if_idle()

    def _look(self, consumer: Any) -> None:
        if consumer.controller.ending and self._takes_tasks:
            consumer.task_consumer.cancel()
            self._takes_tasks = False
            if state.reserved_requests:
                consumer.controller.on_ending(len(state.reserved_requests))
        consumer.controller.end_if_idle()


class LabkitRequest(Request):  # type: ignore[misc]
    """Celery's request for one delivery, which tells the application when the process died that had it."""

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> None:
        """Celery calls this in the worker; a message whose process died goes back into the queue here."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        # a process that this worker has ended itself did not die
        if issubclass(type(error), WorkerLostError | SystemExit) and not state.should_terminate:
            self.app.on_process_died(self.args, self.worker_pid)
        super().on_failure(exc_info, *arguments, **options)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End it. While the worker ends that is no revocation, for which its message would be acknowledged."""
        if self.time_start and state.should_terminate:
            self.cancel(pool, signal, emit_retry=False)
        else:
            super().terminate(pool, signal)


class _PromptPool(AsynPool):  # type: ignore[misc]
    """The processes of Celery's prefork. One that has died is mostly noticed when its pipe ends, but not where another
    one has the other end of it as well: then Celery sees it after 5 s."""

    @property
    def timers(self) -> dict[Callable[[], object], float]:
        """Celery asks what is to be called again and again, and how often."""
        return {self.maintain_pool: MAINTAIN_INTERVAL}


class PreforkPool(TaskPool):  # type: ignore[misc]
    """Celery's prefork with these processes."""

    Pool = _PromptPool


def is_terminated() -> bool:
    """Whether this process, of the pool or the worker, is to end at once: a `SystemExit` was raised in its task."""
    return bool(terminate_handler_fired()) or state.should_terminate is not None


class CarefulConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, which loses no task that this worker does not know, waits a second for its broker, and does
    not end when a connection is lost in the middle of a command.

    Celery itself throws away what it does not know, and its waits get longer, up to 30 s.
    """

    def on_unknown_task(self, _body: object, message: Any, _error: object) -> None:
        """Celery calls this for a task that nobody has registered. It takes no place of others."""
        message.channel.leave_out([message.delivery_tag])
        self.app.unknown_tasks.add(message, lambda: self.call_soon(message.ack_log_error, log, self.connection_errors))

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        """Celery calls this for what it does with a message; one that it cannot read would end the worker."""
        take = super().create_task_handler(*arguments, **options)

        def handle(message: Any) -> None:
            try:
                check_headers(message.headers)
                bound_wait(message.headers, self.app.longest_wait)
                take(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception:
                log.exception("a message was dropped that cannot be read: %s", message.headers)
                for request in [one for one in state.reserved_requests if one.message is message]:
                    state.task_ready(request)
                message.reject_log_error(log, self.connection_errors)

        return handle

    def on_connection_error_after_connected(self, error: BaseException) -> None:
        """Celery calls this when the connection is lost, and lets it go."""
        self._close_channels()
        super().on_connection_error_after_connected(error)

    def ensure_connected(self, conn: Any) -> Any:
        """Return when the connection stands, and Redis takes changes."""
        pause, every = threading.Event(), RECONNECT_INTERVAL
        while True:
            conn.ensure_connection(
                lambda error, _: self.app.outage.begins(error),
                interval_start=every,
                interval_max=every,
                callback=maybe_shutdown,
            )
            try:
                conn.default_channel.ring()
            except self.connection_errors as error:
                self.app.outage.begins(error)
                maybe_shutdown()
                pause.wait(every)
            else:
                return conn

    def _close_channels(self) -> None:
        """Close all channels while the connection still knows its address.

        Celery ignores it when Kombu can't close one, and has it closed again later, when it knows its address no more:
        an `AttributeError` that ends the worker, then or when a task is done that ran meanwhile. The first attempt
        fails where a command was under way, the second one has nothing to wait for. Messages of tasks that run on
        are not put back.
        """
        running = [request.message.delivery_tag for request in state.active_requests]
        bound_open_broker_sockets(self.connection, CLOSE_TIMEOUT)
        with default_socket_timeout(CLOSE_TIMEOUT):
            for channel in list(self.connection.transport.channels):
                channel.leave_out(running)
                for _ in range(2):
                    with suppress(*self.connection_errors, *self.channel_errors):
                        channel.close()


def make_program(
    app: Celery, *, on_ready: Callable[[], object], on_ending: Callable[[int], object], **options: Any
) -> Program:
    """A worker that runs in this process when it is started; `options` are those of `celery.apps.worker.Worker`."""
    # Celery would put handlers of its own on the root logger; labkit's are configured already
    signals.setup_logging.connect(_leave_logging_alone)
    signals.worker_process_init.connect(PoolProcess(os.getpid()), weak=False)
    app.steps["consumer"].add(EndingStep)
    if options["pool"] == "prefork":
        options["pool"] = f"{__name__}:{PreforkPool.__name__}"
    app.conf.worker_consumer = f"{__name__}:{CarefulConsumer.__name__}"
    app.conf.worker_proc_alive_timeout = START_TIMEOUT
    # a task that is put back has not failed, so it leaves a line and no traceback
    trace.log_policy_reject = trace.log_policy_reject._replace(traceback=0)
    with warnings.catch_warnings():
        # It warns root of messages that could run any code; here only JSON is accepted, and in containers all are root
        warnings.simplefilter("ignore", SecurityWarning)
        program: Program = app.subclass_with_self(Program, name="Program")(**options)
    program.on_ready, program.on_ending = on_ready, on_ending
    return program


def _leave_logging_alone(**_: object) -> None:
    pass
