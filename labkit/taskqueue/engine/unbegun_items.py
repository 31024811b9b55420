"""What a worker of a share group has in hand and does not work on now."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count

from labkit.taskqueue.engine.work_item import WorkItem


class UnbegunItems:
    """Items that may begin in the order in which they came, and before them those whose next attempt is due.

    Times are in seconds, by any clock. Used from one thread.
    """

    def __init__(self) -> None:
        self._waiting: deque[WorkItem] = deque()
        self._later: list[tuple[float, int, WorkItem]] = []
        self._tickets = count()

    def append(self, item: WorkItem) -> None:
        """This one may begin, after those that are here."""
        self._waiting.append(item)

    def postpone(self, item: WorkItem, due: float) -> None:
        """This one may begin when it is due."""
        heapq.heappush(self._later, (due, next(self._tickets), item))

    def next_due(self) -> float | None:
        """When the first is due of those that were postponed; None if there is none."""
        return self._later[0][0] if self._later else None

    def take(self, now: float) -> WorkItem | None:
        """The next that may begin; None if there is none."""
        if self._later and self._later[0][0] <= now:
            return heapq.heappop(self._later)[2]
        return self._waiting.popleft() if self._waiting else None

    def take_all(self) -> list[WorkItem]:
        """All of them, due or not."""
        items = [*self._waiting, *(item for _, _, item in self._later)]
        self._waiting.clear()
        self._later.clear()
        return items
