"""One worker: a member of a consumer group that works on tasks, as many at once as it may, and loses none."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from labkit.errors import TransportError, UnknownTopic
from labkit.logs.safe_logger import safe_logger
from labkit.resource import end_all
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.fetcher import MAX_POLL_RECORDS, Fetcher
from labkit.taskqueue.engine.group_dead_letter_writer import GroupDeadLetterWriter
from labkit.taskqueue.engine.quarantine import Quarantine
from labkit.taskqueue.engine.queue_contents import contents_of
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import ConsumerClient, ConsumerConfig, Record, TopicPartition
from labkit.taskqueue.worker_group.base_worker import GONE_AFTER, HANDOVER_TIMEOUT, BaseWorker

#: How long a poll waits for the first record, in seconds, when nothing is worked on …
POLL_TIMEOUT = 0.1
#: … when tasks are worked on, which will be to be committed, unless by processes, which polls take CPU time from …
BUSY_TIMEOUT = 0.03
#: … when no partition is assigned, or one just was, with which to begin …
JOINING_TIMEOUT = 0.01
#: … and when tasks go one by one.
ALONE_TIMEOUT = 0.001
#: How long tasks go on to begin while the broker does not answer or does not take a commit, in seconds: what is not
#: committed is done again by whoever has the partitions next.
UNCOMMITTED_AT_MOST = 0.5
#: How long those may take then to write the dead letters of what they have finished, in seconds.
LETTERS_TIMEOUT = 5.0

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
        self._dead_letters = GroupDeadLetterWriter(
            self.topic, worker=self.name, group=self._group, wall_clock=self._clock, clock=self._measure
        )
        self._arrived: list[Record] = []
        self._in_flight = 0
        self._adopted = True
        self._is_outdated = False  # whether the client read another topic of that name

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
                client_id=self.member,
                session_timeout=self._config.session_timeout,
                max_poll_records=MAX_POLL_RECORDS,
            )
        )
        suspects = self._config.max_in_flight if self._may_be_killed else 0
        self._assigned = AssignedPartitions(client, self._identity, suspects=suspects)
        self._quarantine = Quarantine(self._assigned, self._shards, self._attempts, take_in=self._take_in)
        self._fetcher = Fetcher(client, self._config.max_in_flight, pace=POLL_TIMEOUT, clock=self._measure)
        self._dead_letters.serve(client, self._assigned, self._identity)
        self._is_on = True
        log.info("%s joins %s", self.name, self._group)
        try:
            self._executor.start()
            client.subscribe([self.topic.full_name], on_assigned=self._on_assigned, on_revoked=self._on_revoked)
            while not self._stop.is_set():
                self._turn(client)
            with self._lock:
                self._hand_over(HANDOVER_TIMEOUT if self._crash is None else 0.0)
        finally:
            self._is_on = False
            self._shards.halt()  # also where an error has ended the loop: what is begun now cannot be committed
            self._shards.close()
            end_all(self._dead_letters.close, client.close, self._identity.close, self._end_executor)
            self._partitions = ()
            self._attempts.sum_up()
            log.info("%s left %s after %d tasks", self.name, self._group, self._settled())
        self._raise_failure()

    def _turn(self, client: ConsumerClient) -> None:
        """One turn of the loop: fetch, hand out, take in what is through, commit."""
        if self._is_outdated:  # not inside of what the client calls back
            self._is_outdated = False
            client.renew()
        records = self._fetcher.poll(self._held(), self._patience(self._shards.release_due()))
        with self._lock:
            self._shards.hold(UNCOMMITTED_AT_MOST)  # from here on any request may take as long as the broker likes
            if not self._adopted:
                records = []  # from before the last rebalance: what is not adopted is paused
            self._arrived += records
            try:
                self._look_at_topic(client)
                self._adopt(client)
                self._hand_out(client)
                self._quarantine.hand_out()
            except TransportError as error:
                log.warning("%s: the next tasks have to wait: %s", self.name, error)
            self._take_in()
            if not records and self._adopted and not self._held():
                self._assigned.skip_gaps()
            self._assigned.commit_if_due(idle=not self._held())
            if not self._assigned.commit_waits:
                self._shards.go_on()
            self._fetcher.bound(self._held(), self._places(), self._assigned.stopped())

    def _patience(self, due: float | None) -> float:
        """How long to wait for records; after `due` seconds a postponed task may begin, None if there is none."""
        if self._assigned.with_waiting():
            return ALONE_TIMEOUT
        if not (self._adopted and self._partitions):
            return POLL_TIMEOUT if self._missed else JOINING_TIMEOUT
        is_busy = self._in_flight and self._config.executor != "processes"
        usual = BUSY_TIMEOUT if is_busy else POLL_TIMEOUT
        return usual if due is None else min(usual, due)

    def _look_at_topic(self, client: ConsumerClient) -> None:
        """See now and then whether the topic is still the same, and begin anew if it is not."""
        found = self._look_for_topic()
        if found is None:
            return
        is_gone = self._missed >= GONE_AFTER  # once is no sign: the broker that was asked may lag behind
        is_another = found.topic_id not in (None, self._assigned.topic_id)
        if self._adopted and self._partitions and (is_gone or is_another or self._assigned.has_lost(found.ends)):
            self._begin_anew(client)

    def _begin_anew(self, client: ConsumerClient) -> None:
        """What is held of the topic counts no more: adopt its partitions again."""
        self._drop(HANDOVER_TIMEOUT)
        self._abandon()
        client.pause(self._places())

    def _adopt(self, client: ConsumerClient) -> None:
        """Begin with the partitions that were assigned; raises `TransportError` if the broker does not answer."""
        if self._adopted or self._missed:
            return
        if self._partitions:
            self._settle()
            try:
                self._assigned.adopt(self._places())
            except UnknownTopic:  # the question was asked in the place of the next look
                self._miss()
                return
            client.resume(self._places())
        self._adopted = True

    def _hand_out(self, client: ConsumerClient) -> None:
        """Give what has arrived to the shards; raises `TransportError` if the broker does not answer."""
        if self._assigned.are_filled_anew(self._arrived):
            self._begin_anew(client)
        if not self._arrived:
            return
        held = self._assigned.by_partition
        first: dict[int, int] = {}
        for record in self._arrived:
            if not held[record.partition].begun:
                first.setdefault(record.partition, record.offset)
        if first:
            self._assigned.begin(first)
        received_at = self._clock()
        one_by_one = self._quarantine.is_on()
        items: list[WorkItem] = []
        for record in self._arrived:
            state = held[record.partition]
            if state.receive(record):
                item = WorkItem(record, received_at, state.epoch, state.topic_id)
                self._attempts.task_log.received(item)
                (state.waiting if one_by_one or state.holds_back else items).append(item)
                self._in_flight += 1
            else:
                self._identity.suspect()  # it was done before, or it is of another topic, or of one that lost records
        self._arrived.clear()
        self._shards.put(items)

    def _take_in(self) -> None:
        """Count what is done, and write dead letters, as many as go together."""
        done, dead = self._attempts.done, self._attempts.dead
        while done:
            self._finish(done.popleft())
            self._done += 1
        if not dead and not self._dead_letters.in_doubt:
            return
        mine = [item for item in contents_of(dead) if self._assigned.owner(item)]
        written = set(self._dead_letters.write(mine))
        for item in written:
            self._finish(item)
        dead.extendleft(item for item in reversed(mine) if item not in written)

    def _take_in_all(self) -> None:
        """As `_take_in`, until every letter is written that can be now."""
        deadline = self._measure() + LETTERS_TIMEOUT
        self._take_in()
        while len(self._attempts.dead) > self._dead_letters.waiting() and self._dead_letters.may_write():
            if self._measure() > deadline:
                break
            self._take_in()

    def _settle(self) -> None:
        """See what became of the last dead letters, if that is open; raises `TransportError`."""
        for item in self._dead_letters.settle():
            self._finish(item)

    def _finish(self, item: WorkItem) -> None:
        if self._assigned.finish(item):
            self._in_flight -= 1

    def _held(self) -> int:
        """How many tasks take up room here; one whose dead letter cannot be written now may do so for long."""
        return self._in_flight + len(self._arrived) - self._dead_letters.waiting()

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self.topic.full_name, number) for number in self._partitions]

    def _on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        with self._lock:
            self._partitions = tuple(sorted(tp.partition for tp in partitions))
            # no record comes before it is known what is done already; and what the last poll brought is void
            self._adopted = False
            self._fetcher.forget()  # also where none had been given up
            if self._client is not None:
                self._client.pause(partitions)
            log.info("%s now has partitions %s", self.name, list(self._partitions))
            self._on_assignment(self._partitions)

    def _on_revoked(self, _partitions: Sequence[TopicPartition]) -> None:
        with self._lock:
            self._hand_over(HANDOVER_TIMEOUT)
            self._partitions = ()
            self._on_assignment(())

    def _hand_over(self, timeout: float) -> None:
        """Finish what runs, commit, and forget the rest: whoever has the partitions next will do it."""
        self._drop(timeout)
        if not self._assigned.is_same_topic():
            self._abandon()
            return
        self._take_in_all()
        try:
            self._settle()
        except TransportError as error:
            log.warning("%s: whether the last dead letters were written, the next owner will see: %s", self.name, error)
        self._assigned.leave()
        self._forget()

    def _abandon(self) -> None:
        """The topic is another now, or has lost records: nothing is committed of what was done before."""
        log.warning(
            "%s: the topic %r is another now, or has lost records; what was left of the old one is void",
            *(self.name, self.topic.name),
        )
        self._assigned.abandon()
        self._is_outdated = True
        self._take_in()
        self._forget()

    def _drop(self, timeout: float) -> None:
        if not self._shards.drop(timeout=timeout):
            log.warning("%s gives up tasks that run longer than %g s; they will run again", self.name, timeout)

    def _forget(self) -> None:
        self._arrived.clear()
        self._adopted = False
        self._in_flight = 0
        # a poll may return before others are assigned, and what was given up can neither be paused nor resumed
        self._fetcher.forget()
