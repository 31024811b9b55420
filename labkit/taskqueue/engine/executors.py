"""Where handlers run: in threads, on an asyncio loop, or in processes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol, cast

from labkit.errors import SettingsError, TaskTimedOut
from labkit.taskqueue.engine.attempts import Attempts
from labkit.taskqueue.engine.fork_guard import guard_loop, guarded_wait
from labkit.taskqueue.engine.handler import Work, begin_deadline, task_deadline
from labkit.taskqueue.engine.handler_process import HandlerProcess
from labkit.taskqueue.engine.outcome import check_handler, is_asynchronous, not_run, outcome_of
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import ExecutorName, Handler, WorkerConfig
from labkit.taskqueue.task import Task


class Executor(Protocol):
    """Takes tasks from the shards and works on up to `concurrency` of them at once."""

    def start(self) -> None:
        """Begin to take tasks."""
        ...

    def join(self, timeout: float) -> bool:
        """The shards are closed: whether no handler runs any more, after `timeout` seconds at most."""
        ...

    def give_up(self) -> None:
        """End the handlers that still run, as far as that can be done: what becomes of them does not matter."""
        ...


class Runner(Protocol):
    """Where one thread of a `ThreadExecutor` runs the handler."""

    def run(self, task: Task) -> BaseException | None:
        """Work on the task; why it failed, None if it did not."""
        ...

    def close(self) -> None:
        """No more tasks come; end the handler if it runs and can be ended. Any thread may call it."""
        ...


class InThread:
    """Runs the handler in the thread itself.

    `timeout` is the time per attempt in seconds. A thread cannot be stopped from outside, so the handler must ask:
    see `labkit.taskqueue.engine.handler`.
    """

    def __init__(self, handler: Handler, timeout: float | None) -> None:
        self._handler = handler
        self._timeout = timeout

    def run(self, task: Task) -> BaseException | None:
        """Work on the task."""
        if self._timeout is None:
            return outcome_of(self._handler, task)
        with task_deadline(self._timeout):
            return outcome_of(self._handler, task)

    def close(self) -> None:
        """Nothing to do."""


class ThreadExecutor:
    """One thread per runner: it takes a task, runs it, and takes the next."""

    def __init__(
        self,
        shards: Shards,
        attempts: Attempts,
        runners: Sequence[Runner],
        *,
        name: str,
        on_crash: Callable[[BaseException], object],
    ) -> None:
        self._shards = shards
        self._attempts = attempts
        self._runners = runners
        self._given_up = False
        self._on_crash = on_crash
        self._threads = [
            threading.Thread(target=self._run, args=(runner,), name=f"{name}-{number}", daemon=True)
            for number, runner in enumerate(runners, start=1)
        ]

    def start(self) -> None:
        """Begin to take tasks."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> bool:
        """Whether all threads have ended, after `timeout` seconds at most."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:  # else it could not be started
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def give_up(self) -> None:
        """End the processes of handlers; a thread cannot be ended and is left behind."""
        self._given_up = True
        for runner in self._runners:
            runner.close()

    def _run(self, runner: Runner) -> None:
        begin, end, take, run = self._attempts.begin, self._attempts.end, self._shards.take, runner.run
        try:
            while (item := take()) is not None:
                task = begin(item)
                if task is not None:
                    error = run(task)
                    if self._given_up:
                        return  # it will run again elsewhere, and what it ended with is our doing
                    end(item, error)
        except BaseException as error:  # noqa: BLE001 - not the handler's: the worker must not go on without this thread
            self._on_crash(error)
        finally:
            runner.close()


class AsyncioExecutor:
    """One thread with an event loop, on which up to `concurrency` coroutines of the handler run.

    An attempt that takes longer than `timeout` seconds is cancelled at its next `await`.
    """

    def __init__(
        self,
        shards: Shards,
        attempts: Attempts,
        handler: Callable[[Task], Awaitable[object]],
        *,
        config: WorkerConfig,
        name: str,
        on_crash: Callable[[BaseException], object],
    ) -> None:
        self._shards = shards
        self._attempts = attempts
        self._handler = handler
        self._concurrency = config.concurrency
        self._timeout = config.timeout
        self._on_crash = on_crash
        self._loop = asyncio.new_event_loop()
        guard_loop(self._loop)
        self._running: dict[asyncio.Task[BaseException | None], WorkItem] = {}
        self._closing = threading.Event()
        self._given_up = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._ended.add_done_callback(lambda _: self._loop.stop())
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to take tasks."""
        self._shards.when_ready(self._wake)
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Whether the loop has ended, after `timeout` seconds at most."""
        if self._thread.ident is None:  # it could not be started
            self._loop.close()
            return True
        self._closing.set()
        self._wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """Cancel what runs; what does not come to an `await` is left behind."""
        self._given_up = True
        self._ask(lambda: [running.cancel() for running in self._running])

    def _wake(self) -> None:
        self._ask(lambda: self._on(self._fill))

    def _ask(self, step: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed, or was meanwhile
            self._loop.call_soon_threadsafe(step)

    def _run(self) -> None:
        try:
            while not self._ended.done():  # a handler may stop the loop, which goes on then
                # a task that a handler has started raises these through the loop: that is for the handler to see
                with suppress(SystemExit, KeyboardInterrupt):
                    self._loop.run_forever()
            self._ended.result()
        except BaseException as error:  # noqa: BLE001 - not the handler's: the worker must not go on without the loop
            self._on_crash(error)
        finally:
            self._loop.close()

    def _fill(self) -> None:
        """Start as many as there is room for."""
        while len(self._running) < self._concurrency and not self._given_up:
            item = self._shards.take(wait=False)
            if item is None:
                break
            task = self._attempts.begin(item)
            if task is not None:
                running = self._loop.create_task(self._try(task))
                self._running[running] = item
                running.add_done_callback(partial(self._on, self._over))
        if self._closing.is_set() and not self._running and not self._ended.done():
            self._ended.set_result(None)

    def _over(self, running: asyncio.Task[BaseException | None]) -> None:
        # a handler may have cancelled its own task, or another's, even before that has begun
        error = asyncio.CancelledError() if running.cancelled() else running.result()
        item = self._running.pop(running)
        if not self._given_up:
            self._attempts.end(item, error)
        self._fill()

    def _on(self, step: Callable[..., None], *args: asyncio.Task[BaseException | None]) -> None:
        """Take this step; if it fails, that is not the handler's, and the worker must not go on without the loop."""
        try:
            step(*args)
        except BaseException as error:  # noqa: BLE001 - raised again at the end of the loop
            if not self._ended.done():
                self._ended.set_exception(error)

    async def _try(self, task: Task) -> BaseException | None:
        """Work on the task; why it failed, None if it did not. Only the time limit cancels from outside."""
        if self._timeout is not None:
            begin_deadline(self._timeout)  # each of these has a context of its own
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return not_run(await guarded_wait(self._handler(task)))
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything, and be cancelled by others
            if type(error) is TimeoutError and limit.expired():
                return TaskTimedOut(f"It took longer than {self._timeout:g} s and was cancelled.")
            return error


