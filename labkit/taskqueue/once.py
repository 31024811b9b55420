"""Handlers whose redelivered tasks have one effect: `@once` with Redis, `once_in` with the handler's own database.

A broker delivers at least once: a worker that dies between its work and its commit leaves the task to another, which
works on it again. So the handler must recognise a task that it has done: the idempotent consumer
(https://microservices.io/patterns/communication-style/idempotent-consumer.html) with Stripe's idempotency keys
(https://docs.stripe.com/api/idempotent_requests). docs/once.md says what each form guarantees and what it cannot.

A task is known by its idempotency key if it has one, since then its sender says which tasks are the same; else by
its id.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar, overload

from labkit.errors import InProgress, RedisRefused, RedisUnreachable, SettingsError, TryAgainLater
from labkit.logs.safe_logger import safe_logger
from labkit.outage import Outage
from labkit.parameters import checked
from labkit.taskqueue.engine.fork_guard import guarded, guarded_wait
from labkit.taskqueue.engine.handler import time_left
from labkit.taskqueue.engine.outcome import check_handler, is_asynchronous, name_of_handler, not_run
from labkit.taskqueue.inbox import create_once_table, identity, once_in
from labkit.taskqueue.run_lease import LeaseRenewal, RunLease, RunState, connect_redis
from labkit.taskqueue.task import Task
from labkit.taskqueue.timeouts import LOOK_INTERVAL

__all__ = ["create_once_table", "once", "once_in"]

#: How long a finished task is remembered, in seconds: as long as Kafka keeps records by default.
TTL = 7 * 24 * 3600.0

#: How long a run is believed to live without a sign, in seconds: shorter than the session time-out of a worker
#: (6 s), so that the lease of a killed worker has mostly ended when its tasks come to another.
LEASE = 5.0

log = safe_logger("labkit.worker")

#: How often to look whether Redis is back, at most, in seconds.
LOOK_AGAIN = 0.5

#: Of how many tasks at most it is remembered that their beginning was not answered, so that the next one need not wait.
MOST_UNANSWERED = 10_000

Handle = TypeVar("Handle", bound=Callable[[Task], Any])


@overload
def once(handler: Handle, /) -> Handle: ...


@overload
def once(
    *, ttl: float = TTL, lease: float = LEASE, url: str | None = None, outage: Outage | None = None
) -> Callable[[Handle], Handle]: ...


@checked
def once(
    handler: Any = None,
    /,
    *,
    ttl: float = TTL,
    lease: float = LEASE,
    url: str | None = None,
    outage: Outage | None = None,
) -> Any:
    """A handler (`def` or `async def`) that is not called for a task that it has done within the last `ttl` seconds.

    A delivery that finds another one in progress waits up to `lease` seconds for it, which is how long the lease of a
    killed worker can last. The URL is that of a Redis, by default the lab's; the connection is made when the first task
    comes, so that the module can be imported anywhere. `outage` says that Redis is away, by default once per handler.

    The decorated handler raises what the handler raises, and `TryAgainLater` where the handler was not called, since
    the attempt's time was over, or as `InProgress`, `RedisUnreachable` or `LabNotRunning`; and `LeaseLost` after it was
    overtaken. To a worker these are no attempts. Where the key of the task holds what another program has put there, it
    raises `RedisRefused`, and the handler is not called: that is a failed attempt. Redis may be away when the handler
    returns: then this process makes the mark when Redis is back. Raises `SettingsError` for times that cannot be, and
    for a function with `yield`.
    """
    if not 0.01 <= lease <= ttl:
        raise SettingsError(f"A lease of {lease:g} s and a ttl of {ttl:g} s cannot be: 0.01 <= lease <= ttl.")

    def decorate(handler: Callable[[Task], Any]) -> Callable[[Task], Any]:
        check_handler(handler)
        runs = _Runs(name_of_handler(handler), ttl, lease, url, outage)
        return _asynchronous(handler, runs) if is_asynchronous(handler) else _synchronous(handler, runs)

    return decorate if handler is None else decorate(handler)


class _Runs:
    """The runs of one handler. Its name is part of the key: two handlers of one task have an effect each."""

    def __init__(self, handler: str, ttl: float, lease: float, url: str | None, outage: Outage | None) -> None:
        waits = "its tasks wait, which is no attempt"
        self._outage = outage or Outage(log, f"@once of {handler}", "Redis", meanwhile=waits)
        self.renewal = LeaseRenewal(min(lease / 3, LOOK_AGAIN), self._outage)
        self._handler = handler
        self._ttl = ttl
        self._lease = lease
        self._url = url
        #: by their keys, the tokens by which Redis was asked to begin, and did not answer: it may do so any time
        self._unanswered: dict[str, str] = {}

    def lease(self, task: Task) -> RunLease:
        client, prefix = connect_redis(self._url)
        key = f"{prefix}labkit:once:{self._handler}:{identity(task)}"
        return RunLease(client, key, lease=self._lease, ttl=self._ttl)

    def begin(self, lease: RunLease) -> RunState:
        """Begin, unless a run of this process is done and only its mark was missing."""
        # for one run alone; and not before it asks, since whoever is cancelled until then would lose it
        lease.token = self._unanswered.pop(lease.key, lease.token)
        with self._outage.asked(RedisUnreachable):
            try:
                state = RunState.DONE if self.renewal.mark(lease.key) else lease.begin()
            except RedisUnreachable:
                self._remember(lease)
                raise
        if state is RunState.BEGUN and _is_over():  # whoever has taken the time, Redis has answered
            self.give_back(lease)
            raise TryAgainLater(_TOO_LATE)
        return state

    def _remember(self, lease: RunLease) -> None:
        if len(self._unanswered) >= MOST_UNANSWERED:
            self._unanswered.clear()
        self._unanswered[lease.key] = lease.token

    def give_back(self, lease: RunLease) -> None:
        """The handler has failed, and that is what is to be told. A lease that can't be given back runs out."""
        try:
            lease.give_back()
        except RedisUnreachable as error:
            self._outage.begins(error)
        except RedisRefused as error:
            log.warning("%s", error)

    def pauses(self) -> Iterator[float]:
        """How long to wait before each further look whether another run has ended; over when its lease must be."""
        deadline = time.monotonic() + self._lease
        while time.monotonic() < deadline:
            yield LOOK_INTERVAL

    def may_run(self, state: RunState, task: Task) -> bool:
        if state is RunState.IN_PROGRESS:
            raise InProgress(
                f"Task {task.id} is in progress elsewhere, and that run lives: this delivery waited {self._lease:g} s "
                "for it. Try it again later."
            )
        if state is RunState.DONE:
            log.info("task %s was done before by %s and is skipped", task.id, self._handler)
        return state is RunState.BEGUN


