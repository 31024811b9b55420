"""How a worker works, and when it tries a failed task again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from msgspec import Struct

from labkit.errors import SettingsError
from labkit.parameters import check_fields, check_names, checked
from labkit.taskqueue.record_format import ForeignRecords
from labkit.taskqueue.task import Task


@check_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Exponential back-off with jitter; times in seconds.

    A task is tried `attempts` times in all. Before attempt n + 1 it waits a random part, between half and the
    whole, of `first * 2 ** (n - 1)`, at most of `longest`: the jitter keeps tasks that failed together from
    coming back together ("equal jitter": Marc Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
    """

    attempts: int = 3
    first: float = 0.1
    longest: float = 10.0

    def __post_init__(self) -> None:
        check_fields(self)

    @checked
    def delay(self, attempt: int, rng: random.Random) -> float | None:
        """How long to wait after this failed attempt (the first is 1); None if it was the last."""
        if attempt >= self.attempts:
            return None
        # beyond 2**60 `longest` holds anyway, and a float would overflow
        whole: float = min(self.longest, self.first * 2 ** min(attempt - 1, 60))
        return whole * rng.uniform(0.5, 1.0)


Handler = Callable[[Task], object]

#: Which tasks go one after the other: those of a partition, those of a key, none.
Order = Literal["partition", "key", "none"]
#: Where handlers run. Threads suit work that waits, processes work that keeps a CPU busy.
ExecutorName = Literal["threads", "asyncio", "processes"]
#: Whether the partitions are dealt out among the workers, or each record is locked for one of them (KIP-932).
Mode = Literal["group", "share"]

#: By name, for those who choose by a text.
ORDERS: dict[str, Order] = {name: name for name in get_args(Order)}
EXECUTORS: dict[str, ExecutorName] = {name: name for name in get_args(ExecutorName)}
MODES: dict[str, Mode] = {name: name for name in get_args(Mode)}

#: How many tasks a worker holds at most, by default: enough to find work for many threads among busy keys.
MAX_IN_FLIGHT = 1000
#: The same by mode. What a worker of a share group holds is locked for all others.
HELD_AT_MOST: dict[Mode, int] = {"group": MAX_IN_FLIGHT, "share": 10}


class WorkerConfig(Struct, frozen=True, kw_only=True):
    """How a worker works; times in seconds.

    Up to `concurrency` tasks are worked on at once, whatever the number of partitions, as far as `order` lets them.
    An attempt may take `timeout`; then it has failed (processes: killed; asyncio: cancelled at its next await;
    threads: the handler itself must ask, see `labkit.taskqueue.engine.handler`).
    At most `max_in_flight` tasks are held that are not finished: fetching pauses there and goes on at half of it.
    In `mode` "share" a record is locked for a worker for `lock` seconds, and `order` is "none".
    `foreign` says what is made of records that others than labkit have written (docs/wire_format.md).
    """

    order: Order = "partition"
    concurrency: int = 1
    executor: ExecutorName = "threads"
    timeout: float | None = None
    retry: Retry = Retry()
    max_in_flight: int = MAX_IN_FLIGHT
    session_timeout: float = 6.0
    mode: Mode = "group"
    lock: float = 30.0
    foreign: ForeignRecords = "json"

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.max_in_flight < self.concurrency:
            raise SettingsError(
                f"A worker cannot do {self.concurrency} tasks at once and hold {self.max_in_flight}: it does at least "
                "one, and holds at least as many as it does."
            )
        for name, value in (
            ("time-out", self.timeout),
            ("session time-out", self.session_timeout),
            ("lock", self.lock),
        ):
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"A {name} of {value:g} s cannot be: it is more than 0, and finite.")
        if self.mode == "share" and self.order != "none":
            raise SettingsError(
                f"A share group keeps no order, so the order {self.order!r} cannot be: any worker may get any task. "
                "Leave the order out, or use mode 'group'."
            )
