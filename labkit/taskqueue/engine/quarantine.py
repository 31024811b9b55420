"""What waits while a task is suspected of killing its workers: it runs alone, or another might be blamed for it.

As long as one of the partitions has a suspected task that may begin, or that runs, the whole worker goes one by one:
each task begins when no other runs, first come, first served, whatever its partition. Before it does, the broker is
told what is done by then, and, if it is suspected itself, that it begins. So whatever the worker dies of, no task is to
blame for it but the one that ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from labkit.errors import KillsItsWorker
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.attempts import Attempts
from labkit.taskqueue.engine.partition_state import DELIVERIES, PartitionState
from labkit.taskqueue.engine.shard import Shards


class Quarantine:
    """Hands out what waits, for one worker. `take_in` counts what is through; it is called before a task begins."""

    def __init__(
        self, partitions: AssignedPartitions, shards: Shards, attempts: Attempts, *, take_in: Callable[[], object]
    ) -> None:
        self._partitions = partitions
        self._shards = shards
        self._attempts = attempts
        self._take_in = take_in
        # whether one was begun alone and the broker does not know yet that it is done
        self._is_one_out = False

    def is_on(self) -> bool:
        """Whether tasks go one by one, so that one that comes now has to wait for its turn."""
        return self._is_one_out or any(state.next_is_alone() for state in self._partitions.with_waiting())

    def hand_out(self) -> None:
        """Let begin what may; raises `TransportError` if the broker does not answer, and nothing begins."""
        if not self._is_one_out and not self._partitions.with_waiting():
            return
        is_free = self._shards.is_empty()  # before the look at what is through, among which it is then
        self._take_in()
        if self._is_one_out and not is_free:
            return
        waiting = self._partitions.with_waiting()
        if not any(state.next_is_alone() for state in waiting):
            self._end(waiting)
        elif is_free:
            ready = [state for state in waiting if state.next_is_alone() or not state.alone]
            self._begin(min(ready, key=lambda state: state.waiting[0].ticket))

    def _begin(self, state: PartitionState) -> None:
        if state.to_blame():
            self._attempts.refuse(state.waiting.popleft(), KillsItsWorker(), deliveries=DELIVERIES)
        else:
            self._partitions.begin_alone(state)
            self._shards.put([state.waiting.popleft()])
            self._is_one_out = True

    def _end(self, waiting: Iterable[PartitionState]) -> None:
        """Tasks go side by side again, except those that wait for what is before them."""
        if self._is_one_out:
            self._partitions.end_alone()
            self._is_one_out = False
        for state in waiting:
            if not state.alone:
                self._shards.put(state.waiting)
                state.waiting.clear()
