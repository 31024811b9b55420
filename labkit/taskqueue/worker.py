"""One worker: a member of a consumer group that works on tasks, as many at once as it may, and loses none."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from labkit.errors import KillsItsWorker, TransportError
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.base_worker import HANDOVER_TIMEOUT, BaseWorker
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.dead_letter_writer import DeadLetterWriter
from labkit.taskqueue.engine.fetcher import MAX_POLL_RECORDS, Fetcher
from labkit.taskqueue.engine.partition_state import DELIVERIES, PartitionState
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import ConsumerClient, ConsumerConfig, Record, TopicPartition

#: How long a poll waits for the first record, in seconds, when nothing is worked on …
POLL_TIMEOUT = 0.1
#: … when tasks are worked on, which will be to be committed, unless by processes, which polls take CPU time from …
BUSY_TIMEOUT = 0.03
#: … when no partition is assigned, or one just was, with which to begin …
JOINING_TIMEOUT = 0.01
#: … and when tasks go one by one.
ALONE_TIMEOUT = 0.001

log = safe_logger("labkit.worker")


class Worker(BaseWorker):
    """Works on one topic until it is told to stop. `run` blocks; everything else may be called from elsewhere.

    An offset is committed when every task before it is finished; what is finished beyond goes into the commit's
    metadata. So a crash repeats tasks, few, and never loses one (at least once). A task whose handler raises is tried
    again; when its attempts are used up, it becomes a dead letter, as does a record that is no task.
    """

    #: whether a task may be to blame when this process dies
    _may_be_killed = True

    def _new_shards(self) -> Shards:
        return Shards(self._config.order)

    def _set_up(self) -> None:
        self._client: ConsumerClient | None = None
        # a transport may run the callbacks of a rebalance on a thread of its own
        self._lock = threading.RLock()
        self._arrived: list[Record] = []
        self._in_flight = 0
        self._adopted = True

    def stop(self) -> None:
        """Ask the worker to finish the tasks in hand, commit, and leave the group."""
        self._stop.set()
        self._shards.halt()
        if self._client is not None:
            self._client.wake_up()

    def run(self) -> None:
        """Join the group and work until `stop`; then commit and leave. Raises `WorkerFailed`."""
        self._client = client = self.topic.transport.consumer(
            ConsumerConfig(
                group=self.topic.full_group(self._group),
                client_id=self.name,
                session_timeout=self._config.session_timeout,
                max_poll_records=MAX_POLL_RECORDS,
            )
        )
        suspects = self._config.max_in_flight if self._may_be_killed else 0
        self._holdings = AssignedPartitions(client, self.topic.full_name, suspects=suspects)
        self._fetching = Fetcher(client, self._config.max_in_flight, pace=POLL_TIMEOUT, clock=self._measure)
        self._burial = DeadLetterWriter(self._letters, client)
        self._is_on = True
        log.info("%s joins %s", self.name, self._group)
        self._executor.start()
        try:
            client.subscribe([self.topic.full_name], on_assigned=self._assigned, on_revoked=self._revoked)
            while not self._stop.is_set():
                self._turn(client)
            with self._lock:
                self._hand_over(HANDOVER_TIMEOUT if self._crash is None else 0.0)
        finally:
            self._is_on = False
            self._shards.close()
            self._burial.close()
            client.close()
            if self._crash is None:
                self._end_executor()
            self._partitions = ()
            self._attempts.sum_up()
            log.info("%s left %s after %d tasks", self.name, self._group, self._settled())
        self._raise_failure()

    def _turn(self, client: ConsumerClient) -> None:
        """One turn of the loop: fetch, hand out, take in what is through, commit."""
        records = self._fetching.poll(self._held(), self._patience(self._shards.release_due()))
        with self._lock:
            if not self._adopted:
                records = []  # from before the last rebalance: what is not adopted is paused
            self._arrived += records
            try:
                self._adopt(client)
                self._hand_out()
                self._hand_out_alone()
            except TransportError as error:
                log.warning("%s: the next tasks have to wait: %s", self.name, error)
            self._take_in()
            if not records and self._adopted and not self._held():
                self._holdings.skip_gaps()
            self._holdings.commit_if_due(idle=not self._held())
            self._fetching.bound(self._held(), self._places())

    def _patience(self, due: float | None) -> float:
        """How long to wait for records; after `due` seconds a postponed task may begin, None if there is none."""
        if self._holdings.with_waiting():
            return ALONE_TIMEOUT
        if not (self._adopted and self._partitions):
            return JOINING_TIMEOUT
        is_busy = self._in_flight and self._config.executor != "processes"
        usual = BUSY_TIMEOUT if is_busy else POLL_TIMEOUT
        return usual if due is None else min(usual, due)

    def _adopt(self, client: ConsumerClient) -> None:
        """Begin with the partitions that were assigned; raises `TransportError` if the broker does not answer."""
        if not self._adopted:
            self._holdings.adopt(self._places())
            client.resume(self._places())
            self._adopted = True

    def _hand_out(self) -> None:
        """Give what has arrived to the shards; raises `TransportError` if the broker does not answer."""
        if not self._arrived:
            return
        held = self._holdings.by_partition
        first: dict[int, int] = {}
        for record in self._arrived:
            if not held[record.partition].begun:
                first.setdefault(record.partition, record.offset)
        if first:
            self._holdings.begin(first)
        received_at = self._clock()
        items: list[WorkItem] = []
        for record in self._arrived:
            holding = held[record.partition]
            if holding.progress.receive(record.offset):
                item = WorkItem(record, received_at, holding)
                self._attempts.task_log.received(item)
                (holding.waiting if holding.holds_back else items).append(item)
                self._in_flight += 1
        self._arrived.clear()
        self._shards.put(items)

    def _hand_out_alone(self) -> None:
        for holding in self._holdings.with_waiting():
            if not holding.alone:
                self._shards.put(holding.waiting)
                holding.waiting.clear()
            elif holding.next_is_alone():
                self._begin_alone(holding)

    def _begin_alone(self, holding: PartitionState) -> None:
        if holding.to_blame():
            self._attempts.refuse(holding.waiting.popleft(), KillsItsWorker(), deliveries=DELIVERIES)
        else:
            self._holdings.begin_alone(holding)
            self._shards.put([holding.waiting.popleft()])

    def _take_in(self) -> None:
        """Count what is done, and bury what is dead."""
        done, dead = self._attempts.done, self._attempts.dead
        while done:
            self._finish(done.popleft())
            self._done += 1
        mine = [item for item in (dead.popleft() for _ in range(len(dead))) if self._is_mine(item)]
        buried = self._burial.bury(mine)
        for item in buried:
            self._finish(item)
        dead.extendleft(item for item in reversed(mine) if item not in buried)

    def _finish(self, item: WorkItem) -> None:
        if self._is_mine(item):
            self._holdings.finish(item)
            self._in_flight -= 1

    def _is_mine(self, item: WorkItem) -> bool:
        return self._holdings.get(item.record.partition) is item.owner

    def _held(self) -> int:
        return self._in_flight + len(self._arrived)

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self.topic.full_name, number) for number in self._partitions]

    def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        with self._lock:
            self._partitions = tuple(sorted(tp.partition for tp in partitions))
            # no record comes before it is known what is done already; and what the last poll brought is void
            self._adopted = False
            self._fetching.forget()
            if self._client is not None:
                self._client.pause(partitions)
            log.info("%s now has partitions %s", self.name, list(self._partitions))
            self._on_assignment(self._partitions)

    def _revoked(self, _partitions: Sequence[TopicPartition]) -> None:
        with self._lock:
            self._hand_over(HANDOVER_TIMEOUT)
            self._partitions = ()
            self._on_assignment(())

    def _hand_over(self, timeout: float) -> None:
        """Finish what runs, commit, and forget the rest: whoever has the partitions next will do it."""
        if not self._shards.drop(timeout=timeout):
            log.warning("%s gives up tasks that run longer than %g s; they will run again", self.name, timeout)
        self._take_in()
        self._holdings.leave()
        self._arrived.clear()
        self._adopted = False
        self._in_flight = 0
