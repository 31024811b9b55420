"""How far a partition is done.

A consumer group remembers one offset per partition: everything before it is done. Work that goes on side by side is
done in another order. Only the offsets that were received and are not done are kept here, so memory and the cost of
every call follow what is in flight, however much was done past a slow task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice

from labkit.taskqueue.engine.offset_metadata import MAX_RUNS, merged


class OffsetTracker:
    """What was received and what is done on one partition. Offsets may have gaps, as Kafka's have.

    Everything before `start` is done, and so are these runs of offsets.
    """

    def __init__(self, start: int, done: Iterable[range] = ()) -> None:
        # a dict, since it forgets in no time and keeps their order, which is that of the offsets
        self._incomplete: dict[int, None] = {}
        # every offset below was received, or is no record, or was known to be done
        self._next = start
        # what is known to be done of that which has not come yet
        self._ahead = deque(run for run in merged(done) if run.stop > start)
        self._highest_done = self._ahead[-1].stop - 1 if self._ahead else start - 1
        self._pass_over()

    @property
    def commit_point(self) -> int:
        """The first offset that is not done, or not known yet."""
        return next(iter(self._incomplete), self._next)

    @property
    def head(self) -> int | None:
        """The first offset that was received and is not done."""
        return next(iter(self._incomplete), None)

    def receive(self, offset: int) -> bool:
        """A record has come; False if it had come before, or if its work was done already, before a restart."""
        if offset < self._next:
            return False
        while self._ahead and self._ahead[0].stop <= offset:
            self._ahead.popleft()
        is_new = not (self._ahead and offset in self._ahead[0])
        if is_new:
            self._incomplete[offset] = None
        self._next = offset + 1
        self._pass_over()
        return is_new

    def finish(self, offset: int) -> None:
        """The work on this offset is done, or its task is among the dead letters."""
        if offset in self._incomplete:
            del self._incomplete[offset]
            self._highest_done = max(self._highest_done, offset)

    def skip_to(self, offset: int) -> bool:
        """There is no record before this offset that was not received; whether that moves the commit point."""
        if self._incomplete or offset <= self._next:
            return False
        while self._ahead and self._ahead[0].stop <= offset:
            self._ahead.popleft()
        self._next = offset
        self._pass_over()
        return True

    def after(self, finished: Collection[int] = ()) -> tuple[int, tuple[range, ...]]:
        """The commit point and the runs beyond it that are done, as they will be when these offsets are done too.

        Between the runs stand the offsets that are not done. An offset that is no record counts as done. There are at
        most as many runs as may fit into a commit's metadata.
        """
        if not finished:
            return self.commit_point, tuple(self._beyond(self._incomplete, self._highest_done))
        left = [offset for offset in self._incomplete if offset not in finished]
        beyond = self._beyond(left, max(self._highest_done, *finished))
        return left[0] if left else self._next, tuple(beyond)

    def done_since(self, offset: int) -> list[range]:
        """Every offset from this one on that is done, as `after` tells them."""
        return merged([range(offset, self.commit_point), *self._beyond(self._incomplete, self._highest_done)])

    def _beyond(self, incomplete: Collection[int], highest_done: int) -> list[range]:
        """What is done beyond the first of the offsets that are not."""
        if not incomplete:
            return list(islice(self._ahead, MAX_RUNS))
        runs: list[range] = []
        offsets = iter(incomplete)
        before = next(offsets)
        for offset in offsets:
            if before > highest_done or len(runs) == MAX_RUNS:
                return runs
            if offset > before + 1:
                runs.append(range(before + 1, offset))
            before = offset
        if before < highest_done and before + 1 < self._next:
            runs.append(range(before + 1, self._next))
        return [*runs, *islice(self._ahead, MAX_RUNS - len(runs))]

    def _pass_over(self) -> None:
        """What comes next and is known to be done need not come again: a fetch may have ended before it."""
        while self._ahead and self._ahead[0].start <= self._next:
            self._next = max(self._next, self._ahead.popleft().stop)
