"""The options of a worker group: their defaults, which of them do nothing beside others, and what cannot be stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

from labkit.errors import SettingsError
from labkit.logs.safe_logger import safe_logger
from labkit.settings import Settings
from labkit.taskqueue.engine.executors import must_suit
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.outcome import check_handler, is_asynchronous
from labkit.taskqueue.engine.worker_config import HELD_AT_MOST, ExecutorName, Handler, Mode, Order, Retry, WorkerConfig
from labkit.taskqueue.record_format import ForeignRecords
from labkit.taskqueue.service_time import ServiceTime
from labkit.taskqueue.worker_group.group_output import Output
from labkit.taskqueue.worker_group.membership import Membership

log = safe_logger("labkit.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOptions:
    """As they were given to a worker group, None for what was not; what each means is told there.

    Raises `SettingsError` for a handler that cannot be called, and for an option that does nothing beside the others.
    """

    handler: Handler | None
    mode: Mode
    order: Order | None
    concurrency: int
    executor: ExecutorName | None
    timeout: float | None
    retry: Retry | None
    membership: Membership
    output: Output

    def __post_init__(self) -> None:
        if self.handler is not None:
            check_handler(self.handler)
        must_suit(self._executor, self.work().function())
        for option, is_vain, why in _VAIN:
            value = attrgetter(option)(self)
            if not (value is None or value is False) and is_vain(self):
                raise SettingsError(why)
        if self.timeout is not None and self._executor == "threads":
            log.warning(
                "the time of an attempt is limited to %g s, but no handler in a thread can be stopped: one that is to "
                "end in time asks by check_time(). What stops it is executor 'processes', which kills it, or 'asyncio' "
                "with an `async def`, which cancels it",
                self.timeout,
            )

    def work(self) -> Work:
        """What is done with a task."""
        return Work(self.handler)

    def config(self, settings: Settings, foreign: ForeignRecords) -> WorkerConfig:
        """How its workers work; `foreign` says what is made of others' records where they are worked on.

        Raises `SettingsError`.
        """
        membership, held = self.membership, max(HELD_AT_MOST[self.mode], 2 * self.concurrency)
        return WorkerConfig(
            mode=self.mode,
            lock=WorkerConfig().lock if membership.lock is None else membership.lock,
            order=self.order or ("none" if self.mode == "share" else "partition"),
            concurrency=self.concurrency,
            executor=self._executor,
            timeout=self.timeout,
            retry=self.retry or Retry(),
            max_in_flight=held if membership.max_in_flight is None else membership.max_in_flight,
            session_timeout=(
                settings.session_timeout if membership.session_timeout is None else membership.session_timeout
            ),
            foreign="refused" if self.has_no_work else "text" if membership.plain else foreign,
        )

    @property
    def has_no_work(self) -> bool:
        """Whether tasks are taken for done as they come."""
        return self.handler is None

    @property
    def cannot_be_stopped(self) -> bool:
        """Whether what is done with a task is not the user's own, and goes on until it ends by itself."""
        return self._executor != "processes" and (self.handler is None or isinstance(self.handler, ServiceTime))

    @property
    def _executor(self) -> ExecutorName:
        is_coroutine = self.handler is not None and is_asynchronous(self.handler)
        return self.executor or ("asyncio" if is_coroutine else "threads")


#: Which option does nothing, beside which others, and what is said of it.
_VAIN: tuple[tuple[str, Callable[[GroupOptions], bool], str], ...] = (
    (
        "membership.plain",
        lambda one: one.has_no_work,
        (
            "Without a handler, nothing that others have written is worked on, so 'plain' does nothing: give a handler "
            "or a service time, or leave 'plain' out."
        ),
    ),
    (
        "output.log_dir",
        lambda one: not one.membership.processes,
        (
            "Workers in threads log as this process does, so a folder for their logs does nothing: give "
            "membership=Membership(processes=True), or leave it out."
        ),
    ),
    (
        "membership.lock",
        lambda one: one.mode != "share",
        "Only a share group locks tasks, so a lock does nothing in mode 'group': give mode 'share', or leave it out.",
    ),
    (
        "membership.session_timeout",
        lambda one: one.mode == "share",
        (
            "In a share group the broker alone says after how long a silent worker counts as dead, so a session "
            "time-out does nothing: leave it out, or give mode 'group'."
        ),
    ),
    (
        "timeout",
        lambda one: one.cannot_be_stopped,
        (
            "Only a handler, or a service time in processes, can be cut short, so a time-out does nothing here: give a "
            "handler or executor 'processes', or leave it out."
        ),
    ),
    (
        "retry",
        lambda one: one.cannot_be_stopped,
        (
            "Without a handler nothing fails that could be tried again, and a service time does not, so attempts and a "
            "retry do nothing: give a handler, or leave them out."
        ),
    ),
)