class _Beginning:
    """A run that is begun in a thread, for a coroutine that may be cancelled before it has the answer.

    Then the lease that the thread has got is nobody's, and one of the two gives it back: the one that comes last. A
    future of asyncio could not say so, since it has no more callbacks when its loop has ended.
    """

    def __init__(self, runs: _Runs, lease: RunLease) -> None:
        self._runs = runs
        self._lease = lease
        self._lock = threading.Lock()
        self._has_begun = self._is_left = False

    def ask(self) -> RunState:
        """From the thread: begin."""
        state = self._runs.begin(self._lease)
        with self._lock:
            self._has_begun = state is RunState.BEGUN
            is_nobodys = self._has_begun and self._is_left
        if is_nobodys:
            self._runs.give_back(self._lease)
        return state

    def leave(self) -> bool:
        """From the coroutine: it won't run; whether it is to give the lease back."""
        with self._lock:
            self._is_left = True
            return self._has_begun


_TOO_LATE = "The time of this attempt was over before the handler could begin, so it was not called."


def _is_over() -> bool:
    """Whether this attempt has no time left, as far as this process knows of a limit."""
    left = time_left()
    return left is not None and left <= 0


def _synchronous(handler: Callable[[Task], Any], runs: _Runs) -> Callable[[Task], Any]:
    def begin(lease: RunLease) -> RunState:
        begun, pauses = runs.begin(lease), runs.pauses()
        while begun is RunState.IN_PROGRESS and (pause := next(pauses, None)) is not None:
            time.sleep(pause)
            begun = runs.begin(lease)
        return begun

    @wraps(handler)
    def run(task: Task) -> Any:
        lease = runs.lease(task)
        if not runs.may_run(begin(lease), task):
            return None
        with runs.renewal.renewing(lease):
            try:
                result = guarded(handler, task)  # the lease is not a copy's to give back, nor to mark
                if (error := not_run(result)) is not None:
                    raise error
            except BaseException:
                runs.give_back(lease)
                raise
            runs.renewal.finish(lease)
        return result

    return run


def _asynchronous(handler: Callable[[Task], Any], runs: _Runs) -> Callable[[Task], Any]:
    """Redis is asked from a thread: a call is short, and a client of asyncio would be bound to one loop."""
    in_thread = asyncio.to_thread

    async def ask(lease: RunLease) -> RunState:
        beginning = _Beginning(runs, lease)
        try:
            return await in_thread(beginning.ask)
        except asyncio.CancelledError:  # it may come after the answer, and before this goes on
            if beginning.leave():
                await in_thread(runs.give_back, lease)
            raise

    async def begin(lease: RunLease) -> RunState:
        begun, pauses = await ask(lease), runs.pauses()
        while begun is RunState.IN_PROGRESS and (pause := next(pauses, None)) is not None:
            await asyncio.sleep(pause)
            begun = await ask(lease)
        return begun

    async def finish(lease: RunLease) -> None:
        """Mark the work as done; when the attempt's time ends meanwhile, it is done all the same."""
        marking = asyncio.ensure_future(in_thread(runs.renewal.finish, lease))
        try:
            await asyncio.shield(marking)
        except asyncio.CancelledError:
            marking.add_done_callback(lambda marked: marked.cancelled() or marked.exception())
            if not _is_over():
                raise

    @wraps(handler)
    async def run(task: Task) -> Any:
        try:
            lease = await in_thread(runs.lease, task)
            begun = await begin(lease)
        except asyncio.CancelledError:
            if not _is_over():
                raise
            raise TryAgainLater(_TOO_LATE) from None
        if not runs.may_run(begun, task):
            return None
        with runs.renewal.renewing(lease):
            try:
                result = await guarded_wait(handler(task))
                if (error := not_run(result)) is not None:
                    raise error
            except BaseException:  # also when it is cancelled
                await in_thread(runs.give_back, lease)
                raise
            await finish(lease)
        return result

    return run
