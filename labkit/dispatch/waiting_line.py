"""The tasks of one class that have come from Kafka and wait for the dispatcher: first come, first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.engine.lanes import Lanes

#: How a task gets back to that end of the line from which it was taken.
_Back = Callable[[Item], object]


class WaitingLine(Lanes):
    """A line that the dispatcher takes from, at its head or, to shed the newest, at its end.

    Its worker fills it and, in a rebalance, takes it away. A task that was taken is in the dispatcher's hands until it
    is `done` or put back; the worker waits for that. `on_change` is called when tasks have come or the line is closed.
    Where it has a door, what comes stands there first, and does not count as waiting until it is let in.
    """

    def __init__(self) -> None:
        super().__init__("none")
        self.has_door = False
        self._door: deque[Item] = deque()
        self._line: deque[Item] = deque()
        self._in_hand: dict[Item, _Back] = {}
        self._settled = threading.Condition()
        self.on_change: Callable[[], object] = lambda: None

    def put(self, items: Iterable[Item]) -> None:
        """Tasks have come, in this order."""
        with self._settled:
            (self._door if self.has_door else self._line).extend(items)
        self.on_change()

    def at_door(self) -> Item | None:
        """The first task at the door; None if there is none."""
        with self._settled:
            return self._door[0] if self._door and not self._halted else None

    def let_in(self) -> None:
        """The first task at the door joins the line."""
        with self._settled:
            if self._door and not self._halted:
                self._line.append(self._door.popleft())

    def take_at_door(self) -> Item | None:
        """The first task at the door, which does not join the line; None as for `take_first`."""
        return self._take(self._door, deque.popleft, self._door.appendleft)

    def __len__(self) -> int:
        with self._settled:
            return 0 if self._halted else len(self._line)

    def head(self) -> Item | None:
        """The task that has waited longest; None if none does."""
        with self._settled:
            return self._line[0] if self._line and not self._halted else None

    def take_first(self) -> Item | None:
        """The task that has waited longest; None if none does, or if the line is being taken away."""
        return self._take(self._line, deque.popleft, self._line.appendleft)

    def take_last(self) -> Item | None:
        """The task that came last; None as for `take_first`."""
        return self._take(self._line, deque.pop, self._line.append)

    def put_back(self) -> None:
        """Nothing has become of what is in the dispatcher's hands: all of it goes back to where it was taken."""
        with self._settled:
            for item, back in reversed(self._in_hand.items()):
                item.attempt = 0
                back(item)
            self._in_hand.clear()
            self._settled.notify_all()

    def done(self, item: Item) -> None:
        """The task that was taken is settled."""
        with self._settled:
            self._in_hand.pop(item, None)
            self._settled.notify_all()

    def postpone(self, item: Item, delay: float) -> None:
        """The task goes back to where it was taken; here it is the dispatcher who knows when to try again."""
        with self._settled:
            back = self._in_hand.pop(item, None)
            if back is not None:
                back(item)
            self._settled.notify_all()

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
            self._door.clear()
            self._halted = False
        return settled

    def close(self) -> None:
        """No more tasks come, and those that still wait are others' now."""
        self.halt()

    def _take(self, line: deque[Item], end: Callable[[deque[Item]], Item], back: _Back) -> Item | None:
        with self._settled:
            if self._halted or not line:
                return None
            item = end(line)
            self._in_hand[item] = back
            return item
