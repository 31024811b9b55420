"""One worker of a share group (KIP-932): any member may get any task, one at a time, for as long as a lock lasts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from labkit.errors import BrokerUnreachable, KillsItsWorker, TransportError, WorkerFailed
from labkit.logs.safe_logger import safe_logger
from labkit.resource import end_all
from labkit.taskqueue.engine.dead_letter_writer import ShareDeadLetterWriter
from labkit.taskqueue.engine.queue_contents import contents_of
from labkit.taskqueue.engine.record_origin import RecordOrigin
from labkit.taskqueue.engine.refused_letters import without_letters
from labkit.taskqueue.engine.requeue import Requeue
from labkit.taskqueue.engine.shard import ShareShards
from labkit.taskqueue.engine.share_verdicts import ShareVerdicts
from labkit.taskqueue.engine.unbegun_items import UnbegunItems
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.share_contract import (
    DELIVERIES,
    Acknowledgement,
    ShareClient,
    ShareConfig,
    SharedRecord,
)
from labkit.taskqueue.worker_group.base_worker import HANDOVER_TIMEOUT, BaseWorker

#: How long a poll waits for the first record, and the loop for a task that is worked on, in seconds.
POLL_TIMEOUT = 0.1
#: No task begins after this part of its lock's time: it goes back, to somebody who has the whole time for it.
BEGIN_WITHIN = 0.5
#: How long a worker with nothing in hand but letters that cannot be written waits before it gives their records back,
#: in seconds. That uses up a delivery, so after each one it waits twice as long, up to the lock.
STUCK_PAUSE = 2.0

#: Why a task may have had all its deliveries, for people.
_REASONS = "it took longer than its lock, its workers died with it in hand, or it waited and could not be sent again"

log = safe_logger("labkit.worker")


class ShareWorker(BaseWorker):
    """Works on one topic until it is told to stop, as a `Worker` does, in a share group.

    Each poll locks some records for this worker. A task that is done is accepted. One whose handler raises is tried
    again here as long as there is time, else released for any worker; when its attempts are used up, it becomes a
    dead letter and is rejected, as is a record that is no task. The attempts count anew with each delivery, and the
    last delivery that the group allows is not worked on, but goes to the dead letters: if it failed too, the broker
    would give up the record without a word. A task that was not begun in the delivery before that one is sent again, as
    a new record. `on_assignment` is never called: the client does not tell.
    """

    _shards: ShareShards

    def _new_shards(self) -> ShareShards:
        return ShareShards()

    def _set_up(self) -> None:
        self._dead_letters = ShareDeadLetterWriter(
            self.topic, worker=self.name, group=self._group, wall_clock=self._clock, clock=self._measure
        )
        # Kafka keeps the state by the topic's id; here it tells that the topic is gone, and from which a record is
        self._dead_letters.serve(self._identity)
        self._origin = RecordOrigin(self._identity, self._config.foreign, clock=self._measure)
        # each record of the last poll is in one of these until it has its verdict, or among the dead
        self._unbegun = UnbegunItems()
        self._requeue = Requeue(self.topic, self.name, self._shards.moved.set)
        self._running: set[WorkItem] = set()
        self._without_verdict = 0
        self._deliveries: dict[WorkItem, int] = {}
        self._stuck_since: float | None = None
        # without a letter: what Kafka gives up, and what it would give up after the next delivery
        self._given_up: list[WorkItem] = []
        self._at_risk: list[WorkItem] = []
        self._locked_at = self._measure()
        self._locked_for = self._config.lock
        self._verdicts = ShareVerdicts(self.name, self._measure)

    def stop(self) -> None:
        """Ask the worker to finish the tasks it has begun, release the others, and leave the group."""
        self._stop.set()
        self._shards.moved.set()

    def run(self) -> None:
        """Join the group and work until `stop`; then leave. Raises `WorkerFailed`, `Unsupported`."""
        client = self._join()
        try:
            self._is_on = True
            log.info("%s joins the share group %s", self.name, self._group)
            self._executor.start()
            while not self._stop.is_set():
                self._turn(client)
            self._finish(client)
        finally:
            self._is_on = False
            self._shards.close()
            others = (self._dead_letters.close, self._identity.close, self._requeue.close)
            end_all(*others, partial(self._leave, client), self._end_executor)
        self._attempts.sum_up()
        log.info("%s left %s after %d tasks", self.name, self._group, self._settled())
        self._raise_failure()

    def _join(self) -> ShareClient:
        config = ShareConfig(
            group=self.topic.full_group(self._group),
            client_id=self.member,
            lock=self._config.lock,
            max_poll_records=self._config.max_in_flight,
        )
        client = self.topic.transport.share_groups().consumer(config)
        self._origin.look()
        client.subscribe([self.topic.full_name])
        return client

    def _turn(self, client: ShareClient) -> None:
        """Get records if none is left, else wait until a task comes out; then say what becomes of which."""
        if self._without_verdict:
            self._shards.moved.wait(self._patience())
        elif not self._origin.look():
            self._stop.wait(POLL_TIMEOUT)
        else:
            self._locked_at = self._measure()
            self._receive(client, self._poll(client))
            self._locked_for = client.lock
        self._settle(client)
        self._feed()
        self._look_for_topic()

    def _leave(self, client: ShareClient) -> None:
        """Leave the group. What the broker does not hear of is delivered again."""
        try:
            client.close()
        except TransportError as error:
            log.warning("%s leaves without the broker: %s", self.name, error)

    def _poll(self, client: ShareClient) -> list[SharedRecord]:
        try:
            return client.poll(POLL_TIMEOUT)
        except BrokerUnreachable as error:
            log.warning("%s: %s", self.name, error)
            self._stop.wait(POLL_TIMEOUT)
            return []

    def _patience(self) -> float:
        """How long to wait for a task to come out: until one may begin that was put off, if there is room for it."""
        due = self._unbegun.next_due() if len(self._running) < self._config.concurrency else None
        return POLL_TIMEOUT if due is None else min(POLL_TIMEOUT, max(0.0, due - self._measure()))

    def _receive(self, client: ShareClient, records: Iterable[SharedRecord]) -> None:
        received_at = self._clock()
        # what was delivered most often comes first, so that it is not released again and again
        ordered = sorted(records, key=lambda shared: -shared.deliveries)
        topic_ids = self._origin.topic_ids([record for record, _ in ordered])
        for (record, deliveries), topic_id in zip(ordered, topic_ids, strict=True):
            item = WorkItem(record, received_at, topic_id=topic_id or "")
            self._attempts.task_log.received(item)
            self._without_verdict += 1
            self._deliveries[item] = deliveries
            if topic_id is None and deliveries < DELIVERIES:
                self._decide(client, item, "release")  # without it the task would have no id
            elif deliveries < DELIVERIES:
                self._unbegun.append(item)
            else:
                error = KillsItsWorker(f"It was delivered {deliveries} times and never finished: {_REASONS}.")
                self._attempts.refuse(item, error, deliveries=deliveries)

    def _feed(self) -> None:
        """Let as many begin as may be worked on at once; what waits here can still be released."""
        now = self._measure()
        items = []
        while len(self._running) < self._config.concurrency and (item := self._unbegun.take(now)) is not None:
            self._running.add(item)
            items.append(item)
        self._shards.put(items)

    def _settle(self, client: ShareClient) -> None:
        """Say what becomes of the tasks that came out, and of those for which there is no time left."""
        self._shards.moved.clear()
        self._settle_sent(client)
        for item in contents_of(self._attempts.done):
            self._decide(client, item, "accept")
            self._done += 1
        self._write_dead_letters(client)
        self._put_off(client)
        if self._is_over(BEGIN_WITHIN):
            self._send_back(client)
        if not self._without_verdict or self._verdicts.are_due():
            self._verdicts.commit(client)

    def _send_back(self, client: ShareClient) -> None:
        """Release all that does not run; what was not begun, and would have its last delivery next, is sent again."""
        sent = []
        for item in self._unbegun.take_all():
            if not item.attempt and self._deliveries[item] >= DELIVERIES - 1:
                sent.append(item)
            else:
                self._decide(client, item, "release")
        if sent:  # where the topic does not answer that takes seconds, and what is done has a lock
            self._verdicts.commit(client)
            self._requeue.put(sent)

    def _settle_sent(self, client: ShareClient) -> None:
        """Say what becomes of tasks that were sent again; what was refused is sent once more while there is time."""
        for item in contents_of(self._requeue.taken):
            self._attempts.requeue(item, "sent again, since it was not begun in so many deliveries")
        for item in contents_of(self._requeue.refused):
            if self._stop.is_set() or self._is_over(1.0):
                self._decide(client, item, "release")
            else:
                self._unbegun.append(item)

    def _write_dead_letters(self, client: ShareClient) -> None:
        """Write letters, as many as may go together, and reject their records; give back those without time."""
        dead = contents_of(self._attempts.dead)
        written = set(self._dead_letters.write(dead)) if dead else set()
        stuck = set(self._dead_letters.stuck()) - written if dead else set()
        goes_back = self._stop.is_set() or self._has_only(stuck, self._without_verdict - len(written))
        for item in dead:
            if item in written:
                self._decide(client, item, "reject")
            elif item in stuck and (goes_back or self._is_over(1.0)):
                self._give_back(client, item)
            elif self._is_over(1.0) and self._deliveries[item] < DELIVERIES:  # Kafka is away
                self._decide(client, item, "release")
            else:
                self._attempts.dead.append(item)

    def _raise_failure(self) -> None:
        """As in every worker; also where a record has no letter, and has used up its deliveries or all but one."""
        super()._raise_failure()
        words = without_letters(self.topic.name, given_up=self._given_up, at_risk=self._at_risk)
        if words:
            raise WorkerFailed(f"{self.name} leaves records behind. {words}")

    def _has_only(self, stuck: set[WorkItem], number: int) -> bool:
        """Whether of so many items without a verdict all have been stuck for a while."""
        if not stuck or len(stuck) < number:
            self._stuck_since = None
            return False
        now = self._measure()
        self._stuck_since = now if self._stuck_since is None else self._stuck_since
        return now - self._stuck_since >= STUCK_PAUSE * 2.0 ** (max(self._deliveries[item] for item in stuck) - 1)

    def _give_back(self, client: ShareClient, item: WorkItem) -> None:
        """Release a record whose letter cannot be written.

        The last delivery is not for that: however it ends, Kafka gives the record up. So the worker stops before.
        """
        if self._deliveries[item] >= DELIVERIES - 1:
            (self._given_up if self._deliveries[item] >= DELIVERIES else self._at_risk).append(item)
            self.stop()
        self._decide(client, item, "release")

    def _put_off(self, client: ShareClient) -> None:
        for item, delay in contents_of(self._shards.put_off):
            # what was no attempt stays for half the lock: others would find the same, and a delivery is soon used up
            if item.attempt and self._is_over(BEGIN_WITHIN, after=delay):
                self._decide(client, item, "release")
            else:
                self._running.discard(item)
                self._unbegun.postpone(item, self._measure() + delay)

    def _decide(self, client: ShareClient, item: WorkItem, verdict: Acknowledgement) -> None:
        self._running.discard(item)
        self._deliveries.pop(item, None)
        self._without_verdict -= 1
        self._verdicts.add(client, item.record, verdict)

    def _is_over(self, part: float, *, after: float = 0.0) -> bool:
        """Whether this part of the locks' time is over, now or `after` so many seconds; at the end, all time is."""
        if self._stop.is_set() and part == BEGIN_WITHIN:
            return True
        return self._measure() + after - self._locked_at >= part * self._locked_for

    def _finish(self, client: ShareClient) -> None:
        """Release what has not begun, and wait for what has, which is locked for this worker; but not for ever."""
        self._settle(client)
        deadline = self._measure() + HANDOVER_TIMEOUT
        while self._without_verdict and self._crash is None and self._measure() < deadline:
            self._shards.moved.wait(POLL_TIMEOUT)
            self._settle(client)
        self._given_up += [item for item in contents_of(self._attempts.dead) if self._deliveries[item] >= DELIVERIES]
        self._verdicts.commit(client)