def must_suit(executor: ExecutorName, function: Handler) -> None:
    """Raise `SettingsError` if the handler cannot run in this executor."""
    if is_asynchronous(function) != (executor == "asyncio"):
        raise SettingsError(
            f"The executor is {executor!r}, and the handler is {'' if is_asynchronous(function) else 'not '}an "
            "`async def`. Such handlers, and only such, need executor 'asyncio'."
        )


def make_executor(
    config: WorkerConfig,
    work: Work,
    shards: Shards,
    attempts: Attempts,
    *,
    name: str,
    on_crash: Callable[[BaseException], object],
) -> Executor:
    """The executor that the configuration names. Raises `SettingsError` if the handler does not suit it."""
    function = work.function()
    check_handler(function)
    must_suit(config.executor, function)
    if config.executor == "asyncio":
        handler = cast(Callable[[Task], Awaitable[object]], function)
        return AsyncioExecutor(shards, attempts, handler, config=config, name=name, on_crash=on_crash)
    described = work.describe() if config.executor == "processes" else {}
    runners: list[Runner] = [
        HandlerProcess(described, config.timeout)
        if config.executor == "processes"
        else InThread(function, config.timeout)
        for _ in range(config.concurrency)
    ]
    return ThreadExecutor(shards, attempts, runners, name=name, on_crash=on_crash)
