"""Which task may begin: the order that is kept, and what waits.

Every task stands in a shard; tasks of one shard go one after the other, different shards side by side. What a shard is
makes the order: one per partition, one per key, or one per task. In a share group there is no order, and whoever feeds
the shards decides what becomes of each task that comes out.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from queue import SimpleQueue

from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import Order

#: What tasks have in common that go one after the other, per order. A task without a key has a shard of its own.
SHARD_OF: dict[Order, Callable[[WorkItem], object]] = {
    "partition": lambda item: item.record.partition,
    "key": lambda item: item.record.key if item.record.key is not None else item,
    "none": lambda item: item,
}


class _Shard(deque[WorkItem]):
    """The tasks of one shard, the first of which runs or may."""

    __slots__ = ("name",)

    def __init__(self, name: object) -> None:
        super().__init__()
        self.name = name


#: Stands among the ready shards for one that is due.
_DUE = _Shard(None)


class Shards:
    """Hands out tasks in order. Safe to use from many threads; `take` waits, everything else is quick.

    `clock` is in seconds and decides when a postponed task may begin again.
    """

    def __init__(self, order: Order, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shard_of = SHARD_OF[order]
        self._clock = clock
        self._lock = threading.Lock()
        self._shards: dict[object, _Shard] = {}
        self._ready: SimpleQueue[_Shard | None] = SimpleQueue()
        self._postponed: list[tuple[float, int, _Shard, bool]] = []
        # those whose time has come, which have every second turn; for each there is a `_DUE` among the ready ones, so
        # that whoever waits there comes
        self._due: deque[_Shard] = deque()
        self._due_had_turn = False
        self._tickets = count()
        self._running = 0
        self._halted = False
        # from when on no task begins, by the clock; and what those wait for who would begin one
        self._held_from: float | None = None
        self._going_on = threading.Event()
        # whether nothing runs; kept only while somebody waits for it, since it costs as much as the rest of a turn
        self._idle = threading.Event()
        self._on_ready: Callable[[], object] | None = None

    def when_ready(self, call: Callable[[], object]) -> None:
        """Call this whenever a task has become ready, from whatever thread: for those that cannot wait in `take`."""
        self._on_ready = call

    def put(self, items: Iterable[WorkItem]) -> None:
        """Tasks have come, in this order."""
        with self._lock:
            for item in items:
                name = item.shard = self._shard_of(item)
                shard = self._shards.get(name)
                if shard is None:
                    shard = self._shards[name] = _Shard(name)
                    shard.append(item)
                    self._ready.put(shard)
                else:
                    shard.append(item)
        self._say_ready()

    def take(self, *, wait: bool = True) -> WorkItem | None:
        """The next task that may begin; waits for one. None after `close` (or, without `wait`, if there is none)."""
        while True:
            if not wait and (self._ready.empty() or self._is_held()):
                return None
            shard = self._next()
            if shard is None:
                self._ready.put(None)  # for the next that asks
                return None
            while wait and self._is_held():
                self._going_on.wait()  # with the shard in hand: put back, it would be behind all the others
            with self._lock:
                if not shard:
                    continue  # was dropped meanwhile
                if self._halted:
                    continue  # `drop` or `close` follows
                self._running += 1
                return shard[0]

    def done(self, item: WorkItem) -> None:
        """The task that was taken is finished; the next of its shard may begin."""
        with self._lock:
            shard = self._end(item)
            if shard is None:
                return
            shard.popleft()
            if not shard:
                del self._shards[shard.name]
                return
            self._ready.put(shard)
        self._say_ready()

    def postpone(self, item: WorkItem, delay: float, *, behind: bool = False) -> None:
        """The task that was taken begins again after `delay` seconds, before the others of its shard.

        Then it takes turns with those that have not begun yet, of which there may be very many; unless it is to come
        `behind` them all, as one that may have to wait again and again.
        """
        with self._lock:
            shard = self._end(item)
            if shard is not None:
                heapq.heappush(self._postponed, (self._clock() + delay, next(self._tickets), shard, behind))

    def release_due(self) -> float | None:
        """Let postponed tasks begin whose time has come; how long until the next, in seconds, None if there is none."""
        now = self._clock()
        released = False
        with self._lock:
            while self._postponed and self._postponed[0][0] <= now:
                *_, shard, behind = heapq.heappop(self._postponed)
                if not behind:
                    self._due.append(shard)
                    shard = _DUE
                self._ready.put(shard)
                released = True
            left = self._postponed[0][0] - now if self._postponed else None
        if released:
            self._say_ready()
        return left

    def is_empty(self) -> bool:
        """Whether no task is here: none waits, runs or is postponed."""
        return not self._shards

    def hold(self, after: float) -> None:
        """Begin no task from `after` seconds on, until `go_on`."""
        if self._held_from is None:
            self._going_on.clear()
            self._held_from = self._clock() + after

    def go_on(self) -> None:
        """Tasks may begin again."""
        held_from, self._held_from = self._held_from, None
        self._going_on.set()
        # looked at last: whoever has found it held meanwhile, and now waits to be told, is told
        if held_from is not None and self._clock() >= held_from:
            self._say_ready()

    def halt(self) -> None:
        """Begin no more, from now on; `drop` is to follow."""
        with self._lock:
            self._halted = True

    def drop(self, *, timeout: float | None) -> bool:
        """Begin no more, wait for those that run and forget the rest; False if some still run after `timeout` seconds.

        Those that still run then are no longer known here: what they report later is ignored.
        """
        with self._lock:
            self._halted = True
            if self._running == 0:
                self._idle.set()
        settled = self._idle.wait(timeout)
        with self._lock:
            for shard in self._shards.values():
                shard.clear()
            self._shards.clear()
            self._postponed.clear()
            self._due.clear()
            self._running = 0
            self._idle.clear()
            self._halted = False
        return settled

    def close(self) -> None:
        """No more tasks: `take` returns None from now on."""
        self._ready.put(None)
        self.go_on()
        self._say_ready()

    def _next(self) -> _Shard | None:
        """The next shard, in turn of those that are due and the others; waits for one. None after `close`."""
        if self._due and not self._due_had_turn:
            with suppress(IndexError):  # another thread was faster
                self._due_had_turn = True
                return self._due.popleft()
        self._due_had_turn = False
        shard = self._ready.get()
        if shard is _DUE:
            with suppress(IndexError):  # it has had its turn already
                return self._due.popleft()
        return shard

    def _is_held(self) -> bool:
        held_from = self._held_from  # another thread may let go meanwhile
        return held_from is not None and self._clock() >= held_from

    def _end(self, item: WorkItem) -> _Shard | None:
        """The shard of a running task, None if it was dropped."""
        shard = self._shards.get(item.shard)
        if shard is None or not shard or shard[0] is not item:
            return None
        self._running -= 1
        if self._halted and self._running == 0:
            self._idle.set()
        return shard

    def _say_ready(self) -> None:
        if self._on_ready is not None:
            self._on_ready()


class ShareShards(Shards):
    """Tells by `moved` that a task has come out; those to be tried again are left in `put_off`, with their delay.

    A shard would keep such a task until its time has come. But its lock may be over before.
    """

    def __init__(self) -> None:
        super().__init__("none")
        self.moved = threading.Event()
        self.put_off: deque[tuple[WorkItem, float]] = deque()

    def done(self, item: WorkItem) -> None:
        """The task that was taken is finished."""
        super().done(item)
        self.moved.set()

    def postpone(self, item: WorkItem, delay: float, *, behind: bool = False) -> None:
        """The task that was taken is to begin again after `delay` seconds, here or elsewhere; there is no order."""
        self.put_off.append((item, delay))
        self.done(item)
