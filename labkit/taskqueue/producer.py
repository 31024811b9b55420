"""The producer: puts tasks on a topic and hands out a receipt for each one that the broker has acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from labkit.backpressure import Action
from labkit.errors import (
    DeadlineExceeded,
    NotAccepted,
    NotAcknowledged,
    TransportError,
    UnknownTopic,
)
from labkit.logs.safe_logger import safe_logger
from labkit.measure.records import Receipt, receipts_to_frame
from labkit.parameters import BadType
from labkit.resource import Resource
from labkit.settings import Settings, load_settings
from labkit.taskqueue.admission import ProducerAdmission
from labkit.taskqueue.engine.failure import shielded
from labkit.taskqueue.partitioners import Partitioner, chosen_partition, key_hash, round_robin
from labkit.taskqueue.repeated_question import RepeatedQuestion
from labkit.taskqueue.submission import Submission
from labkit.taskqueue.task import Task
from labkit.taskqueue.topics import Topic, Topics
from labkit.taskqueue.transport.contract import Headers, ProducerClient, ProducerConfig
from labkit.taskqueue.transport.retirement import Retirement

if TYPE_CHECKING:
    import pandas as pd

log = safe_logger("labkit.producer")

#: How often the producer asks whether the topic has grown, in seconds.
PARTITIONS_MAX_AGE = 5.0

#: How long after its delivery time-out a client may take to say what became of a task, in seconds.
SETTLING_MARGIN = 10.0


class Producer(Resource, checked=True, unchecked=("send", "send_many", "submit")):
    """Sends tasks to one topic. A context manager; may be used from several threads.

    Keyed tasks go by key hash, others round robin, unless `partitioner` decides. `on_receipt` is called with every
    receipt, from a thread of the client, and may submit; what it raises is logged, `SystemExit` too. Without it the
    receipts are kept and `receipts()` returns them.
    With `admission` (see `labkit.taskqueue.admission`) a task is judged before it is sent: the producer waits for it,
    or raises `NotAccepted`; one that is shed is not sent, and has no receipt. The admission is closed with this.
    `clock` gives seconds since the epoch, and may be set while this runs; `measure` only measures.
    """

    def __init__(
        self,
        topic: Topic,
        *,
        partitioner: Partitioner | None = None,
        on_receipt: Callable[[Receipt], object] | None = None,
        admission: ProducerAdmission | None = None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        measure: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        settings = settings or load_settings()
        self._admission = admission
        self._pause = pause
        self.topic = topic
        self._full_name = topic.full_name
        self._partition_of = partitioner or key_hash(unkeyed=round_robin())
        self._kept: list[Receipt] = []
        told = None if on_receipt is None else shielded(on_receipt, "on_receipt", is_interruptible=True)
        self._on_receipt: Callable[[Receipt], object] = told or self._kept.append
        self._clock = clock
        self._measure = measure
        self._timeout = settings.delivery_timeout
        self._topics = Topics.of(topic)
        self._partitions = RepeatedQuestion(self._look_at_partitions, max_age=PARTITIONS_MAX_AGE, clock=measure)
        self._partitions.know(topic.partitions)
        self._config = ProducerConfig(
            acks=settings.acks,
            retries=settings.retries,
            linger_ms=settings.linger_ms,
            compression=settings.compression,
            delivery_timeout=settings.delivery_timeout,
        )
        # None after one has settled nothing any more, until it is made anew
        self._client: ProducerClient | None = topic.transport.producer(self._config)
        self._renewal = threading.Lock()  # for the change alone: what a close calls back may send again
        self._retirement = Retirement()

    def send(self, task: Task) -> Receipt:
        """Send one task and return when the broker has it.

        Raises `NotAcknowledged`, `TaskNotEncodable`, and `NotAccepted` where there is an admission.
        """
        receipts = self.send_many([task])
        if not receipts:
            raise NotAccepted("The task was dropped at admission, because too many before it are not finished.")
        return receipts[0]

    def send_many(self, tasks: Iterable[Task]) -> list[Receipt]:
        """Send tasks, many at a time under way, and return when the broker has them all, in their order.

        Raises `NotAcknowledged` when the broker lacks some; those it has are sent all the same. A task that it did not
        acknowledge in time may be on the topic too. Whatever it raises, all that were begun are settled before, and
        have their receipts.
        """
        under_way: list[Submission] = []
        try:
            for task in tasks:
                if self._may_pass(task):
                    under_way.append(self._hand_over(task, None))
        finally:
            receipts = self._settle(under_way)
        failed = [receipt for receipt in receipts if receipt.error is not None]
        if failed:
            raise NotAcknowledged(
                f"The broker did not acknowledge {len(failed)} of {len(receipts)} tasks; "
                f"the first is {failed[0].task_id}: {failed[0].error}"
            )
        return receipts

    def submit(self, task: Task, *, stop: threading.Event | None = None) -> bool:
        """Hand over one task and go on; its receipt comes later. Waits while the client's buffer is full.

        False if it was shed at admission, or still waited there when `stop` was set; raises `NotAccepted` if it was
        refused there.
        """
        if not self._may_pass(task, stop):
            return False
        self._hand_over(task, self._on_receipt)
        return True

    def submit_on_schedule(
        self, tasks: Iterable[Task], arrivals: Iterator[float], *, stop: threading.Event | None = None
    ) -> int:
        """Submit each task when it is due (open loop), until the tasks or the arrivals end or `stop` is set.

        Returns the number submitted. A task that is late is sent at once and keeps its scheduled time. What admission
        turns away is not sent again.
        """
        stop = stop or threading.Event()
        begun_at, begun = self._clock(), self._measure()
        sent = 0
        for task, moment in zip(tasks, arrivals, strict=False):
            early = begun + moment - self._measure()
            if stop.wait(early) if early > 0 else stop.is_set():
                break
            with suppress(NotAccepted):  # admission has counted it
                sent += self.submit(task.evolve(scheduled_at=begun_at + moment), stop=stop)
        return sent

    def flush(self) -> None:
        """Return when everything handed over is acknowledged or refused.

        A client that has not done so some seconds after the delivery time-out is made anew; it refuses what is left.
        Raises `DeadlineExceeded` if another thread has given one up that does not close. In `on_receipt` it waits for
        no client that is being given up.
        """
        limit = self._timeout + SETTLING_MARGIN
        client = self._client
        if client is not None:
            try:
                client.flush(limit)
            except DeadlineExceeded as error:
                self._renounce(client, error)
            except TransportError:
                if client is self._client:
                    raise
        self._retirement.wait(limit)  # what is under way in a client that is given up is settled when it is closed

    def receipts(self) -> pd.DataFrame:
        """The receipts kept so far, one row per task sent."""
        return receipts_to_frame(self._kept)

    def _interrupted(self) -> None:
        self._timeout = 0.0  # what is under way is refused at once

    def close(self) -> None:
        """Flush and let go of the connection."""
        log.info("the producer to %s closes", self.topic.name)
        client = self._client
        try:
            if client is not None:
                client.close(self._timeout)
        finally:
            self._partitions.close(self._topics.close)
            if self._admission is not None:
                self._admission.close()

    def _look_at_partitions(self) -> int:
        try:
            return self._topics.get(self.topic.name).partitions
        except TransportError as error:  # as many as before; the client waits for it, up to a limit
            log.info("the producer to %s goes on as before: %s", self.topic.name, error)
            raise

    def _may_pass(self, task: Task, stop: threading.Event | None = None) -> bool:
        """Whether the task may be sent; waits if admission says so, raises `NotAccepted` if it is refused."""
        if self._admission is None:
            return True
        while (verdict := self._admission.judge(task.priority).or_raise()).action is Action.WAIT:
            if stop is None:
                self._pause(verdict.seconds)
            elif stop.wait(verdict.seconds):
                return False
        return verdict.action is Action.ADMIT

    def _hand_over(self, task: Task, on_receipt: Callable[[Receipt], object] | None) -> Submission:
        known = self._known_partitions()
        if not isinstance(task, Task):
            raise BadType(f"'task' of Producer.send is {task!r:.40}; give a Task, which `new_task` makes.")
        encoded = task.encode()
        now = self._clock()
        submission = Submission(task, self.topic.name, now, self._clock, on_receipt)
        client = self._connected()
        try:
            self._put(client, encoded, now, submission, known)
        except UnknownTopic:  # it may have been made anew with fewer partitions
            with suppress(TransportError):
                self._partitions.know(self._look_at_partitions())
            if (found := self._known_partitions()) == known:
                raise
            self._put(self._connected(), encoded, now, submission, found)
        except TransportError:
            if client is self._client:
                raise
            self._put(self._connected(), encoded, now, submission, known)  # another thread has given up this one now
        return submission

    def _known_partitions(self) -> int:
        known, _ = self._partitions.look()  # what is wrong with Kafka the client says too
        assert known is not None  # since the start
        return known

    def _put(
        self,
        client: ProducerClient,
        encoded: tuple[bytes | None, bytes, Headers],
        now: float,
        submission: Submission,
        partitions: int,
    ) -> None:
        key, value, headers = encoded
        client.send(
            self._full_name,
            partition=chosen_partition(self._partition_of, key, partitions),
            key=key,
            value=value,
            headers=headers,
            timestamp_ms=int(now * 1000),
            on_delivery=submission,
        )

    def _connected(self) -> ProducerClient:
        client = self._client
        if client is None:
            with self._renewal:  # once for all threads
                client = self._client = self._client or self.topic.transport.producer(self._config)
        return client

    def _renounce(self, client: ProducerClient, error: Exception) -> None:
        """Let go of a client that settles nothing any more, once for all threads; it refuses what is left."""
        with self._renewal:
            if self._client is not client:
                return
            closed = self._retirement.announce()
            self._client = None
        log.warning("the producer to %s is made anew: %s", self.topic.name, error)
        self._retirement.close(closed, partial(client.close, 0.0))

    def _settle(self, under_way: list[Submission]) -> list[Receipt]:
        """Return when these are acknowledged or refused, with their receipts; at once if Ctrl-C ends the wait."""
        try:
            if under_way:
                with suppress(DeadlineExceeded):  # the receipts say of which tasks nothing is known
                    self.flush()
        finally:
            receipts = [submission.settled() for submission in under_way]
            for receipt in receipts:
                self._on_receipt(receipt)
        return receipts
