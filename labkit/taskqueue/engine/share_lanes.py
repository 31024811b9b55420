"""Lanes for a share group: no order, and whoever feeds them decides what becomes of each task that comes out."""

from __future__ import annotations

import threading
from collections import deque

from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.engine.lanes import Lanes


class ShareLanes(Lanes):
    """Tells by `moved` that a task has come out; those to be tried again are left in `put_off`, with their delay.

    A lane would keep such a task until its time has come. But its lock may be over before.
    """

    def __init__(self) -> None:
        super().__init__("none")
        self.moved = threading.Event()
        self.put_off: deque[tuple[Item, float]] = deque()

    def done(self, item: Item) -> None:
        """The task that was taken is finished."""
        super().done(item)
        self.moved.set()

    def postpone(self, item: Item, delay: float) -> None:
        """The task that was taken is to begin again after `delay` seconds, here or elsewhere."""
        self.put_off.append((item, delay))
        self.done(item)
