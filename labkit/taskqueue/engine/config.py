"""How a worker works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from msgspec import Struct

from labkit.errors import SettingsError
from labkit.taskqueue.engine.retry import Retry
from labkit.taskqueue.task import Task

Handler = Callable[[Task], object]

#: Which tasks go one after the other: those of a partition, those of a key, none.
Order = Literal["partition", "key", "none"]
#: Where handlers run. Threads suit work that waits, processes work that keeps a CPU busy.
Executor = Literal["threads", "asyncio", "processes"]
#: Whether the partitions are dealt out among the workers, or each record is locked for one of them (KIP-932).
Mode = Literal["group", "share"]

#: By name, for those who choose by a text.
ORDERS: dict[str, Order] = {name: name for name in get_args(Order)}
EXECUTORS: dict[str, Executor] = {name: name for name in get_args(Executor)}
MODES: dict[str, Mode] = {name: name for name in get_args(Mode)}

#: How many tasks a worker holds at most, by default: enough to find work for many threads among busy keys.
MAX_IN_FLIGHT = 1000
#: The same by mode. What a worker of a share group holds is locked for all others.
HELD_AT_MOST: dict[Mode, int] = {"group": MAX_IN_FLIGHT, "share": 10}


class WorkerConfig(Struct, frozen=True, kw_only=True):
    """How a worker works; times in seconds.

    Up to `concurrency` tasks are worked on at once, whatever the number of partitions, as far as `order` lets them.
    An attempt may take `timeout`; then it has failed (processes: killed; asyncio: cancelled at its next await;
    threads: the handler itself must ask, see `labkit.taskqueue.engine.deadline`).
    At most `max_in_flight` tasks are held that are not finished: fetching pauses there and goes on at half of it.
    In `mode` "share" a record is locked for a worker for `lock` seconds, and `order` is "none".
    """

    order: Order = "partition"
    concurrency: int = 1
    executor: Executor = "threads"
    timeout: float | None = None
    retry: Retry = Retry()
    max_in_flight: int = MAX_IN_FLIGHT
    session_timeout: float = 6.0
    mode: Mode = "group"
    lock: float = 30.0

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.max_in_flight < self.concurrency:
            raise SettingsError(
                f"A worker cannot do {self.concurrency} tasks at once and hold {self.max_in_flight}: it does at least "
                "one, and holds at least as many as it does."
            )
        if self.mode == "share" and self.order != "none":
            raise SettingsError(
                f"A share group keeps no order, so the order {self.order!r} cannot be: any worker may get any task. "
                "Leave the order out, or use mode 'group'."
            )
