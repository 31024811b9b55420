"""The tasks of one class that have come from Kafka and wait for the dispatcher: first come, first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.engine.lanes import Lanes


class WaitingLine(Lanes):
    """A line that the dispatcher takes from, at its head or, to shed the newest, at its end.

    Its worker fills it and, in a rebalance, takes it away. A task that was taken is in the dispatcher's hands until it
    is `done` or put back; the worker waits for that. `on_change` is called when tasks have come or the line is closed.
    """

    def __init__(self) -> None:
        super().__init__("none")
        self._line: deque[Item] = deque()
        self._in_hand: set[Item] = set()
        self._settled = threading.Condition()
        self.on_change: Callable[[], object] = lambda: None

    def put(self, items: Iterable[Item]) -> None:
        """Tasks have come, in this order."""
        with self._settled:
            self._line.extend(items)
        self.on_change()

    def __len__(self) -> int:
        with self._settled:
            return 0 if self._halted else len(self._line)

    def head(self) -> Item | None:
        """The task that has waited longest; None if none does."""
        with self._settled:
            return self._line[0] if self._line and not self._halted else None

    def take_first(self) -> Item | None:
        """The task that has waited longest; None if none does, or if the line is being taken away."""
        return self._take(deque.popleft)

    def take_last(self) -> Item | None:
        """The task that came last; None as for `take_first`."""
        return self._take(deque.pop)

    def put_back(self, items: Iterable[Item]) -> None:
        """These were taken first, in this order, and nothing has become of them."""
        with self._settled:
            mine = [item for item in items if item in self._in_hand]
            self._in_hand.difference_update(mine)
            self._line.extendleft(reversed(mine))
            self._settled.notify_all()

    def done(self, item: Item) -> None:
        """The task that was taken is settled."""
        with self._settled:
            self._in_hand.discard(item)
            self._settled.notify_all()

    def postpone(self, item: Item, delay: float) -> None:
        """The task goes back to the head of the line; here it is the dispatcher who knows when to try again."""
        self.put_back([item])

    def release_due(self) -> float | None:
        """Nothing is ever postponed."""
        return None

    def halt(self) -> None:
        """Give nothing more to the dispatcher, from now on; `drop` is to follow."""
        with self._settled:
            self._halted = True
        self.on_change()

    def drop(self, *, timeout: float | None) -> bool:
        """Wait for what is in the dispatcher's hands, and forget the rest.

        False if some of it still was there after `timeout` seconds.
        """
        self.halt()
        with self._settled:
            settled = self._settled.wait_for(lambda: not self._in_hand, timeout)
            self._in_hand.clear()
            self._line.clear()
            self._halted = False
        return settled

    def close(self) -> None:
        """No more tasks come."""
        self.on_change()

    def _take(self, end: Callable[[deque[Item]], Item]) -> Item | None:
        with self._settled:
            if self._halted or not self._line:
                return None
            item = end(self._line)
            self._in_hand.add(item)
            return item
